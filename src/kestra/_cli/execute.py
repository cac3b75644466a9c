"""`python -m kestra execute`: from the creation to the end, or to Ctrl-C."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from urllib3 import Retry

from kestra._api.parsing import is_shown
from kestra._cli import exits
from kestra._cli.execution_report import as_json, output_lines, summary
from kestra._cli.streams import OutputLost, is_terminal, room_on, show
from kestra._client.flow import Flow
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from kestra._api.models import FlowExecution, LogEntry
    from kestra._cli.display import Display

_POLL_TIMEOUT = 2.0  # seconds


def execute(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    """Start an execution, and wait for its end unless that is not wanted."""
    created = _created(flow, options, display)
    name = f"{created.execution_id} of {options.namespace}.{options.flow}"
    display.note(f"Execution {name}: {created.url}")
    if options.no_wait:
        show(as_json(created) if options.json else created.execution_id, sys.stdout)
        return exits.GOOD
    try:
        ended = _awaited(flow, created, options, display)
    except KeyboardInterrupt:
        return _interrupted(flow, created, display)
    except KestraError as error:
        if options.json:
            status = getattr(error, "state", None)
            with suppress(OutputLost):  # the error itself says more
                show(as_json(replace(created, status=status, error=str(error))), sys.stdout)
        raise
    show_end(ended, display)
    if options.json:
        show(as_json(ended), sys.stdout)
    elif ended.outputs:
        show(output_lines(ended.outputs, room_on(sys.stdout)), sys.stdout)
    return exits.of(ended)


def _created(flow: Flow, options: argparse.Namespace, display: Display) -> FlowExecution:
    flow.wait_for_completion = False
    try:
        return flow.execute(
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


def _awaited(
    flow: Flow, created: FlowExecution, options: argparse.Namespace, display: Display
) -> FlowExecution:
    """Wait for the end of an execution, and show what happens until then."""
    execution_id = created.execution_id

    def show_entry(entry: LogEntry) -> None:
        if is_shown(entry.level, options.min_level):
            display.entry(entry)

    with watched(options, execution_id, display):
        return flow.wait(
            execution_id,
            options.timeout,
            kill_on_timeout=options.kill_on_timeout,
            fetch_log=False,
            on_state=display.state,
            on_log=show_entry if options.follow else None,
            follow=options.follow,
        )


@contextmanager
def watched(
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


def show_end(ended: FlowExecution, display: Display) -> None:
    """Show how an execution has ended, and why if it did so badly."""
    display.note(summary(ended))
    if ended.error:
        display.note(ended.error)


def _interrupted(flow: Flow, created: FlowExecution, display: Display) -> int:
    """Kill the execution, or leave it running, as the user says."""
    if is_terminal(sys.stdin, sys.stderr) and _is_to_be_killed():
        flow.kill(created.execution_id)
        display.note(f"Execution {created.execution_id} is being killed: {created.url}")
    else:
        display.note(f"Execution {created.execution_id} keeps running: {created.url}")
    return exits.INTERRUPTED


def _is_to_be_killed() -> bool:
    try:
        show("\nKill the execution, or leave it running? [k/L] ", sys.stderr, end="")
        return sys.stdin.readline().strip().lower().startswith("k")
    except KeyboardInterrupt:
        show("", sys.stderr)
        return False
