"""What the commands for a namespace do."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._api.namespaces import Execution
from kestra._api.stored import is_duration, put_request, value_of
from kestra._cli import exits
from kestra._cli.execution_report import instant
from kestra._cli.namespace_arguments import KEY_VARIABLE
from kestra._cli.streams import is_live, room_on, show, show_bytes
from kestra._engine.report import columns, counted, printable
from kestra._rules.files import write_action
from kestra._values.times import iso_duration
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kestra._api.namespaces import Change, FileInfo, FlowSource
    from kestra._cli.display import Display
    from kestra._client.flow import Flow
    from kestra._client.namespace import Namespace

_COLORS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_RESET = "\x1b[0m"
_MEANT = {
    "date": "a date such as 2026-01-31",
    "datetime": "a date and time with Z or an offset",
    "duration": "a duration such as PT90S, or seconds",
}
_KINDS = {str: "text", date: "date", datetime: "datetime", timedelta: "duration"}
_LEAST = 8  # columns of a line that is cut


class _Commands:
    """Each command for a namespace, by its name; what one returns is its exit status."""

    def __init__(self, ns: Namespace, options: argparse.Namespace, display: Display) -> None:
        self._ns = ns
        self._options = options
        self._note = display.note

    @contextmanager
    def _naming_key(self) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            key = error.args[0]
            raise KestraError(f"there is no key {key!r} in the namespace {self._ns.name}") from None

    def kv_get(self) -> None:
        kv, key = self._ns.kv, self._options.key
        with self._naming_key():
            if self._options.json:
                _show_json({**asdict(kv.info(key)), "value": kv[key]})
            else:
                _show_readable(kv[key])

    def kv_set(self) -> None:
        options = self._options
        value = _value(options.value, options.type)
        if isinstance(value, str) and is_duration(value):
            raise ValueError(
                "VALUE is a text that the store takes for a duration: use --type duration, or put "
                "the text in a list or an object"
            )
        if options.dry_run:
            put_request(options.key, value, options.ttl, options.description)
        else:
            self._ns.kv.set(options.key, value, ttl=options.ttl, description=options.description)
        done = "would be" if options.dry_run else "is"
        self._note(f"{options.key} {done} put as {_KINDS.get(type(value), 'JSON')}.")

    def kv_list(self) -> None:
        header = ("KEY", "REVISION", "UPDATED", "EXPIRES", "DESCRIPTION")
        row = attrgetter("key", "revision", "updated", "expires", "description")
        self._show_all(self._ns.kv.list(), header, row)

    def kv_delete(self) -> None:
        for key in self._options.keys:
            with self._naming_key():
                if not self._options.dry_run:
                    del self._ns.kv[key]
                elif key not in self._ns.kv:
                    raise KeyError(key)
            self._note(f"{key} {'would be' if self._options.dry_run else 'is'} deleted.")

    def files_ls(self) -> None:
        found = self._ns.files.list(self._options.path, recursive=self._options.recursive)
        if self._options.recursive and not self._options.json:
            show("\n".join(map(str, found)), sys.stdout, end="\n" if found else "")
            return

        def row(each: FileInfo) -> tuple[Any, ...]:
            return (f"{each}/" if each.is_folder else str(each), each.size, each.modified)

        self._show_all(found, ("PATH", "SIZE", "MODIFIED"), row)

    def files_get(self) -> None:
        if self._options.to is not None:
            self._ns.files.download(self._options.path, self._options.to)
        else:
            show_bytes(self._ns.files.read(self._options.path))

    def files_put(self) -> None:
        local, path = Path(self._options.local), self._options.path
        if self._options.dry_run:
            with local.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
            what = self._ns._perform(write_action, path)  # noqa: SLF001  # no more than it would send
            self._note(f"{path} would be {what}: {counted(size, 'byte')}.")
        else:
            self._ns.files.upload(local, path)
            self._note(f"{path} is written.")

    def files_sync(self) -> None:
        options = self._options
        changes = self._ns.files.sync(
            options.local,
            options.to,
            direction="down" if options.down else "up",
            delete=options.delete,
            dry_run=options.dry_run,
            on_change=None if options.json else _show_change,
        )
        self._show_changes(changes, are_shown=not options.dry_run)

    def flows_list(self) -> None:
        def row(flow: FlowSource) -> tuple[Any, ...]:
            return (flow.id, flow.revision, "disabled" if flow.disabled else "", flow.updated)

        self._show_all(self._ns.flows.list(), ("FLOW", "REVISION", "", "UPDATED"), row)

    def flows_get(self) -> None:
        flow = self._ns.flows.get(self._options.flow, revision=self._options.revision)
        if self._options.json:
            _show_json(asdict(flow))
        else:
            show_bytes((flow.source or "").encode())

    def flows_validate(self) -> int:
        found = self._ns.flows.validate(self._options.paths)
        if self._options.json:
            _show_lines(found)
        else:
            for each in found:
                show(printable(str(each)), sys.stdout)
        wrong = sum(not each.is_warning for each in found)
        self._note(f"{counted(wrong, 'violation')}, {counted(len(found) - wrong, 'warning')}.")
        return exits.BAD if wrong else exits.GOOD

    def flows_deploy(self) -> None:
        options = self._options
        changes = self._ns.flows.deploy(
            options.paths,
            dry_run=options.dry_run,
            delete=options.delete,
            override_namespace=options.override_namespace,
        )
        self._show_changes(changes)

    def executions(self) -> None:
        options = self._options
        found = self._ns.executions(
            options.flow,
            state=options.states,
            labels=options.labels,
            since=options.since,
            until=options.until,
        )
        row = attrgetter("id", "flow", "status", "state.start", "url")
        header = ("ID", "FLOW", "STATE", "CREATED", "URL")
        self._show_all(islice(found, options.limit), header, row)

    def webhook(self) -> int:
        key, options = os.environ.get(KEY_VARIABLE), self._options
        if not key:
            raise ValueError(
                f"the environment variable {KEY_VARIABLE} must hold the key of the webhook"
            )
        body = None if options.body is None else _value(options.body, None)
        if not isinstance(body, dict | list):
            body = options.body
        wait = False if options.wait is None else options.wait
        response = self._ns.webhook(options.flow, key, body, wait=wait)
        outputs = response.body if response.outputs is None else response.outputs
        if options.json:
            _show_json(asdict(response))
        else:
            _show_readable(outputs)
        return exits.GOOD if response.ok else exits.BAD

    def _show_all(
        self, found: Iterable[Any], header: Sequence[str], row: Callable[[Any], Iterable[Any]]
    ) -> None:
        """Show what is found in columns, cut where the terminal ends; empty ones are left out."""
        if self._options.json:
            _show_lines(found)
            return
        table = [header, *([_cell(value) for value in row(each)] for each in found)]
        used = [index for index in range(len(header)) if any(line[index] for line in table[1:])]
        shown = [[line[index] for index in used] for line in table]
        room = max(room_on(sys.stdout) or sys.maxsize, _LEAST)
        for line in columns(shown) if used else ():
            if not show(line if len(line) <= room else f"{line[: room - 1]}…", sys.stdout):
                return

    def _show_changes(self, changes: Sequence[Change], *, are_shown: bool = False) -> None:
        if self._options.json:
            _show_lines(changes)
        for change in () if self._options.json or are_shown else changes:
            _show_change(change)
        actions = [change.action for change in changes]
        counts = [f"{actions.count(each)} {each}" for each in ("created", "updated", "deleted")]
        if "unchanged" in actions:
            counts.append(f"{actions.count('unchanged')} unchanged")
        more = " (dry run: nothing is changed)" if self._options.dry_run else ""
        self._note(f"{', '.join(counts)}{more}.")


def _value(text: str, kind: str | None) -> Any:
    """Return what a value on the command line stands for."""
    if kind == "text":
        return text
    if kind in {None, "json"}:
        try:
            return json.loads(text)
        except ValueError:
            if kind is None:
                return text
            raise ValueError("VALUE is not valid JSON") from None
    value = value_of({"type": str(kind).upper(), "value": text})
    if kind == "duration" and value == text:
        with suppress(OverflowError, ValueError):
            value = timedelta(seconds=float(text))
    if value == text:
        raise ValueError(f"VALUE must be {_MEANT[str(kind)]}")
    return value


def _show_change(change: Change) -> None:
    revision = f" (revision {change.revision})" if change.revision else ""
    show(printable(f"{change.action:9} {change.name}{revision}"), sys.stdout)
    if change.diff:
        lines = printable(change.diff).split("\n")
        if is_live(sys.stdout):
            lines = [f"{_COLORS[x[0]]}{x}{_RESET}" if x[:1] in _COLORS else x for x in lines]
        show("\n".join(lines), sys.stdout)


def _show_lines(found: Iterable[Any]) -> None:
    for each in found:
        more = {"status": each.status} if isinstance(each, Execution) else {}
        if not _show_json({**asdict(each), **more}):
            return


def _show_json(value: Any) -> bool:
    return show(json.dumps(value, default=_plain), sys.stdout)


def _show_readable(value: Any) -> None:
    """Show JSON for people: only what is not printable is escaped."""
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    show("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text), sys.stdout)


def _plain(value: Any) -> str:
    return iso_duration(value) if isinstance(value, timedelta) else instant(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "seconds")
    return printable(str(value)).replace("\n", " ")


def namespace_command(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    """Carry out a command for a namespace."""
    name = getattr(options, "namespace", "any")  # that of a validation is in the sources
    commands = _Commands(flow.namespace(name), options, display)
    command: Callable[[], int | None] = getattr(commands, options.name.replace(" ", "_"))
    return command() or exits.GOOD
