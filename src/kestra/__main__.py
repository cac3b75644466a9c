"""`python -m kestra COMMAND`."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING

from kestra import __version__
from kestra._cli.arguments import add_commands

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command, and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a terminal's encoding lacks is escaped, in place of an error.
            stream.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(
        prog="python -m kestra",
        epilog="`python -m kestra COMMAND --help` says more, with examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kestra {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_commands(commands)
    options = parser.parse_args(arguments)
    return int(options.command(options))


if __name__ == "__main__":
    sys.exit(main())
