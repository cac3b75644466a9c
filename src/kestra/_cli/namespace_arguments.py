"""The commands for what lives in a namespace: what they are given, and what `--help` says."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kestra._cli.values import Pairs, label_pair, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    Parser = argparse.ArgumentParser
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # has no other name
    Added = Callable[[Commands, str, str, str], Parser]

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_A_LINE = "show one JSON object a line"
KEY_VARIABLE = "KESTRA_WEBHOOK_KEY"

_KV = """\
Read and write the key-value store of a namespace.

examples:
  python -m kestra kv set company.team cursor 2026-01-31 --type date
  python -m kestra kv set company.team limits '{"rows": 100}' --ttl 3600
  python -m kestra kv get company.team cursor
  python -m kestra kv list company.team --json
"""
_FILES = """\
Read and write the files of a namespace.

examples:
  python -m kestra files ls company.team etl -r
  python -m kestra files put company.team report.py etl/report.py
  python -m kestra files sync company.team src --to etl --dry-run
  python -m kestra files sync company.team src --to etl --down
"""
_FLOWS = """\
Show, validate and deploy the flows of a namespace.

examples:
  python -m kestra flows validate flows/
  python -m kestra flows deploy company.team flows/ --dry-run
  python -m kestra flows get company.team report > report.yml
"""
_EXECUTIONS = """\
Show executions of a namespace, the newest first.

examples:
  python -m kestra executions company.team --flow report --state FAILED --since 1d
  python -m kestra executions company.team -l team:sales --json | jq -r .id
"""
_WEBHOOK = f"""\
Call the webhook of a flow, once, and show the response. The key is read from the environment
variable {KEY_VARIABLE}: other users of this machine can see arguments.

example:
  python -m kestra webhook company.team orders '{{"id": 7}}' --wait 60
