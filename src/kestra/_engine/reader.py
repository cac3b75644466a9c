"""What Kestra's engine does with the lines that a task prints, without any I/O."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from math import inf
from typing import Any

from kestra._engine import frame as parts
from kestra._engine.jackson import Double, Refused, as_list, as_object, read_json
from kestra._engine.lines import decode, frame_of, split_lines, why_no_frame
from kestra._engine.messages import Messages, Rejected, Source, State, Stream, TaskLog
from kestra._engine.meters import Meters, ReaderDied, Sample, read_sample
from kestra._engine.rules import MAX_METRIC_NAME, RULES, Rules

Lines = str | bytes | Iterable[str | bytes]

_DEBUG_MARKERS = {"##kestra:log:debug##": True, "##kestra:log:info##": False}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_WRAPPED = (
    "kotlp, which wraps the task, turns the frame into a log entry: turn the wrapper off in the "
    "task runner, or give it --log-dir"
)


class TaskReader:
    """Takes a task's lines one by one, in the order of their arrival.

    It keeps what a server keeps in the end, or what the side that runs the task hands on. `wrapped`
    is a process in `kotlp`, which turns each line, a frame too, into a log record.
    """

    def __init__(
        self,
        version: str = "2.0",
        *,
        enterprise: bool = False,
        server: bool = True,
        wrapped: bool = False,
    ) -> None:
        if version not in RULES:
            raise ValueError(f"engine must be one of {', '.join(RULES)}, not {version!r}")
        self._rules = RULES[version] if server else RULES[version].without_server()
        self._enterprise = enterprise
        self._wrapped = wrapped
        self._outputs: dict[str, Any] = {}
        self._meters = Meters(as_server=self._rules.server)
        self._logs: list[TaskLog] = []
        self._assets: list[dict[str, Any]] = []
        self._rejected: list[Rejected] = []
        self._state: State = "SUCCESS"
        self._lines: dict[Stream, int] = defaultdict(int)
        self._died_at: dict[Stream, int] = {}
        self._debug = False
        self._place: tuple[int, Stream, str] = 0, "stdout", ""

    def feed(self, line: str, stream: Stream = "stdout") -> bool:
        """Take one line, without its end; return True for an ordinary one."""
        self._lines[stream] += 1
        self._place = self._lines[stream], stream, line
        frame = frame_of(line)
        marker = self._rules.debug_markers and line in _DEBUG_MARKERS
        if self._wrapped:
            self._log("INFO", line, stream)
            self._lose(_WRAPPED if frame else None)
        elif stream in self._died_at:
            self._lose(f"{stream} is not read after line {self._died_at[stream]}")
        elif marker:
            self._debug = _DEBUG_MARKERS[line]
        else:
            if stream == "stderr":
                self._note_stderr()
            if frame:
                self._take_frame(frame, stream)
            else:
                level = "DEBUG" if self._debug else "INFO"
                self._log("ERROR" if stream == "stderr" else level, line, stream)
                self._lose(why_no_frame(line))
        return not frame and not marker

    def messages(self) -> Messages:
        """Return what has been kept, after the last line."""
        metrics = self._meters.metrics()
        return Messages(
            self._outputs, metrics, self._logs, self._assets, self._rejected, self._state
        )

    def _take_frame(self, text: str, stream: Stream) -> None:
        try:
            self._keep(text)
        except Refused as refused:
            self._log("WARN", f"Invalid outputs '{refused}'", "engine")
            self._lose(f"the whole frame is dropped: {refused}")
        except ReaderDied as death:
            self._died_at[stream] = self._lines[stream]
            if death.logged:  # as if the task had printed it to stderr
                self._log("ERROR", str(death), "engine")
                self._note_stderr()
            self._lose(f"the engine's reader of {stream} dies of it: {death}")

    def _keep(self, text: str) -> None:
        """Read a frame as a whole, and then keep its parts, in the order of the engine."""
        rules = self._rules
        frame, rest = read_json(text)
        samples = [read_sample(it, at, rules.metric_types) for at, it in as_list(frame, "metrics")]
        logs = [parts.read_log(it, at) for at, it in as_list(frame, "logs")]
        assets = parts.read_assets(frame, rules)
        record = as_object(frame.get("otlp") if "otlp" in rules.keys else None, "otlp")
        otlp_logs = parts.read_otlp_logs(record)
        otlp_metrics = parts.read_otlp_metrics(record)
        outputs = as_object(frame.get("outputs"), "outputs")
        for reason in parts.unread(frame, rest, rules.keys, enterprise=self._enterprise):
            self._lose(reason)
        for sample in samples:
            self._keep_sample(sample)
        for log in logs:
            self._keep_log(log, f"Invalid log '{text}'")
        if assets is not None:
            if not self._enterprise:
                raise ReaderDied("only the Enterprise Edition takes assets", logged=False)
            _keep_values(assets, rules.without_server())
            self._assets.append(assets)
        for log in otlp_logs:
            self._keep_log(log, f"Invalid OTLP log '{text}'")
        for metric in otlp_metrics:
            self._keep_otlp_metric(metric, f"Invalid OTLP metric '{text}'")
        self._keep_outputs(outputs)

    def _keep_sample(self, sample: Sample | None) -> None:
        if sample and sample.name and len(sample.name) > MAX_METRIC_NAME:
            self._lose(
                f"{sample.where}.name, of {len(sample.name)} characters, {self._rules.long_name}: "
                f"keep it to {MAX_METRIC_NAME}",
                fatal=True,
            )
        if sample and sample.type == "timer" and sample.value is None and self._rules.server:
            reason = f"{sample.where}, a timer without a value, takes the server down"
            self._lose(reason, fatal=True)
        self._meters.add(sample)

    def _keep_log(self, log: parts.Log, complaint: str) -> None:
        level, message = log
        if level is None:
            self._log("WARN", complaint, "engine")
            self._lose(
                f"a log without a level is dropped: give it one of {', '.join(parts.LEVELS)}"
            )
        elif message is None and self._rules.server:
            self._lose("a log without a message leaves no entry")
        else:
            self._log(level, message, "frame")

    def _keep_otlp_metric(self, samples: list[Sample] | None, complaint: str) -> None:
        reason = "null, or an attribute given twice" if samples is None else ""
        try:
            for sample in samples or ():
                self._meters.add(sample)
        except ReaderDied as death:  # not of this one
            reason = str(death)
        if reason:
            self._log("WARN", complaint, "engine")
            self._lose(f"an otlp metric is dropped: {reason}")

    def _keep_outputs(self, outputs: dict[str, Any]) -> None:
        found = _keep_values(outputs, self._rules)
        self._outputs.update(outputs)
        reasons = {
            "null": "null is not kept: leave the key out, or send a value",
            "NUL": "NUL characters are not kept",
            "infinite": "a number beyond a double becomes text",
            "surrogate": f"half of a surrogate pair {self._rules.lone_surrogate}",
        }
        for kind, paths in found.items():
            more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
            self._lose(f"{reasons[kind]} ({paths[0]}{more})", fatal=kind == "surrogate")

    def _log(self, level: str, message: str | None, source: Source) -> None:
        size = self._rules.max_message or len(message or "") or 1
        for start in range(0, len(message or "") or 1, size):
            part = message and message[start : start + size]
            self._logs.append(TaskLog(level, part, source))

    def _note_stderr(self) -> None:
        if self._rules.stderr_warns and self._state == "SUCCESS":
            self._state = "WARNING"

    def _lose(self, reason: str | None, *, fatal: bool = False) -> None:
        """Note what is lost of this line, if anything; `fatal` if the server does not survive."""
        if reason:
            self._rejected.append(Rejected(*self._place, reason))
        if fatal and self._rules.server:
            self._state = "CRASH"


def _keep_values(outputs: dict[str, Any], rules: Rules) -> dict[str, list[str]]:
    """Turn outputs, in place, into what is kept of them; return the paths of the rest, by kind."""
    found: dict[str, list[str]] = defaultdict(list)
    pending: list[tuple[str, Any]] = [("outputs", outputs)]
    while pending:  # no recursion: the engine nests deeper than Python's stack
        path, container = pending.pop()
        is_object = isinstance(container, dict)
        for key, value in list(container.items() if is_object else enumerate(container)):
            where = f"{path}.{key}" if is_object else f"{path}[{key}]"
            if _has_lone_surrogate(key) or _has_lone_surrogate(value):
                found["surrogate"].append(where)
            if isinstance(value, (dict, list)):
                pending.append((where, value))
            elif isinstance(value, Double):
                container[key] = float(value)
                if abs(value) == inf:
                    container[key] = "Infinity" if value > 0 else "-Infinity"
                    found["infinite"].append(where)
                elif rules.server:
                    container[key] += 0.0  # as a server does, which turns -0.0 into 0.0
            elif rules.strips_nul and isinstance(value, str) and "\0" in value:
                container[key] = value.replace("\0", "")
                found["NUL"].append(where)
            elif rules.drops_nulls and value is None and is_object:
                del container[key]
                found["null"].append(where)
    return found


def _has_lone_surrogate(value: Any) -> bool:
    return isinstance(value, str) and not value.isascii() and bool(_LONE_SURROGATE.search(value))


def read(stdout: Lines, stderr: Lines, reader: TaskReader) -> Messages:
    """Return what `reader` has kept after all of `stdout`, then all of `stderr`."""
    streams: dict[Stream, Lines] = {"stdout": stdout, "stderr": stderr}
    for stream, lines in streams.items():
        is_whole = isinstance(lines, (str, bytes, bytearray))
        texts: Iterable[Any] = [lines] if is_whole else lines
        for text in texts:
            found = split_lines(text if isinstance(text, str) else decode(text))
            for line in found or ([] if is_whole else [""]):
                reader.feed(line, stream)
    return reader.messages()
