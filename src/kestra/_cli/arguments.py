"""What the commands are given, and what `--help` says of them."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kestra._cli.namespace_arguments import add_common, add_namespace_commands
from kestra._cli.values import Pairs, input_pair, label_pair, seconds
from kestra._engine.rules import GRACE, RULES
from kestra._task.frames import LOG_LEVELS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # has no other name

_EXECUTE = """\
Start an execution of a flow, wait until it has ended, and show its outputs on stdout.
On stderr: the execution and its address, then its states; or, on a terminal and with
`pip install 'kestra[cli]'`, one line that is kept up to date, and the log above it in colour.

examples:
  python -m kestra execute company.team report -i day=2026-01-31 -i rows=@orders.csv --follow
  python -m kestra execute company.team report --timeout 600 --kill-on-timeout --json
  id=$(python -m kestra execute company.team report --no-wait) && python -m kestra logs -f $id

inputs:
  The text after the = is sent as it is; the engine reads it by the type of the input:
    STRING       any text; an empty one counts as missing where the input is required
    INT, FLOAT   42, 1.5
    BOOLEAN      true or false (the engine takes 1 and yes for false)
    DATETIME     2026-01-31T08:00:00Z, with Z or an offset such as +01:00
    DATE, TIME   2026-01-31, 08:00:00
    DURATION     PT90S
    JSON, ARRAY  '{"a": [1, 2]}', in quotes for the shell
    FILE         @PATH sends the file
  For a text that begins with @ write @@. Other users of this machine can see arguments.
"""

_STATUS = """\
Show the state of an execution, its tasks and its outputs, and, if it ended badly, why.

examples:
  python -m kestra status 3jSVqWZrk2ZXgT0wdQ4GZi
  python -m kestra status 3jSVqWZrk2ZXgT0wdQ4GZi --json | jq -r .status
"""

_LOGS = """\
Show the log of an execution: time, level, task and message of each entry. With -f, show what
is there and what follows, until the execution has ended; then the exit status is about that.

examples:
  python -m kestra logs 3jSVqWZrk2ZXgT0wdQ4GZi --min-level WARN
  python -m kestra logs -f 3jSVqWZrk2ZXgT0wdQ4GZi --timeout 600
"""

_OUTPUTS = """\
Show the outputs of an execution, or of one of its tasks, one a line, the values as JSON.

examples:
  python -m kestra outputs 3jSVqWZrk2ZXgT0wdQ4GZi
  python -m kestra outputs 3jSVqWZrk2ZXgT0wdQ4GZi --task load --json | jq .vars.rows
"""

_KILL = """\
Kill an execution, and the subflows that it has started. It ends a moment later.

example:
  python -m kestra kill 3jSVqWZrk2ZXgT0wdQ4GZi
"""

_RUN = """\
Run a Python script as a task of Kestra would (a process of its own, pipes for stdout and
stderr) and show what Kestra would keep: ordinary lines as they come, then outputs, metrics
and logs, and what would be lost, line by line, and why.

