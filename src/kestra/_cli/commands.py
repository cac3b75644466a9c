"""What the commands that talk to a server do."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from kestra._api.models import StateChange
from kestra._cli import exits
from kestra._cli.display import display_for, warnings_shown
from kestra._cli.execute import execute, show_end, watched
from kestra._cli.execution_report import as_json, as_text, output_lines
from kestra._cli.streams import printable, room_on, show
from kestra._client.flow import Flow
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from kestra._cli.display import Display


def carry_out(options: argparse.Namespace) -> int:
    """Carry out a command, and return the exit status."""
    display = display_for(options)
    try:
        with (
            warnings_shown(display),
            Flow(hostname=options.hostname, tenant=options.tenant) as flow,
        ):
            return _COMMANDS.get(options.name, _in_namespace)(flow, options, display)
    except KeyboardInterrupt as error:
        for note in getattr(error, "__notes__", ()):
            display.note(note)
        return exits.INTERRUPTED
    except (KestraError, ImportError, OSError, TypeError, ValueError) as error:
        show(f"error: {printable(exits.sentence(error))}", sys.stderr)
        return exits.after(error)


def _status(flow: Flow, options: argparse.Namespace, _: Display) -> int:
    execution = flow.get_execution(options.execution_id)
    text = as_json(execution) if options.json else as_text(execution, room_on(sys.stdout))
    show(text, sys.stdout)
    return exits.of(execution)


def _logs(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    if options.follow:
        return _follow(flow, options, display)
    entries = list(flow.iter_logs(options.execution_id, min_level=options.min_level))
    if not entries:
        flow.check_status(options.execution_id)  # of an unknown one, the log is empty too
    for entry in entries:
        if not display.entry(entry):
            break
    return exits.GOOD


def _follow(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    execution_id = options.execution_id
    begun = flow.get_execution(execution_id)
    since = 0.0
    if begun.state is not None and begun.state.start is not None:
        since = max((datetime.now(timezone.utc) - begun.state.start).total_seconds(), 0)

    events = flow.follow(execution_id, min_level=options.min_level, timeout=options.timeout)
    try:
        with closing(events), watched(options, execution_id, display, since):
            for event in events:
                if isinstance(event, StateChange):
                    display.state(event)
                elif not display.entry(event):
                    return exits.GOOD
    except KeyboardInterrupt:
        display.note(f"Execution {execution_id} keeps running: {begun.url}")
        return exits.INTERRUPTED
    ended = flow.get_execution(execution_id)
    show_end(ended, display)
    return exits.of(ended)


def _outputs(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    outputs = flow.get_outputs(options.execution_id, task_id=options.task)
    if options.json:
        show(json.dumps(outputs), sys.stdout)
    elif outputs:
        show(output_lines(outputs, room_on(sys.stdout)), sys.stdout)
    else:
        display.note("There are no outputs.")
    return exits.GOOD


def _kill(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    flow.kill(options.execution_id)
    display.note(f"Execution {options.execution_id} is being killed.")
    return exits.GOOD


def _in_namespace(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    from kestra._cli.namespace_commands import namespace_command

    return namespace_command(flow, options, display)


_COMMANDS: dict[str, Callable[[Flow, argparse.Namespace, Display], int]] = {
    "execute": execute,
    "status": _status,
    "logs": _logs,
    "outputs": _outputs,
    "kill": _kill,
}
