"""What the commands for a namespace do."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._api.stored import body, checked_headers, checked_key, value_of
from kestra._cli import exits
from kestra._cli.namespace_arguments import KEY_VARIABLE
from kestra._cli.streams import is_live, room_on, show, show_bytes
from kestra._engine.report import printable
from kestra._values.times import iso_duration, parse_instant
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from kestra._api.namespaces import Change
    from kestra._cli.display import Display
    from kestra._client.flow import Flow
    from kestra._client.namespace import Namespace

_COLORS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_RESET = "\x1b[0m"
_LEAST = 8  # columns of a cell that is cut


def _kv_get(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    try:
        if options.json:
            shown = {**asdict(ns.kv.info(options.key)), "value": ns.kv[options.key]}
        else:
            shown = ns.kv[options.key]
    except KeyError:
        raise _missing(options.namespace, options.key) from None
    _show_json(shown)
    return exits.GOOD


def _kv_set(ns: Namespace, options: argparse.Namespace, display: Display) -> int:
    value = _value(options.value, options.type)
    if options.dry_run:
        checked_headers(options.ttl, options.description)
        body(value, f"kv[{checked_key(options.key)!r}]")
        display.note(f"{options.key} would be put as {type(value).__name__}.")
    else:
        ns.kv.set(options.key, value, ttl=options.ttl, description=options.description)
        display.note(f"{options.key} is put as {type(value).__name__}.")
    return exits.GOOD


def _value(text: str, kind: str | None) -> Any:
    """Return what a value on the command line stands for."""
    if kind == "date":
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise ValueError("VALUE must be a date such as 2026-01-31") from None
    if kind == "datetime":
        moment = parse_instant(text)
        if moment is None:
            raise ValueError("VALUE must be a date and time with Z or an offset")
        return moment
    if kind == "duration":
        value = value_of({"type": "DURATION", "value": text})
        try:
            return value if isinstance(value, timedelta) else timedelta(seconds=float(text))
        except (OverflowError, ValueError):
            raise ValueError("VALUE must be a duration such as PT90S, or seconds") from None
    if kind == "text":
        return text
    try:
        return json.loads(text)
    except ValueError:
        if kind == "json":
            raise ValueError("VALUE is not valid JSON") from None
        return text


def _kv_list(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    infos = ns.kv.list()
    if options.json:
        _show_lines(map(asdict, infos))
    else:
        rows = [
            (info.key, info.revision, info.updated, info.expires, info.description)
            for info in infos
        ]
        _show_table(("KEY", "REVISION", "UPDATED", "EXPIRES", "DESCRIPTION"), rows)
    return exits.GOOD


def _kv_delete(ns: Namespace, options: argparse.Namespace, display: Display) -> int:
    for key in options.keys:
        if options.dry_run:
            if key not in ns.kv:
                raise _missing(options.namespace, key)
            display.note(f"{key} would be deleted.")
            continue
        try:
            del ns.kv[key]
        except KeyError:
            raise _missing(options.namespace, key) from None
        display.note(f"{key} is deleted.")
    return exits.GOOD


def _missing(namespace: str, key: str) -> KestraError:
    return KestraError(f"there is no key {key!r} in the namespace {namespace}")


def _files_ls(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    found = ns.files.list(options.path, recursive=options.recursive)
    if options.json:
        _show_lines(map(asdict, found))
    elif options.recursive:
        show("\n".join(map(str, found)), sys.stdout, end="\n" if found else "")
    else:
        rows = [
            (f"{each}/" if each.is_folder else str(each), each.size, each.modified)
            for each in found
        ]
        _show_table(("PATH", "SIZE", "MODIFIED"), rows)
    return exits.GOOD


def _files_get(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    if options.to is not None:
        ns.files.download(options.path, options.to)
    else:
        show_bytes(ns.files.read(options.path))
    return exits.GOOD


def _files_put(ns: Namespace, options: argparse.Namespace, display: Display) -> int:
    local = Path(options.local)
    if options.dry_run:
        size = local.stat().st_size
        what = "updated" if ns.files.exists(options.path) else "created"
        display.note(f"{options.path} would be {what}: {size:,} bytes.")
    else:
        ns.files.upload(local, options.path)
        display.note(f"{options.path} is written.")
    return exits.GOOD


def _files_sync(ns: Namespace, options: argparse.Namespace, display: Display) -> int:
    def tell(change: Change) -> None:
        if not options.json:
            show(printable(f"{change.action:9} {change.name}"), sys.stdout)

    changes = ns.files.sync(
        options.local,
        options.to,
        direction="down" if options.down else "up",
        delete=options.delete,
        dry_run=options.dry_run,
        on_change=tell,
    )
    if options.json:
        _show_lines(map(asdict, changes))
    elif options.dry_run:
        for change in changes:
            tell(change)
    display.note(_summary(changes, dry_run=options.dry_run))
    return exits.GOOD


def _flows_list(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    found = ns.flows.list()
    if options.json:
        _show_lines(map(asdict, found))
    else:
        rows = [
            (flow.id, flow.revision, "disabled" if flow.disabled else "", flow.updated)
            for flow in found
        ]
        _show_table(("FLOW", "REVISION", "", "UPDATED"), rows)
    return exits.GOOD


def _flows_get(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    flow = ns.flows.get(options.flow, revision=options.revision)
    if options.json:
        _show_json(asdict(flow))
    else:
        show_bytes((flow.source or "").encode())
    return exits.GOOD


def _flows_validate(ns: Namespace, options: argparse.Namespace, display: Display) -> int:
    found = ns.flows.validate(options.paths)
    if options.json:
        _show_lines(map(asdict, found))
    else:
        for each in found:
            show(printable(str(each)), sys.stdout)
    wrong = sum(not each.is_warning for each in found)
    display.note(f"{wrong} violations, {len(found) - wrong} warnings.")
    return exits.BAD if wrong else exits.GOOD


def _flows_deploy(ns: Namespace, options: argparse.Namespace, display: Display) -> int:
    changes = ns.flows.deploy(
        options.paths,
        dry_run=options.dry_run,
        delete=options.delete,
        override_namespace=options.override_namespace,
    )
    if options.json:
        _show_lines(map(asdict, changes))
    else:
        for change in changes:
            revision = f" (revision {change.revision})" if change.revision else ""
            show(printable(f"{change.action:9} {change.name}{revision}"), sys.stdout)
            if change.diff:
                show(_colored(printable(change.diff)), sys.stdout)
    display.note(_summary(changes, dry_run=options.dry_run))
    return exits.GOOD


def _colored(diff: str) -> str:
    if not is_live(sys.stdout):
        return diff
    lines = diff.split("\n")
    return "\n".join(
        f"{_COLORS[line[0]]}{line}{_RESET}" if line[:1] in _COLORS else line for line in lines
    )


def _summary(changes: Sequence[Change], *, dry_run: bool) -> str:
    actions = [change.action for change in changes]
    counts = [
        f"{actions.count(each)} {each}"
        for each in ("created", "updated", "deleted", "unchanged")
        if each in actions or each != "unchanged"
    ]
    return f"{', '.join(counts)}{' (dry run: nothing is changed)' if dry_run else ''}."


def _executions(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    found = ns.executions(
        options.flow,
        state=options.states,
        labels=options.labels,
        since=options.since,
        until=options.until,
    )
    some = islice(found, options.limit)
    if options.json:
        _show_lines({**asdict(each), "status": each.status} for each in some)
    else:
        rows = [(each.id, each.flow, each.status, each.state.start, each.url) for each in some]
        _show_table(("ID", "FLOW", "STATE", "CREATED", "URL"), rows)
    return exits.GOOD


def _webhook(ns: Namespace, options: argparse.Namespace, _: Display) -> int:
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise ValueError(
            f"the environment variable {KEY_VARIABLE} must hold the key of the webhook"
        )
    sent: Any = options.body
    if sent is not None:
        value = _value(sent, None)
        sent = value if isinstance(value, dict | list) else sent
    wait = False if options.wait is None else options.wait
    response = ns.webhook(options.flow, key, sent, wait=wait)
    if options.json:
        _show_json(asdict(response))
    else:
        _show_json(response.body if response.outputs is None else response.outputs)
    return exits.GOOD if response.ok else exits.BAD


# --- what is shown ---


def _show_json(value: Any) -> None:
    show(json.dumps(value, default=_plain), sys.stdout)


def _show_lines(values: Iterable[Any]) -> None:
    for value in values:
        if not show(json.dumps(value, default=_plain), sys.stdout):
            return


def _plain(value: Any) -> str:
    return iso_duration(value) if isinstance(value, timedelta) else str(value.isoformat())


def _show_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Show rows in columns, the last of them cut where the terminal ends; empty ones left out."""
    table = [list(header), *([_cell(each) for each in row] for row in rows)]
    used = [index for index in range(len(header)) if any(row[index] for row in table[1:])]
    widths = [max(len(row[index]) for row in table) for index in used]
    room = room_on(sys.stdout)
    for row in table if used else ():
        cells = (row[index].ljust(width) for index, width in zip(used, widths, strict=True))
        line = "  ".join(cells).rstrip()
        if room is not None and len(line) > max(room, _LEAST):
            line = f"{line[: max(room, _LEAST) - 1]}…"
        if not show(line, sys.stdout):
            return


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "seconds")
    return printable(str(value)).replace("\n", " ")


_COMMANDS: dict[str, Callable[[Namespace, argparse.Namespace, Display], int]] = {
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
    return _COMMANDS[options.name](flow.namespace(name), options, display)