The exit status is that of the script, whatever is lost (see --strict); 128 + N where signal N
ended it; 2 where it could not be run; 5 where it succeeded but standard output could not be
written.
"""

_ENVIRONMENT = """
environment variables:
  KESTRA_HOSTNAME              the server (default: http://localhost:8080)
  KESTRA_USER, KESTRA_PASSWORD for Basic authentication
  KESTRA_API_TOKEN             for Bearer authentication; goes before user and password
  KESTRA_TENANT                the tenant
  NO_COLOR, CI, TERM=dumb      plain lines on a terminal too
  There is no option for a password or a token: every user of this machine could read it in
  the list of processes.

exit status:
  0    it has ended in SUCCESS or WARNING; or what was asked for is done, or shown
  1    it has ended in another state; or there are violations
  2    an argument cannot be used; nothing was sent
  3    the server could not be reached, or refused
  4    it had not ended when --timeout was over
  5    what was asked for is done, but standard output could not be written
  130  Ctrl-C; on a terminal, execute asks whether to kill the execution or to leave it
"""


def add_commands(commands: Commands) -> None:
    _add_execute(commands)
    parser = _added(commands, "status", "show an execution as it is now", _STATUS)
    _add_id(parser)
    add_common(parser, "show one JSON object: id, status, outputs, task runs and more")
    parser = _added(commands, "logs", "show the log of an execution", _LOGS)
    _add_id(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until the execution has ended"
    )
    _add_min_level_and_timeout(parser)
    add_common(parser, "show one JSON object a line")
    parser = _added(commands, "outputs", "show the outputs of an execution", _OUTPUTS)
    _add_id(parser)
    parser.add_argument("--task", metavar="TASK", help="the id of a task, for its outputs")
    add_common(parser, "show one JSON object")
    parser = _added(commands, "kill", "kill an execution", _KILL)
    _add_id(parser)
    add_common(parser)
    add_namespace_commands(commands, _added)
    _add_run(commands)


def _add_execute(commands: Commands) -> None:
    parser = _added(commands, "execute", "start an execution, and wait for it", _EXECUTE)
    add = parser.add_argument
    add("namespace", metavar="NAMESPACE")
    add("flow", metavar="FLOW", help="the id of the flow")
    add(
        "-i", "--input", dest="inputs", metavar="KEY=VALUE", action=Pairs, type=input_pair,
        help="an input; KEY=@PATH for a file (repeatable)",
    )  # fmt: skip
    add(
        "-l", "--label", dest="labels", metavar="KEY:VALUE", action=Pairs, type=label_pair,
        help="a label of the execution (repeatable)",
    )  # fmt: skip
    add("--revision", metavar="N", type=int, help="the revision of the flow (default: the latest)")
    add(
        "--schedule-date",
        metavar="DATE",
        help="when to run it, such as 2026-01-31T08:00:00Z (default: now)",
    )
    add(
        "--no-wait",
        action="store_true",
        help="do not wait for the end; show the id of the execution on stdout",
    )
    add("--follow", action="store_true", help="show the log on stderr while it is written")
    _add_min_level_and_timeout(parser)
    add("--kill-on-timeout", action="store_true", help="kill the execution when that time is over")
    add_common(parser, "show one JSON object: id, status, outputs, task runs and more")


def _added(commands: Commands, name: str, what: str, text: str) -> argparse.ArgumentParser:
    description, _, examples = text.partition("\n\n")
    parser = commands.add_parser(
        name,
        help=what,
        description=description,
        epilog=examples + _ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=partial(_carry_out, parser), name=name, json=False)
    return parser


def _carry_out(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    given = {name for name, it in vars(options).items() if it is not None and it is not False}
    for name in ("follow", "timeout", "kill_on_timeout"):
        if {name, "no_wait"} <= given:
            parser.error(f"--{name.replace('_', '-')} cannot be used with --no-wait")
    if "kill_on_timeout" in given and "timeout" not in given:
        parser.error("--kill-on-timeout needs --timeout")
    if options.name == "logs" and "timeout" in given and "follow" not in given:
        parser.error("--timeout needs --follow")
    from kestra._cli.commands import carry_out

    return carry_out(options)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("execution_id", metavar="ID", help="the id of the execution")


def _add_min_level_and_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-level",
        choices=LOG_LEVELS,
        default=LOG_LEVELS[0],
        help="the least level of log entries to show (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        help="how long to wait for the end (default: as long as it takes)",
    )


def _add_run(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="run a script as a task would, and show what Kestra would keep",
        usage="%(prog)s [options] (SCRIPT [ARGS ...] | --flow FILE --task ID)",
        description=_RUN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags = {
        "enterprise": "accept assets, as the Enterprise Edition does",
        "wrapped": "show what a task runner would keep that wraps the process in kotlp: no frames",
        "json": "show one JSON object on stdout, and ordinary lines on stderr",
        "strict": "exit with 1 where the script succeeds but something would be lost, or a pattern "
        "of --output-files matches nothing",
    }
    add = parser.add_argument
    add("--engine", choices=RULES, default="2.0", help="whose rules (default: %(default)s)")
    for name, what in flags.items():
        add(f"--{name}", action="store_true", help=what)
    what = "a JSON object, which the script finds as its execution context"
    add("--context", metavar="FILE", type=_context, help=what)
    add(
        "--output-files",
        metavar="PATTERN",
        action="append",
        help="run it in a directory of its own, and show which files outputFiles would keep "
        "(repeatable)",
    )
    what = "kill the script then, as the engine kills a task: SIGTERM, and SIGKILL later"
    add("--kill-after", metavar="SECONDS", type=seconds, help=what)
    what = "from SIGTERM to SIGKILL (default: %(default)g)"
    add("--grace", metavar="SECONDS", type=seconds, default=GRACE, help=what)
    _add_what_is_run(parser)
    parser.set_defaults(command=lambda options: _run(parser, options))


def _add_what_is_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    script = add("script", metavar="SCRIPT", type=_existing, help="the Python script")
    what = "all that follows the script is the script's, options too"
    arguments = add("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help=what)
    arguments.required = False

    def flow(path: str) -> str:
        script.required = False
        return _existing(path)

    what = "a flow in YAML, in place of SCRIPT; with --task ID, run that task of it"
    add("--flow", metavar="FILE", type=flow, help=what)
    add("--task", metavar="ID", help="the id of the task in --flow")


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.flow and options.script:
        parser.error("--flow takes the place of SCRIPT: give one of them")
    if bool(options.flow) != bool(options.task):
        parser.error("--flow FILE and --task ID belong together")
    from kestra._cli.run import run

    return run(options)


def _existing(path: str) -> str:
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


def _context(path: str) -> str:
    try:
        context = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        context = None
    if not isinstance(context, dict):
        raise argparse.ArgumentTypeError(f"{path} must contain a JSON object")
    return str(Path(path).absolute())
