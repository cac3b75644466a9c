"""What the commands that talk to a server do."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from urllib3 import Retry

from kestra._api.models import FlowExecution, LogEntry, StateChange
from kestra._api.parsing import is_shown
from kestra._cli import exits
from kestra._cli.display import Display
from kestra._cli.execution_report import as_json, as_text, output_lines, summary
from kestra._cli.streams import OutputLost, is_live, is_terminal, room_on, show
from kestra._client.flow import Flow
from kestra._engine.report import printable
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

_POLL_TIMEOUT = 2.0  # seconds


def carry_out(options: argparse.Namespace) -> int:
    display = _display_for(options)
    logger, warnings = logging.getLogger("kestra"), _Warnings(display)
    logger.addHandler(warnings)
    try:
        with Flow(hostname=options.hostname, tenant=options.tenant) as flow:
            if options.name in _COMMANDS:
                return _COMMANDS[options.name](flow, options, display)
            from kestra._cli.namespace_commands import namespace_command

            return namespace_command(flow, options, display)
    except KeyboardInterrupt as error:
        for note in getattr(error, "__notes__", ()):
            display.note(note)
        return exits.INTERRUPTED
    except (KestraError, ImportError, OSError, TypeError, ValueError) as error:
        show(f"error: {printable(exits.sentence(error))}", sys.stderr)
        return exits.after(error)
    finally:
        logger.removeHandler(warnings)


def _display_for(options: argparse.Namespace) -> Display:
    # The log is what `logs` is for; elsewhere it is progress.
    is_log = options.name == "logs"
    stream = sys.stdout if is_log else sys.stderr
    if not is_live(stream, sys.stderr) or (is_log and options.json):
        return Display(stream, json=is_log and options.json)
    from kestra._cli.live import Screen

    return Screen(stream)


class _Warnings(logging.Handler):
    """Shows what the client warns of, except how an execution ended: that the commands say."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "tells_end", False):
            self._display.note(record.getMessage())


def _execute(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    flow.wait_for_completion = False
    try:
        created = flow.execute(
            options.namespace,
            options.flow,
            options.inputs,
            labels=options.labels,
            revision=options.revision,
            schedule_date=options.schedule_date,
        )
    except KeyboardInterrupt:
        display.note("The server has not responded yet: the execution may have been created.")
        raise
    execution_id = created.execution_id
    display.note(f"Execution {execution_id} of {options.namespace}.{options.flow}: {created.url}")
    if options.no_wait:
        show(as_json(created) if options.json else execution_id, sys.stdout)
        return exits.GOOD

    def show_entry(entry: LogEntry) -> None:
        if is_shown(entry.level, options.min_level):
            display.entry(entry)

    try:
        with _watched(options, execution_id, display):
            ended = flow.wait(
                execution_id,
                options.timeout,
                kill_on_timeout=options.kill_on_timeout,
                fetch_log=False,
                on_state=display.state,
                on_log=show_entry if options.follow else None,
                follow=options.follow,
            )
    except KeyboardInterrupt:
        return _interrupted(flow, created, display)
    except KestraError as error:
        if options.json:
            status = getattr(error, "state", None)
            with suppress(OutputLost):  # the error itself says more
                show(as_json(replace(created, status=status, error=str(error))), sys.stdout)
        raise
    _show_end(ended, display)
    if options.json:
        show(as_json(ended), sys.stdout)
    elif ended.outputs:
        show(output_lines(ended.outputs, room_on(sys.stdout)), sys.stdout)
    return exits.of(ended)


@contextmanager
def _watched(
    options: argparse.Namespace, execution_id: str, display: Display, since: float = 0
) -> Iterator[None]:
    """Let the display poll the tasks in this block, by short requests that are not repeated."""
    with (
        Flow(
            hostname=options.hostname,
            tenant=options.tenant,
            request_timeout=_POLL_TIMEOUT,
            retries=Retry(0),
        ) as flow,
        display.watching(lambda: flow.get_execution(execution_id).task_runs, since),
    ):
        yield


def _show_end(ended: FlowExecution, display: Display) -> None:
    display.note(summary(ended))
    if ended.error:
        display.note(ended.error)


def _interrupted(flow: Flow, created: FlowExecution, display: Display) -> int:
    answer, what = "", "keeps running"
    if is_terminal(sys.stdin, sys.stderr):
        try:
            show("\nKill the execution, or leave it running? [k/L] ", sys.stderr, end="")
            answer = sys.stdin.readline().strip().lower()
        except KeyboardInterrupt:
            show("", sys.stderr)
    if answer.startswith("k"):
        flow.kill(created.execution_id)
        what = "is being killed"
    display.note(f"Execution {created.execution_id} {what}: {created.url}")
    return exits.INTERRUPTED


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
    start = begun.state and begun.state.start
    since = max((datetime.now(timezone.utc) - start).total_seconds(), 0) if start else 0
    events = flow.follow(execution_id, min_level=options.min_level, timeout=options.timeout)
    try:
        with closing(events), _watched(options, execution_id, display, since):
            for event in events:
                if isinstance(event, StateChange):
                    display.state(event)
                elif not display.entry(event):
                    return exits.GOOD
    except KeyboardInterrupt:
        display.note(f"Execution {execution_id} keeps running: {begun.url}")
        return exits.INTERRUPTED
    ended = flow.get_execution(execution_id)
    _show_end(ended, display)
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


_COMMANDS: dict[str, Callable[[Flow, argparse.Namespace, Display], int]] = {
    "execute": _execute,
    "status": _status,
    "logs": _logs,
    "outputs": _outputs,
    "kill": _kill,
}