"""


def add_namespace_commands(commands: Commands, added: Added) -> None:
    """Add the commands; `added` adds one with its texts."""
    _add_kv(commands, added)
    _add_files(commands, added)
    _add_flows(commands, added)
    what = "show executions of a namespace"
    parser = added(commands, "executions", what, _EXECUTIONS)
    add = parser.add_argument
    add("namespace", metavar="NAMESPACE")
    add("--flow", metavar="FLOW", help="only of this flow")
    add("--state", dest="states", metavar="STATE", action="append",
        help="only in this state (repeatable)")  # fmt: skip
    add("-l", "--label", dest="labels", metavar="KEY:VALUE", action=Pairs, type=label_pair,
        help="only with this label (repeatable)")  # fmt: skip
    for name in ("since", "until"):
        what = f"only those created {name} then: a time before now such as 90s, 30m, 6h or 7d, or "
        what += "a date such as 2026-01-31T08:00:00Z"
        add(f"--{name}", metavar="TIME", type=moment, help=what)
    add("--limit", metavar="N", type=_count, default=50, help="how many (default: %(default)s)")
    add_common(parser, json=_A_LINE)
    parser = added(commands, "webhook", "call the webhook of a flow", _WEBHOOK)
    add = parser.add_argument
    add("namespace", metavar="NAMESPACE")
    add("flow", metavar="FLOW", help="the id of the flow")
    add("body", metavar="BODY", nargs="?", help="a JSON object or list, or text")
    add("--wait", metavar="SECONDS", type=seconds, help="wait for the end of the execution")
    add_common(parser, json="show one JSON object: HTTP status, id, status, outputs, body")


def _add_kv(commands: Commands, added: Added) -> None:
    below = _group(added(commands, "kv", "the key-value store of a namespace", _KV))
    what = "show one JSON object: key, value, type, revision, dates"
    _sub(below, "kv get", "show the value of a key as JSON", "key", json=what)
    add = _sub(below, "kv set", "put a value", "key", "value", dry_run=True).add_argument
    what = "what the value is (default: JSON if it can be read as such, else text; a duration is "
    what += "PT90S or 90)"
    add("--type", choices=("json", "text", "date", "datetime", "duration"), help=what)
    add("--ttl", metavar="SECONDS", type=seconds, help="how long to keep it")
    add("--description", metavar="TEXT", help="what people see beside it")
    _sub(below, "kv list", "list the keys", json=_A_LINE)
    parser = _sub(below, "kv delete", "delete keys", dry_run=True)
    parser.add_argument("keys", metavar="KEY", nargs="+")


def _add_files(commands: Commands, added: Added) -> None:
    below = _group(added(commands, "files", "the files of a namespace", _FILES))
    add = _sub(below, "files ls", "list a folder", json=_A_LINE).add_argument
    add("path", metavar="PATH", nargs="?", default="")
    add("-r", "--recursive", action="store_true", help="list all files below it")
    parser = _sub(below, "files get", "fetch a file", "path")
    parser.add_argument("to", metavar="TO", nargs="?", help="the local file (default: stdout)")
    _sub(below, "files put", "send a file", "local", "path", dry_run=True)
    what = "make a folder of the namespace what a local one has"
    add = _sub(below, "files sync", what, "local", json=_A_LINE, dry_run=True).add_argument
    add("--to", metavar="PATH", default="", help="the folder in the namespace")
    add("--down", action="store_true", help="the reverse: fetch what differs")
    add("--delete", action="store_true", help="delete what only the target has")


def _add_flows(commands: Commands, added: Added) -> None:
    below = _group(added(commands, "flows", "the flows of a namespace", _FLOWS))
    _sub(below, "flows list", "list the flows", json=_A_LINE)
    what = "show one JSON object: id, revision, source and more"
    parser = _sub(below, "flows get", "show the source of a flow", "flow", json=what)
    parser.add_argument("--revision", metavar="N", type=int, help="(default: the latest)")
    what = "let the server check sources"
    parser = _sub(below, "flows validate", what, namespace=False, json=_A_LINE)
    _add_paths(parser)
    what = "make the flows what sources say"
    parser = _sub(below, "flows deploy", what, json=_A_LINE, dry_run=True)
    _add_paths(parser)
    add = parser.add_argument
    add("--delete", action="store_true", help="delete the flows that are not among them")
    add("--override-namespace", action="store_true", help="deploy those of other namespaces here")


def _group(parser: Parser) -> Commands:
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _sub(  # noqa: PLR0913  # each is independent
    below: Commands,
    name: str,
    what: str,
    *names: str,
    namespace: bool = True,
    json: str = "",
    dry_run: bool = False,
) -> Parser:
    """Add a command, with what it has to be given."""
    parser = below.add_parser(name.partition(" ")[2], help=what, description=what.capitalize(),
                              allow_abbrev=False)  # fmt: skip
    parser.set_defaults(name=name)
    for each in ("namespace", *names) if namespace else names:
        parser.add_argument(each, metavar=each.upper())
    if dry_run:
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be done, and change nothing"
        )
    add_common(parser, json)
    return parser


def _add_paths(parser: Parser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", help="files, or folders of them")


def add_common(parser: Parser, json: str = "") -> None:
    if json:
        parser.add_argument("--json", action="store_true", help=json)
    parser.add_argument("--hostname", metavar="URL", help="the server (default: $KESTRA_HOSTNAME)")
    parser.add_argument("--tenant", metavar="TENANT", help="the tenant (default: $KESTRA_TENANT)")


def moment(text: str) -> datetime | timedelta:
    """Return a time: so long before now, or a date."""
    try:
        if match := re.fullmatch(r"(\d+)([smhd])", text):
            return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (OverflowError, ValueError):
        raise argparse.ArgumentTypeError(
            "must be a time before now such as 90s, 30m, 6h or 7d, or a date and time in ISO 8601"
        ) from None


def _count(text: str) -> Any:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)
