"""What the commands that talk to a server are given, and what `--help` says of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kestra._cli.namespace_arguments import add_namespace_commands
from kestra._cli.values import Pairs, input_pair, label_pair, seconds
from kestra._task.frames import LOG_LEVELS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # has no other name

_EXECUTE = """\
Start an execution of a flow, wait until it has ended, and show its outputs on stdout.
On stderr: the execution and its address, then its states; or, on a terminal and with
`pip install 'kestra[cli]'`, one line that is kept up to date, and the log above it in colour.
"""

_EXECUTE_MORE = """\
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
"""

_STATUS_MORE = """\
examples:
  python -m kestra status 3jSVqWZrk2ZXgT0wdQ4GZi
  python -m kestra status 3jSVqWZrk2ZXgT0wdQ4GZi --json | jq -r .status
"""

_LOGS = """\
Show the log of an execution: time, level, task and message of each entry. With -f, show what
is there and what follows, until the execution has ended; then the exit status is about that.
"""

_LOGS_MORE = """\
examples:
  python -m kestra logs 3jSVqWZrk2ZXgT0wdQ4GZi --min-level WARN
  python -m kestra logs -f 3jSVqWZrk2ZXgT0wdQ4GZi --timeout 600
"""

_OUTPUTS = """\
Show the outputs of an execution, or of one of its tasks, one a line, the values as JSON.
"""

_OUTPUTS_MORE = """\
examples:
  python -m kestra outputs 3jSVqWZrk2ZXgT0wdQ4GZi
  python -m kestra outputs 3jSVqWZrk2ZXgT0wdQ4GZi --task load --json | jq .vars.rows
"""

_KILL = """\
Kill an execution, and the subflows that it has started. It ends a moment later.
"""

_KILL_MORE = """\
example:
  python -m kestra kill 3jSVqWZrk2ZXgT0wdQ4GZi
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
    """Add the commands that talk to a server."""
    _add_execute(commands)
    _add_status(commands)
    _add_logs(commands)
    _add_outputs(commands)
    _add_kill(commands)
    add_namespace_commands(commands, _added)


def _add_execute(commands: Commands) -> None:
    parser = _added(
        commands, "execute", "start an execution, and wait for it", _EXECUTE, _EXECUTE_MORE
    )
    parser.add_argument("namespace", metavar="NAMESPACE")
    parser.add_argument("flow", metavar="FLOW", help="the id of the flow")
    parser.add_argument(
        "-i",
        "--input",
        dest="inputs",
        metavar="KEY=VALUE",
        action=Pairs,
        type=input_pair,
        help="an input; KEY=@PATH for a file (repeatable)",
    )
    parser.add_argument(
        "-l",
        "--label",
        dest="labels",
        metavar="KEY:VALUE",
        action=Pairs,
        type=label_pair,
        help="a label of the execution (repeatable)",
    )
    parser.add_argument(
        "--revision", metavar="N", type=int, help="the revision of the flow (default: the latest)"
    )
    parser.add_argument(
        "--schedule-date",
        metavar="DATE",
        help="when to run it, such as 2026-01-31T08:00:00Z (default: now)",
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="do not wait for the end; show the id of the execution on stdout",
    )
    parser.add_argument(
        "--follow", action="store_true", help="show the log on stderr while it is written"
    )
    _add_min_level(parser)
    _add_timeout(parser)
    parser.add_argument(
        "--kill-on-timeout", action="store_true", help="kill the execution when that time is over"
    )
    _add_json(parser, "show one JSON object: id, status, outputs, task runs and more")
    _add_server(parser)
    parser.set_defaults(check=lambda options: _check_execute(parser, options))


def _check_execute(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    waiting = {
        "--follow": options.follow,
        "--timeout": options.timeout is not None,
        "--kill-on-timeout": options.kill_on_timeout,
    }
    for option, is_given in waiting.items():
        if options.no_wait and is_given:
            parser.error(f"{option} cannot be used with --no-wait")
    if options.kill_on_timeout and options.timeout is None:
        parser.error("--kill-on-timeout needs --timeout")


def _add_status(commands: Commands) -> None:
    parser = _added(commands, "status", "show an execution as it is now", _STATUS, _STATUS_MORE)
    _add_id(parser)
    _add_json(parser, "show one JSON object: id, status, outputs, task runs and more")
    _add_server(parser)


def _add_logs(commands: Commands) -> None:
    parser = _added(commands, "logs", "show the log of an execution", _LOGS, _LOGS_MORE)
    _add_id(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until the execution has ended"
    )
    _add_min_level(parser)
    _add_timeout(parser)
    _add_json(parser, "show one JSON object a line")
    _add_server(parser)

    def check(options: argparse.Namespace) -> None:
        if options.timeout is not None and not options.follow:
            parser.error("--timeout needs --follow")

    parser.set_defaults(check=check)


def _add_outputs(commands: Commands) -> None:
    parser = _added(
        commands, "outputs", "show the outputs of an execution", _OUTPUTS, _OUTPUTS_MORE
    )
    _add_id(parser)
    parser.add_argument("--task", metavar="TASK", help="the id of a task, for its outputs")
    _add_json(parser, "show one JSON object")
    _add_server(parser)


def _add_kill(commands: Commands) -> None:
    parser = _added(commands, "kill", "kill an execution", _KILL, _KILL_MORE)
    _add_id(parser)
    _add_server(parser)


# --- what several have ---


def _added(
    commands: Commands, name: str, what: str, description: str, more: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=what,
        description=description,
        epilog=more + _ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=_carry_out, name=name, check=None, json=False)
    return parser


def _carry_out(options: argparse.Namespace) -> int:
    if options.check is not None:
        options.check(options)
    from kestra._cli.commands import carry_out

    return carry_out(options)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("execution_id", metavar="ID", help="the id of the execution")


def _add_min_level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-level",
        choices=LOG_LEVELS,
        default=LOG_LEVELS[0],
        help="the least level of log entries to show (default: %(default)s)",
    )


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        help="how long to wait for the end (default: as long as it takes)",
    )


def _add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=what)


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hostname", metavar="URL", help="the server (default: $KESTRA_HOSTNAME)")
    parser.add_argument("--tenant", metavar="TENANT", help="the tenant (default: $KESTRA_TENANT)")
