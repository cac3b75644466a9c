"""Files with the sources of flows: their documents, which flow each is, and in which order they go.

A server keeps a source byte for byte, so that a document is a piece of the text of its file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = frozenset({".yml", ".yaml"})
# By YAML's own rule, no text begins a line like this but a document, and directives before it.
SEPARATOR = re.compile(
    r"^\ufeff?(?:%[^\n]*\n)*---(?=[ \t\r\n]|\Z)[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)?", re.MULTILINE
)
_MARKS = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor or a tag before a value
_CALLERS = ("Subflow", "ForEachItem", ".flow.Flow", ".flows.Flow")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Source:
    """A document: the source of a flow; without id and namespace where it cannot be read."""

    path: str
    line: int  # how many lines of the file come before it
    text: str
    id: str | None = None
    namespace: str | None = None
    namespace_at: tuple[int, int] = (0, 0)  # in the text, if it can be replaced there
    calls: frozenset[tuple[str, str]] = frozenset()  # namespaces and ids of flows
    fault: str = ""  # why it cannot be read

    @property
    def place(self) -> str:
        """Where it is, for an error."""
        return f"{self.path}:{self.line + 1}" if self.line else self.path


def checked_paths(paths: Any) -> list[Path]:
    """Return what was given as a path or several."""
    given: list[Any] = [paths]
    if isinstance(paths, Iterable) and not isinstance(paths, str | bytes | os.PathLike):
        given = list(paths)
    for each in given:
        if not isinstance(each, str | os.PathLike):
            raise TypeError(f"paths must be a path or several, not {type(each).__name__}")
    return [Path(each) for each in given]


def read_sources(paths: Iterable[Path], *, whole: bool = True) -> list[Source]:
    """Return the documents of files, and of the YAML files below folders.

    That of a file with one is its whole text, if that can be read, unless `whole` is off.
    """
    files = [path for each in paths for path in _files(each)]
    sources = [source for path in files for source in _documents(path, whole)]
    if not sources:
        listed = ", ".join(map(str, paths)) or "nothing"
        raise ValueError(
            f"paths: there are no flows in {listed}: give YAML files, or folders with some"
        )
    return sources


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [
        each
        for each in sorted(path.rglob("*"))
        if each.suffix in _SUFFIXES
        and each.is_file()
        and not any(part.startswith(".") for part in each.relative_to(path).parts)
    ]


def _documents(path: Path, whole: bool) -> list[Source]:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    matches = list(SEPARATOR.finditer(text))
    starts = [0, *(match.end() for match in matches)]
    ends = [*(match.start() for match in matches), len(text)]
    found = [
        document(text[start:end], str(path), text.count("\n", 0, start))
        for start, end in zip(starts, ends, strict=True)
    ]
    documents = [each for each in found if each is not None]
    all_of_it = document(text, str(path)) if whole and len(documents) == 1 else None
    return documents if all_of_it is None or all_of_it.fault else [all_of_it]


def document(text: str, path: str = "", line: int = 0) -> Source | None:
    """Return a document with what it says of its flow; `None` if it is empty."""
    yaml = _yaml()
    bom = len(text) - len(text.removeprefix(_BOM))
    source = Source(path, line, text)
    try:
        root = yaml.compose(text[bom:], Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        where = f"line {line + at.line + 1}: " if at else ""
        said = getattr(error, "problem", None) or "not valid YAML"
        return replace(source, fault=f"{where}{said}")
    except RecursionError:
        return replace(source, fault="it is nested too deeply to be read")
    if root is None:
        return None
    values = _mapping(root)
    for name in ("id", "namespace"):
        if not _scalar(values.get(name)):
            return replace(source, fault=f"it has no {name}, so it is not a flow")
    at = values["namespace"]
    source = replace(
        source,
        id=_scalar(values["id"]),
        namespace=_scalar(at),
        calls=frozenset(_calls(root, str(_scalar(at)))),
    )
    key = next(key for key, value in root.value if value is at and _scalar(key) == "namespace")
    start, end = at.start_mark.index, at.end_mark.index
    # What an alias stands for comes before its key, and is the value of another one.
    if at.style in {"|", ">"} or start < key.end_mark.index:
        return source
    return replace(source, namespace_at=(start + bom, end + bom))


def _calls(root: Any, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield the flows that tasks below a node call; aliases may make it one below itself."""
    todo, known = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in known:
            continue
        known.add(id(node))
        values = _mapping(node)
        called = _scalar(values.get("flowId"))
        if called and str(_scalar(values.get("type"))).endswith(_CALLERS):
            yield _scalar(values.get("namespace")) or namespace, called
        todo += node.value if node.id == "sequence" else values.values()


def _mapping(node: Any) -> dict[str, Any]:
    if getattr(node, "id", None) != "mapping":
        return {}
    return {name: value for key, value in node.value if (name := _scalar(key)) is not None}


def _scalar(node: Any) -> str | None:
    return str(node.value) if getattr(node, "id", None) == "scalar" else None


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise ImportError(
            "to read the sources of flows, install PyYAML: pip install 'kestra[namespace]'"
        ) from None
    return yaml


def for_namespace(sources: Iterable[Source], namespace: str, *, override: bool) -> list[Source]:
    """Return the documents with this namespace, in an order in which callers come last."""
    own: dict[str, Source] = {}
    for source in sources:
        flow = str(source.id)
        if source.fault:
            raise ValueError(f"{source.place}: {source.fault}")
        if source.namespace != namespace and not override:
            raise ValueError(
                f"{source.place}: the flow {flow} is of the namespace {source.namespace}, not "
                f"{namespace}: deploy it there, or with override_namespace=True"
            )
        if flow in own:
            raise ValueError(f"{source.place}: the flow {flow} is in {own[flow].place} as well")
        own[flow] = source if source.namespace == namespace else _moved(source, namespace)
    return list(_in_order(own, namespace))


def _moved(source: Source, namespace: str) -> Source:
    start, end = source.namespace_at
    if not end:
        raise ValueError(
            f"{source.place}: the namespace is an alias or a block, which cannot be "
            "replaced: write it as plain text"
        )
    marks = _MARKS.match(source.text[start:end])[0]  # type: ignore[index]  # it matches nothing too
    own = ((namespace if where == source.namespace else where, to) for where, to in source.calls)
    return replace(
        source,
        text=source.text[:start] + marks + namespace + source.text[end:],
        namespace=namespace,
        calls=frozenset(own),
    )


def _in_order(sources: dict[str, Source], namespace: str) -> Iterator[Source]:
    """Yield each after those that it calls; where they call each other, in the order of files."""
    known: set[str] = set()
    todo = [(flow, False) for flow in reversed(sources)]
    while todo:
        flow, is_ready = todo.pop()
        if is_ready:
            yield sources[flow]
        elif flow in sources and flow not in known:
            known.add(flow)
            todo.append((flow, True))
            called = sorted(called for where, called in sources[flow].calls if where == namespace)
            todo += [(each, False) for each in reversed(called)]


def difference(old: str, new: str, name: str, path: str) -> str:
    """Return the difference of two sources as a unified diff; empty where there is none."""
    lines = unified_diff(_lines(old), _lines(new), f"{name} (server)", path, lineterm="")
    return "\n".join(lines)


def _lines(text: str) -> list[str]:
    *lines, rest = text.split("\n")
    return [*lines, rest, "\\ No newline at end of file"] if rest else lines
