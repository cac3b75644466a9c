"""What `python -m kestra run` is given, and what `--help` says of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kestra._cli.values import seconds
from kestra._engine.rules import GRACE, RULES

_DESCRIPTION = """\
Run a Python script as a task of Kestra would (a process of its own, pipes for stdout and
stderr) and show what Kestra would keep: ordinary lines as they come, then outputs, metrics
and logs, and what would be lost, line by line, and why.

The exit status is that of the script, whatever is lost (see --strict); 128 + N where signal N
ended it; 2 where it could not be run; 5 where it succeeded but standard output could not be
written.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `run` to the commands of `python -m kestra`."""
    parser = commands.add_parser(
        "run",
        help="run a script as a task would, and show what Kestra would keep",
        usage="%(prog)s [options] (SCRIPT [ARGS ...] | --flow FILE --task ID)",
        description=_DESCRIPTION,
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
