"""What Kestra's engine does with the lines that a task prints, without any I/O."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kestra._engine import otlp
from kestra._engine.jackson import Refused, as_list, as_object, as_text, decode, trim
from kestra._engine.lines import frame_of, why_no_frame
from kestra._engine.messages import LogEntry, Messages, Rejected
from kestra._engine.meters import Meters, ReaderDied, Sample, read_sample
from kestra._engine.outputs import settle
from kestra._engine.rules import MAX_METRIC_NAME, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kestra._engine.messages import Source, State, Stream

_LEVEL_NAMES = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_LEVELS = {
    spelling: name for number, name in enumerate(_LEVEL_NAMES) for spelling in (name, str(number))
}
_DEBUG_MARKERS = {"##kestra:log:debug##": True, "##kestra:log:info##": False}
_ENTERPRISE_KEYS = ("encryptedOutputs",)


class Engine:
    """Takes a task's lines one by one, in the order of their arrival.

    Args:
        version: One of `RULES`.
        enterprise: The Enterprise Edition, which accepts assets.

    Raises:
        ValueError: The version is none of `RULES`.
    """

    def __init__(self, version: str = "2.0", *, enterprise: bool = False) -> None:
        if version not in RULES:
            raise ValueError(f"engine must be one of {', '.join(RULES)}, not {version!r}")
        self._rules = RULES[version]
        self._enterprise = enterprise
        self._outputs: dict[str, Any] = {}
        self._meters = Meters(as_server=self._rules.server)
        self._logs: list[LogEntry] = []
        self._assets: list[dict[str, Any]] = []
        self._rejected: list[Rejected] = []
        self._state: State = "SUCCESS"
        self._lines: dict[Stream, int] = defaultdict(int)
        self._died_at: dict[Stream, int] = {}
        self._debug = False

    def feed(self, line: str, stream: Stream = "stdout") -> bool:
        """Take one line, without its end; tell whether it is an ordinary one."""
        self._lines[stream] += 1
        frame = frame_of(line)
        marker = self._rules.debug_markers and line in _DEBUG_MARKERS
        if stream in self._died_at:
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
            for loss in self._keep(text):
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

    def _keep(self, text: str) -> Iterator[str]:
        """Keep what a frame holds; yield what is lost of it."""
        frame, rest = decode(text)
        # All is read before any is kept: a refusal drops the whole frame.
        samples = [
            read_sample(entry, f"metrics[{i}]", self._rules.metric_types)
            for i, entry in enumerate(as_list(frame.get("metrics"), "metrics"))
        ]
        logs = [
            _read_log(entry, f"logs[{i}]")
            for i, entry in enumerate(as_list(frame.get("logs"), "logs"))
        ]
        assets = self._read_assets(frame)
        record = as_object(frame.get("otlp") if "otlp" in self._rules.keys else None, "otlp")
        otlp_logs, otlp_metrics = otlp.read_logs(record), otlp.read_metrics(record)
        outputs = as_object(frame.get("outputs"), "outputs")

        yield from self._unread(frame, rest)
        for sample in samples:
            yield from self._keep_sample(sample)
        for log in logs:
            yield from self._keep_log(log, f"Invalid log '{text}'")
        self._keep_assets(assets)
        for log in otlp_logs:
            yield from self._keep_log(log, f"Invalid OTLP log '{text}'")
        for metric in otlp_metrics:
            yield from self._keep_otlp_metric(metric, f"Invalid OTLP metric '{text}'")
        yield from self._keep_outputs(outputs)

    def _unread(self, frame: dict[str, Any], rest: str) -> Iterator[str]:
        if "::{" in rest:
            yield "a second frame on the line is not read: give each a line of its own"
        elif rest.strip():
            yield "text after the JSON object, inside the frame, is not read"
        known = self._rules.keys + (_ENTERPRISE_KEYS if self._enterprise else ())
        for key in frame:
            if key not in known:
                yield f"{key!r} is not read: the keys are {', '.join(self._rules.keys)}"

    def _read_assets(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        if "assets" not in self._rules.keys or frame.get("assets") is None:
            return None
        assets = as_object(frame["assets"], "assets")
        for i, asset in enumerate(as_list(assets.get("inputs"), "assets.inputs")):
            where = f"assets.inputs[{i}]"
            as_text(as_object(asset, where).get("id"), f"{where}.id")
        for i, asset in enumerate(as_list(assets.get("outputs"), "assets.outputs")):
            self._check_asset(asset, f"assets.outputs[{i}]")
        return assets

    def _check_asset(self, asset: Any, where: str) -> None:
        if not isinstance(asset, dict):  # passes, strange to say
            return
        as_text(asset.get("id"), f"{where}.id")
        as_object(asset.get("metadata"), f"{where}.metadata")
        if self._rules.typed_assets and asset.get("type") is None:
            raise Refused(f"{where}.type is missing")

    def _keep_sample(self, sample: Sample | None) -> Iterator[str]:
        if sample and sample.name and len(sample.name) > MAX_METRIC_NAME:
            yield self._fatal(
                f"{sample.where}.name, of {len(sample.name)} characters, {self._rules.long_name}: "
                f"keep it to {MAX_METRIC_NAME}"
            )
        if sample and sample.type == "timer" and sample.value is None and self._rules.server:
            yield self._fatal(f"{sample.where}, a timer without a value, takes the server down")
        self._meters.add(sample)

    def _keep_log(self, log: tuple[str | None, str | None], complaint: str) -> Iterator[str]:
        level, message = log
        if level is None:
            self._log("WARN", complaint, "engine")
            yield f"a log is dropped that has no level: it is one of {', '.join(_LEVEL_NAMES)}"
        elif message is None and self._rules.server:
            yield "a log without a message leaves no entry"
        else:
            self._log(level, message, "frame")

    def _keep_assets(self, assets: dict[str, Any] | None) -> None:
        if assets is None:
            return
        if not self._enterprise:
            raise ReaderDied("only the Enterprise Edition takes assets", logged=False)
        settle(assets, as_server=False, drop_nulls=False)
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
        rules = self._rules
        found = settle(outputs, as_server=rules.server, drop_nulls=rules.drops_nulls)
        self._outputs.update(outputs)
        reasons = {
            "null": "null is not kept: leave the key out, or send a value",
            "NUL": "NUL characters are not kept",
            "infinite": "a number beyond a double becomes text",
            "surrogate": f"half of a surrogate pair {rules.lone_surrogate}",
        }
        for kind, paths in found.items():
            more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
            reason = f"{reasons[kind]} ({paths[0]}{more})"
            yield self._fatal(reason) if kind == "surrogate" else reason

    def _log(self, level: str, message: str | None, source: Source) -> None:
        size = self._rules.max_message
        if message and size:
            for start in range(0, len(message), size):
                self._logs.append(LogEntry(level, message[start : start + size], source))
        else:
            self._logs.append(LogEntry(level, message, source))

    def _see_stderr(self) -> None:
        if self._rules.stderr_warns and self._state == "SUCCESS":
            self._state = "WARNING"

    def _fatal(self, reason: str) -> str:
        if self._rules.server:
            self._state = "CRASH"
        return reason


def _read_log(entry: Any, where: str) -> tuple[str | None, str | None]:
    entry = as_object(entry, where)
    level, message = entry.get("level"), as_text(entry.get("message"), f"{where}.message")
    if level is None:
        return None, message
    if isinstance(level, str):
        level = trim(level)
    if type(level) not in {str, int} or str(level) not in _LEVELS:
        raise Refused(f"{where}.level is none of {', '.join(_LEVEL_NAMES)}")
    return _LEVELS[str(level)], message
