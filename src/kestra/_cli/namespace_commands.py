"""What the commands for a namespace do."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._api.namespaces import Execution
from kestra._api.stored import put_request, value_of
from kestra._cli import exits
from kestra._cli.namespace_arguments import KEY_VARIABLE
from kestra._cli.streams import is_live, printable, room_on, show, show_bytes
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
_LEAST = 8  # columns of a cell that is cut


@contextmanager
def _naming_key(options: argparse.Namespace) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        key = error.args[0]
        raise KestraError(f"there is no key {key!r} in the namespace {options.namespace}") from None


def _kv_get(ns: Namespace, options: argparse.Namespace, _: Display) -> None:
    with _naming_key(options):
        if options.json:
            _show_json({**asdict(ns.kv.info(options.key)), "value": ns.kv[options.key]})
        else:
            _show_json(ns.kv[options.key])


def _kv_set(ns: Namespace, options: argparse.Namespace, display: Display) -> None:
    value = _value(options.value, options.type)
    if options.dry_run:
        put_request(options.key, value, options.ttl, options.description)
    else:
        ns.kv.set(options.key, value, ttl=options.ttl, description=options.description)
    done = "would be" if options.dry_run else "is"
    display.note(f"{options.key} {done} put as {type(value).__name__}.")


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


def _kv_list(ns: Namespace, options: argparse.Namespace, _: Display) -> None:
    header = ("KEY", "REVISION", "UPDATED", "EXPIRES", "DESCRIPTION")
    row = attrgetter("key", "revision", "updated", "expires", "description")
    _show_table(options, ns.kv.list(), header, row)


def _kv_delete(ns: Namespace, options: argparse.Namespace, display: Display) -> None:
    for key in options.keys:
        with _naming_key(options):
            if not options.dry_run:
                del ns.kv[key]
            elif key not in ns.kv:
                raise KeyError(key)
        display.note(f"{key} {'would be' if options.dry_run else 'is'} deleted.")


def _files_ls(ns: Namespace, options: argparse.Namespace, _: Display) -> None:
    found = ns.files.list(options.path, recursive=options.recursive)
    if options.recursive and not options.json:
        show("\n".join(map(str, found)), sys.stdout, end="\n" if found else "")
        return

    def row(each: FileInfo) -> tuple[Any, ...]:
        return (f"{each}/" if each.is_folder else str(each), each.size, each.modified)

    _show_table(options, found, ("PATH", "SIZE", "MODIFIED"), row)


def _files_get(ns: Namespace, options: argparse.Namespace, _: Display) -> None:
    if options.to is not None:
        ns.files.download(options.path, options.to)
    else:
        show_bytes(ns.files.read(options.path))


def _files_put(ns: Namespace, options: argparse.Namespace, display: Display) -> None:
    local = Path(options.local)
    if options.dry_run:
        size = local.stat().st_size
        what = "updated" if ns.files.exists(options.path) else "created"
        display.note(f"{options.path} would be {what}: {size:,} bytes.")
    else:
        ns.files.upload(local, options.path)
        display.note(f"{options.path} is written.")


def _files_sync(ns: Namespace, options: argparse.Namespace, display: Display) -> None:
    changes = ns.files.sync(
        options.local,
        options.to,
        direction="down" if options.down else "up",
        delete=options.delete,
        dry_run=options.dry_run,
        on_change=None if options.json else _show_change,
    )
    _show_changes(options, display, changes, are_shown=not options.dry_run)


def _flows_list(ns: Namespace, options: argparse.Namespace, _: Display) -> None:
    def row(flow: FlowSource) -> tuple[Any, ...]:
        return (flow.id, flow.revision, "disabled" if flow.disabled else "", flow.updated)

    _show_table(options, ns.flows.list(), ("FLOW", "REVISION", "", "UPDATED"), row)


def _flows_get(ns: Namespace, options: argparse.Namespace, _: Display) -> None:
    flow = ns.flows.get(options.flow, revision=options.revision)
    if options.json:
        _show_json(asdict(flow))
    else:
        show_bytes((flow.source or "").encode())


def _flows_validate(ns: Namespace, options: argparse.Namespace, display: Display) -> int:
    found = ns.flows.validate(options.paths)
    if options.json:
        _show_lines(found)
    else:
        for each in found:
            show(printable(str(each)), sys.stdout)
    wrong = sum(not each.is_warning for each in found)
    display.note(f"{wrong} violations, {len(found) - wrong} warnings.")
    return exits.BAD if wrong else exits.GOOD


def _flows_deploy(ns: Namespace, options: argparse.Namespace, display: Display) -> None:
    changes = ns.flows.deploy(
        options.paths,
        dry_run=options.dry_run,
        delete=options.delete,
        override_namespace=options.override_namespace,
    )
    _show_changes(options, display, changes)


def _show_changes(
    options: argparse.Namespace,
    display: Display,
    changes: Sequence[Change],
    *,
    are_shown: bool = False,
) -> None:
    if options.json:
        _show_lines(changes)
    for change in () if options.json or are_shown else changes:
        _show_change(change)
    actions = [change.action for change in changes]
    counts = [f"{actions.count(each)} {each}" for each in ("created", "updated", "deleted")]
    if "unchanged" in actions:
        counts.append(f"{actions.count('unchanged')} unchanged")
    more = " (dry run: nothing is changed)" if options.dry_run else ""
    display.note(f"{', '.join(counts)}{more}.")


def _show_change(change: Change) -> None:
    revision = f" (revision {change.revision})" if change.revision else ""
    show(printable(f"{change.action:9} {change.name}{revision}"), sys.stdout)
    if change.diff:
        lines = printable(change.diff).split("\n")
        if is_live(sys.stdout):
            lines = [f"{_COLORS[x[0]]}{x}{_RESET}" if x[:1] in _COLORS else x for x in lines]
        show("\n".join(lines), sys.stdout)


def _executions(ns: Namespace, options: argparse.Namespace, _: Display) -> None:
    found = ns.executions(
        options.flow,
        state=options.states,
        labels=options.labels,
        since=options.since,
        until=options.until,
    )
    row = attrgetter("id", "flow", "status", "state.start", "url")
    header = ("ID", "FLOW", "STATE", "CREATED", "URL")
    _show_table(options, islice(found, options.limit), header, row)


def _webhook(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise ValueError(
            f"the environment variable {KEY_VARIABLE} must hold the key of the webhook"
        )
    body = None if options.body is None else _value(options.body, None)
    if not isinstance(body, dict | list):
        body = options.body
    wait = False if options.wait is None else options.wait
    response = ns.webhook(options.flow, key, body, wait=wait)
    outputs = response.body if response.outputs is None else response.outputs
    _show_json(asdict(response) if options.json else outputs)
    return exits.GOOD if response.ok else exits.BAD


# --- what is shown ---


def _show_lines(found: Iterable[Any]) -> None:
    for each in found:
        more = {"status": each.status} if isinstance(each, Execution) else {}
        if not _show_json({**asdict(each), **more}):
            return


def _show_json(value: Any) -> bool:
    return show(json.dumps(value, default=_plain), sys.stdout)


def _plain(value: Any) -> str:
    return iso_duration(value) if isinstance(value, timedelta) else str(value.isoformat())


def _show_table(
    options: argparse.Namespace,
    found: Iterable[Any],
    header: Sequence[str],
    row: Callable[[Any], Iterable[Any]],
) -> None:
    """Show rows in columns, the last of them cut where the terminal ends; empty ones left out."""
    if options.json:
        _show_lines(found)
        return
    table = [header, *([_cell(value) for value in row(each)] for each in found)]
    used = [index for index in range(len(header)) if any(line[index] for line in table[1:])]
    widths = [max(len(line[index]) for line in table) for index in used]
    room = room_on(sys.stdout)
    for line in table if used else ():
        cells = (line[index].ljust(width) for index, width in zip(used, widths, strict=True))
        text = "  ".join(cells).rstrip()
        if room is not None and len(text) > max(room, _LEAST):
            text = f"{text[: max(room, _LEAST) - 1]}…"
        if not show(text, sys.stdout):
            return


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "seconds")
    return printable(str(value)).replace("\n", " ")


_COMMANDS: dict[str, Callable[[Namespace, argparse.Namespace, Display], int | None]] = {
    "kv get": _kv_get,
    "kv set": _kv_set,
    "kv list": _kv_list,
    "kv delete": _kv_delete,
    "files ls": _files_ls,
    "files get": _files_get,
    "files put": _files_put,
    "files sync": _files_sync,
    "flows list": _flows_list,
    "flows get": _flows_get,
    "flows validate": _flows_validate,
    "flows deploy": _flows_deploy,
    "executions": _executions,
    "webhook": _webhook,
}


def namespace_command(flow: Flow, options: argparse.Namespace, display: Display) -> int:
    """Carry out a command for a namespace."""
    name = getattr(options, "namespace", "any")  # that of a validation is in the sources
    return _COMMANDS[options.name](flow.namespace(name), options, display) or exits.GOOD
