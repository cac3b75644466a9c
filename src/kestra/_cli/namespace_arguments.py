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
    Added = Callable[[Commands, str, str, str, str], Parser]

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
KEY_VARIABLE = "KESTRA_WEBHOOK_KEY"

_KV = "Read and write the key-value store of a namespace.\n"
_KV_MORE = """\
examples:
  python -m kestra kv set company.team cursor 2026-01-31 --type date
  python -m kestra kv set company.team limits '{"rows": 100}' --ttl 3600
  python -m kestra kv get company.team cursor
  python -m kestra kv list company.team --json
"""
_FILES = "Read and write the files of a namespace.\n"
_FILES_MORE = """\
examples:
  python -m kestra files ls company.team etl -r
  python -m kestra files put company.team report.py etl/report.py
  python -m kestra files sync company.team src --to etl --dry-run
  python -m kestra files sync company.team src --to etl --down
"""
_FLOWS = "Show, validate and deploy the flows of a namespace.\n"
_FLOWS_MORE = """\
examples:
  python -m kestra flows validate flows/
  python -m kestra flows deploy company.team flows/ --dry-run
  python -m kestra flows get company.team report > report.yml
"""
_EXECUTIONS = "Show executions of a namespace, the newest first.\n"
_EXECUTIONS_MORE = """\
examples:
  python -m kestra executions company.team --flow report --state FAILED --since 1d
  python -m kestra executions company.team -l team:sales --json | jq -r .id
"""
_WEBHOOK = f"""\
Call the webhook of a flow, once, and show the response. The key is read from the environment
variable {KEY_VARIABLE}: other users of this machine can see arguments.
"""
_WEBHOOK_MORE = """\
example:
  python -m kestra webhook company.team orders '{"id": 7}' --wait 60
"""


def add_namespace_commands(commands: Commands, added: Added) -> None:
    """Add the commands; `added` adds one with its texts."""
    _add_kv(commands, added)
    _add_files(commands, added)
    _add_flows(commands, added)
    parser = added(
        commands, "executions", "show executions of a namespace", _EXECUTIONS, _EXECUTIONS_MORE
    )
    parser.add_argument("namespace", metavar="NAMESPACE")
    parser.add_argument("--flow", metavar="FLOW", help="only of this flow")
    parser.add_argument(
        "--state", dest="states", metavar="STATE", action="append", help="only in this state "
        "(repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "-l", "--label", dest="labels", metavar="KEY:VALUE", action=Pairs, type=label_pair,
        help="only with this label (repeatable)",
    )  # fmt: skip
    for name, what in (("since", "since then"), ("until", "until then")):
        parser.add_argument(
            f"--{name}", metavar="TIME", type=moment, help=f"only those created {what}: a time "
            "before now such as 90s, 30m, 6h or 7d, or a date such as 2026-01-31T08:00:00Z",
        )  # fmt: skip
    parser.add_argument(
        "--limit", metavar="N", type=_count, default=50, help="how many (default: %(default)s)"
    )
    _add_json(parser)
    _add_server(parser)
    parser = added(commands, "webhook", "call the webhook of a flow", _WEBHOOK, _WEBHOOK_MORE)
    parser.add_argument("namespace", metavar="NAMESPACE")
    parser.add_argument("flow", metavar="FLOW", help="the id of the flow")
    parser.add_argument("body", metavar="BODY", nargs="?", help="a JSON object or list, or text")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=seconds, help="wait for the end of the execution"
    )
    _add_json(parser, "show one JSON object: HTTP status, id, status, outputs, body")
    _add_server(parser)


def _add_kv(commands: Commands, added: Added) -> None:
    below = _group(added(commands, "kv", "the key-value store of a namespace", _KV, _KV_MORE))
    parser = _sub(below, "kv get", "show the value of a key as JSON", "key")
    _add_json(parser, "show one JSON object: key, value, type, revision, dates")
    parser = _sub(below, "kv set", "put a value", "key", "value")
    parser.add_argument(
        "--type", choices=("json", "text", "date", "datetime", "duration"), help="what the value "
        "is (default: JSON if it can be read as such, else text; a duration is PT90S or 90)",
    )  # fmt: skip
    parser.add_argument("--ttl", metavar="SECONDS", type=seconds, help="how long to keep it")
    parser.add_argument("--description", metavar="TEXT", help="what people see beside it")
    _add_dry_run(parser)
    _add_json(_sub(below, "kv list", "list the keys"))
    parser = _sub(below, "kv delete", "delete keys")
    parser.add_argument("keys", metavar="KEY", nargs="+")
    _add_dry_run(parser)


def _add_files(commands: Commands, added: Added) -> None:
    below = _group(added(commands, "files", "the files of a namespace", _FILES, _FILES_MORE))
    parser = _sub(below, "files ls", "list a folder")
    parser.add_argument("path", metavar="PATH", nargs="?", default="")
    parser.add_argument("-r", "--recursive", action="store_true", help="list all files below it")
    _add_json(parser)
    parser = _sub(below, "files get", "fetch a file", "path")
    parser.add_argument("to", metavar="TO", nargs="?", help="the local file (default: stdout)")
    _add_dry_run(_sub(below, "files put", "send a file", "local", "path"))
    what = "make a folder of the namespace what a local one has"
    parser = _sub(below, "files sync", what, "local")
    parser.add_argument("--to", metavar="PATH", default="", help="the folder in the namespace")
    parser.add_argument("--down", action="store_true", help="the reverse: fetch what differs")
    parser.add_argument("--delete", action="store_true", help="delete what only the target has")
    _add_dry_run(parser)
    _add_json(parser)


def _add_flows(commands: Commands, added: Added) -> None:
    below = _group(added(commands, "flows", "the flows of a namespace", _FLOWS, _FLOWS_MORE))
    _add_json(_sub(below, "flows list", "list the flows"))
    parser = _sub(below, "flows get", "show the source of a flow", "flow")
    parser.add_argument("--revision", metavar="N", type=int, help="(default: the latest)")
    _add_json(parser, "show one JSON object: id, revision, source and more")
    parser = _sub(below, "flows validate", "let the server check sources", namespace=False)
    _add_paths(parser)
    _add_json(parser)
    parser = _sub(below, "flows deploy", "make the flows what sources say")
    _add_paths(parser)
    parser.add_argument(
        "--delete", action="store_true", help="delete the flows that are not among them"
    )
    parser.add_argument(
        "--override-namespace", action="store_true", help="deploy those of other namespaces here"
    )
    _add_dry_run(parser)
    _add_json(parser)


# --- what several have ---


def _group(parser: Parser) -> Commands:
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _sub(below: Commands, name: str, what: str, *names: str, namespace: bool = True) -> Parser:
    """Add a command, with what it has to be given."""
    parser = below.add_parser(name.partition(" ")[2], help=what, description=what.capitalize(),
                              allow_abbrev=False)  # fmt: skip
    parser.set_defaults(name=name)
    for each in ("namespace", *names) if namespace else names:
        parser.add_argument(each, metavar=each.upper())
    _add_server(parser)
    return parser


def _add_paths(parser: Parser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", help="files, or folders of them")


def _add_json(parser: Parser, what: str = "show one JSON object a line") -> None:
    parser.add_argument("--json", action="store_true", help=what)


def _add_dry_run(parser: Parser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, and change nothing"
    )


def _add_server(parser: Parser) -> None:
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
