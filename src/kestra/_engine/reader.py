"""What Kestra's engine does with the lines that a task prints, without any I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kestra._engine import outputs as _outputs
from kestra._engine.frame import LEVELS, read_frame
from kestra._engine.jackson import Refused
from kestra._engine.lines import decode, frame_of, split_lines, why_no_frame
from kestra._engine.messages import Messages, Rejected, TaskLog
from kestra._engine.meters import Meters, ReaderDied, Sample
from kestra._engine.rules import MAX_METRIC_NAME, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._engine.frame import Frame, Log
    from kestra._engine.messages import Source, State, Stream

_DEBUG_MARKERS = {"##kestra:log:debug##": True, "##kestra:log:info##": False}

Lines = str | bytes | Iterable[str | bytes]

_WRAPPED = (
    "kotlp, which wraps the task, turns the frame into a log entry: turn the wrapper off in the "
    "task runner, or give it --log-dir"
)


class TaskReader:
    """Takes a task's lines one by one, in the order of their arrival.

    Args:
        version: One of `RULES`.
        enterprise: The Enterprise Edition, which accepts assets.
        server: What a server keeps in the end; else what the side that runs the task hands on.
        wrapped: The task runner wraps the process in `kotlp`, which turns each line, a frame too,
            into a log record.

    Raises:
        ValueError: The version is not one of `RULES`.
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

    def feed(self, line: str, stream: Stream = "stdout") -> bool:
        """Take one line, without its end; return True for an ordinary one."""
        self._lines[stream] += 1
        frame = frame_of(line)
        marker = self._rules.debug_markers and line in _DEBUG_MARKERS
        if self._wrapped:
            self._log("INFO", line, stream)
            losses = [_WRAPPED] if frame else []
        elif stream in self._died_at:
            losses = [f"{stream} is not read after line {self._died_at[stream]}"]
        elif marker:
            self._debug = _DEBUG_MARKERS[line]
            losses = []
        elif frame:
            losses = self._take_frame(frame, stream)
        else:
            losses = self._take_text(line, stream)
        for reason in losses:
            self._rejected.append(Rejected(self._lines[stream], stream, line, reason))
        return not frame and not marker

    def messages(self) -> Messages:
        """Return what has been kept so far."""
        return Messages(
            dict(self._outputs),
            self._meters.metrics(),
            list(self._logs),
            list(self._assets),
            list(self._rejected),
            self._state,
        )

    def _take_text(self, line: str, stream: Stream) -> list[str]:
        level = "DEBUG" if self._debug else "INFO"
        if stream == "stderr":
            level = "ERROR"
            self._see_stderr()
        self._log(level, line, stream)
        reason = why_no_frame(line)
        return [reason] if reason else []

    def _take_frame(self, text: str, stream: Stream) -> list[str]:
        losses: list[str] = []
        if stream == "stderr":
            self._see_stderr()
        try:
            frame = read_frame(text, self._rules, enterprise=self._enterprise)
            for loss in self._keep(frame, text):
                losses.append(loss)  # noqa: PERF402  # what came before an exception stays
        except Refused as refused:
            self._log("WARN", f"Invalid outputs '{refused}'", "engine")
            losses.append(f"the whole frame is dropped: {refused}")
        except ReaderDied as death:
            self._died_at[stream] = self._lines[stream]
            if death.logged:  # as if the task had printed it to stderr
                self._log("ERROR", str(death), "engine")
                self._see_stderr()
            losses.append(f"the engine's reader of {stream} dies of it: {death}")
        return losses

    def _keep(self, frame: Frame, text: str) -> Iterator[str]:
        """Keep what a frame holds; yield what is lost of it."""
        yield from frame.unread
        for sample in frame.samples:
            yield from self._keep_sample(sample)
        for log in frame.logs:
            yield from self._keep_log(log, f"Invalid log '{text}'")
        self._keep_assets(frame.assets)
        for log in frame.otlp_logs:
            yield from self._keep_log(log, f"Invalid OTLP log '{text}'")
        for metric in frame.otlp_metrics:
            yield from self._keep_otlp_metric(metric, f"Invalid OTLP metric '{text}'")
        yield from self._keep_outputs(frame.outputs)

    def _keep_sample(self, sample: Sample | None) -> Iterator[str]:
        if sample and sample.name and len(sample.name) > MAX_METRIC_NAME:
            yield self._fatal(
                f"{sample.where}.name, of {len(sample.name)} characters, {self._rules.long_name}: "
                f"keep it to {MAX_METRIC_NAME}"
            )
        if sample and sample.type == "timer" and sample.value is None and self._rules.server:
            yield self._fatal(f"{sample.where}, a timer without a value, takes the server down")
        self._meters.add(sample)

    def _keep_log(self, log: Log, complaint: str) -> Iterator[str]:
        level, message = log
        if level is None:
            self._log("WARN", complaint, "engine")
            yield f"a log without a level is dropped: give it one of {', '.join(LEVELS)}"
        elif message is None and self._rules.server:
            yield "a log without a message leaves no entry"
        else:
            self._log(level, message, "frame")

    def _keep_assets(self, assets: dict[str, Any] | None) -> None:
        if assets is None:
            return
        if not self._enterprise:
            raise ReaderDied("only the Enterprise Edition takes assets", logged=False)
        _outputs.keep(assets, self._rules.without_server())
        self._assets.append(assets)

    def _keep_otlp_metric(self, samples: list[Sample] | None, complaint: str) -> Iterator[str]:
        reason = "null, or an attribute given twice" if samples is None else ""
        try:
            for sample in samples or ():
                self._meters.add(sample)
        except ReaderDied as death:  # not of this one
            reason = str(death)
        if reason:
            self._log("WARN", complaint, "engine")
            yield f"an otlp metric is dropped: {reason}"

    def _keep_outputs(self, outputs: dict[str, Any]) -> Iterator[str]:
        found = _outputs.keep(outputs, self._rules)
        self._outputs.update(outputs)
        reasons = {
            "null": "null is not kept: leave the key out, or send a value",
            "NUL": "NUL characters are not kept",
            "infinite": "a number beyond a double becomes text",
            "surrogate": f"half of a surrogate pair {self._rules.lone_surrogate}",
        }
        for kind, paths in found.items():
            more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
            reason = f"{reasons[kind]} ({paths[0]}{more})"
            yield self._fatal(reason) if kind == "surrogate" else reason

    def _log(self, level: str, message: str | None, source: Source) -> None:
        size = self._rules.max_message or len(message or "") or 1
        for start in range(0, len(message or "") or 1, size):
            part = message and message[start : start + size]
            self._logs.append(TaskLog(level, part, source))

    def _see_stderr(self) -> None:
        if self._rules.stderr_warns and self._state == "SUCCESS":
            self._state = "WARNING"

    def _fatal(self, reason: str) -> str:
        if self._rules.server:
            self._state = "CRASH"
        return reason


def read(stdout: Lines, stderr: Lines, reader: TaskReader) -> Messages:
    """Return what `reader` has kept after all of `stdout`, then all of `stderr`."""
    for line in _split(stdout):
        reader.feed(line, "stdout")
    for line in _split(stderr):
        reader.feed(line, "stderr")
    return reader.messages()


def _split(lines: Lines) -> Iterable[str]:
    if isinstance(lines, (str, bytes, bytearray)):
        return split_lines(_text(lines))
    return (line for item in lines for line in split_lines(_text(item)) or [""])


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else decode(text)
