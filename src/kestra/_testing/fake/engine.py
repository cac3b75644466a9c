"""What the server knows, and what it does: flows, executions, and the refusals of both."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from kestra._http.creation import CORRELATION
from kestra._testing.fake import inputs as _inputs
from kestra._testing.fake.executions import Execution, FlowDefinition, Step
from kestra._testing.fake.refused import Refused, UnexpectedError, not_found, not_terminated
from kestra._testing.fake.task import Result, call

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from kestra._testing.fake.clock import Clock

_FLOW = "Requested Flow is not found."
_NOTHING = "No task found to restart execution from!"


class Engine:
    """A server's flows and executions.

    Attributes:
        version: `0.21`, `1.3` or `2.0`.
        flows: The flows by namespace and id; `None` for one that is said not to be there.
        executions: The executions by id, in the order of their creation.
        courses: What the next executions are to go through.
    """

    def __init__(self, version: str, clock: Clock) -> None:
        self.version = version
        self.clock = clock
        self.flows: dict[tuple[str, str], FlowDefinition | None] = {}
        self.executions: dict[str, Execution] = {}
        self.courses: deque[list[Step]] = deque()
        self._lock = threading.RLock()

    # --- time ---

    def play(self, execution: Execution) -> None:
        """Let everything happen to an execution that is due by now."""
        while self._steps(execution):
            before = self.clock.monotonic()
            # Where the call is broken off, by Ctrl-C or the end of a test.
            result = Result("FAILED")
            try:
                result = call(
                    execution.definition.function,
                    dict(execution.inputs),
                    self.version,
                    lambda name, content: self._store(execution, name, content),
                )
            finally:
                with self._lock:
                    execution.finish(result, self.clock.monotonic() - before)

    def _steps(self, execution: Execution) -> bool:
        """Step to now, or to where the flow's function is to be called, and say which."""
        with self._lock:  # which the function is called without: it may start executions itself
            while not execution.is_busy and execution.due <= self.clock.monotonic():
                if execution.step():
                    return True
            return False

    def _store(self, execution: Execution, name: str, content: bytes) -> str:
        space = execution.namespace.replace(".", "/")
        place = f"tasks/{execution.definition.tasks[-1]}/{len(execution.files)}-{name}"
        uri = f"kestra:///{space}/{execution.flow}/executions/{execution.id}/{place}"
        execution.files[uri] = content
        return uri

    # --- creation ---

    def definition(self, namespace: str, flow: str, revision: int | None) -> FlowDefinition:
        """Return a flow.

        Raises:
            Refused: It is not there, or not this revision of it, or disabled.
            UnexpectedError: Nobody has said whether it is there.
        """
        if (namespace, flow) not in self.flows:
            known = ", ".join(f"{ns}.{name}" for ns, name in self.flows) or "none"
            raise UnexpectedError(
                f"no flow {namespace}.{flow} is registered, only: {known}. Register it with "
                "`flow(namespace, id, function)`, or say with `missing(namespace, id)` that the "
                "server does not have it"
            )
        definition = self.flows[namespace, flow]
        if definition is None or (revision is not None and revision not in definition.revisions):
            raise not_found(_FLOW)
        if definition.disabled:
            raise Refused(409, "Illegal state: Requested Flow is disabled.")
        return definition

    def create(
        self,
        definition: FlowDefinition,
        revision: int | None,
        parts: Iterable[_inputs.Part],
        labels: Mapping[str, str],
        schedule_date: datetime | None,
    ) -> Execution:
        """Create an execution.

        Args:
            definition: The flow.
            revision: Its revision, the latest by default.
            parts: Names, filenames and contents of what was sent.
            labels: The labels that were sent.
            schedule_date: When to run it.

        Raises:
            Refused: An input is not accepted.
        """
        with self._lock:
            new_id = f"execution{len(self.executions) + 1}"
            place = f"{definition.namespace.replace('.', '/')}/{definition.id}/executions/{new_id}"
            sent = self._sent(parts, f"///{place}/inputs")
            known = definition.inputs
            execution = Execution(
                definition,
                new_id,
                revision or max(definition.revisions),
                sent if known is None else _inputs.read(known, sent, self.version),
                self._labels(new_id, definition, labels),
                self.clock.monotonic(),
                schedule_date,
            )
            files = [each for each in sent.values() if isinstance(each, _inputs.SentFile)]
            execution.files.update((file.uri, file) for file in files)
            course = self.courses.popleft() if self.courses else definition.states
            date = self.clock.moment(schedule_date) if schedule_date else 0
            execution.start(course, max(date - execution.created, 0))
            self.executions[new_id] = execution
            return execution

    def _sent(self, parts: Iterable[_inputs.Part], place: str) -> dict[str, Any]:
        """Return what was sent, by the id of the input that it is for."""
        sent: dict[str, Any] = {}
        for name, filename, content in parts:
            if filename is None:
                sent[name] = content.decode()
                continue
            # 0.21 looks at the filename only; later ones at the part's name, unless it is `files`.
            key = filename if self.version == "0.21" or name == "files" else name
            path = f"{place}/{key}/{filename}"
            if illegal := _inputs.illegal_in_path(path):
                raise Refused(422, f"Illegal argument: java.net.URISyntaxException: {illegal}")
            sent[key] = _inputs.SentFile.of(content, filename, f"kestra:{path}")
        return sent

    def _labels(
        self, new_id: str, definition: FlowDefinition, labels: Mapping[str, str]
    ) -> dict[str, str]:
        system = {} if self.version == "0.21" else {"system.from": "api"}
        return {**definition.labels, **system, CORRELATION: new_id, **labels}

    # --- reading ---

    def get(self, execution_id: str, what: str = "") -> Execution:
        """Return an execution as it is now.

        Raises:
            Refused: There is none of that id; `what` is what the server says then.
        """
        execution = self.executions.get(execution_id)
        if execution is None:
            raise not_found(what)
        self.play(execution)
        return execution

    def all(self) -> list[Execution]:
        """Return all executions as they are now, the latest first."""
        return [self.get(each) for each in reversed(list(self.executions))]

    # --- acting ---

    def kill(self, execution_id: str) -> Execution:
        """Kill an execution; one that has ended stays as it is."""
        execution = self.get(execution_id)
        with self._lock:
            if execution.has_ended and self.version == "2.0":
                raise Refused(409, "Illegal state: The execution has ended")
            if not (execution.has_ended or execution.state == "KILLING"):
                execution.kill(self.clock.monotonic())
        return execution

    def pause(self, execution_id: str) -> Execution:
        """Pause an execution that runs."""
        execution = self.get(execution_id)
        with self._lock:
            if execution.state != "RUNNING":
                raise self._out_of_place("The execution is not running")
            execution.pause(self.clock.monotonic())
        return execution

    def resume(self, execution_id: str, parts: Iterable[_inputs.Part]) -> Execution:
        """Resume an execution that is paused.

        Raises:
            Refused: It is not, or an input is not accepted.
        """
        execution = self.get(execution_id, f"Execution '{execution_id}' not found.")
        with self._lock:
            if execution.state != "PAUSED":
                text = f"Execution '{execution_id}' is not paused, can't resume it"
                raise Refused(409, f"Illegal state: {text}")
            sent = self._sent(parts, f"///executions/{execution_id}/resume")
            known = execution.definition.on_resume
            values = _inputs.read(known, sent, self.version) if known else sent
            execution.resumed = values
            execution.resume(self.clock.monotonic())
        return execution

    def restart(self, execution_id: str, revision: int | None) -> Execution:
        """Run an execution again that has failed; with a revision, as a new one."""
        execution = self.get(execution_id)
        with self._lock:
            if not execution.has_ended:
                state = f"current state is '{execution.state}'"
                raise Refused(409, f"Illegal state: Execution must be terminated, {state}")
            if execution.state != "FAILED":
                raise self._out_of_place(_NOTHING)
            if revision is not None:
                execution = self._copy(execution, revision)
                execution.history = list(self.executions[execution_id].history)
            execution.labels["system.restarted"] = "true"
            execution.restart(self.clock.monotonic())
            self.executions[execution.id] = execution
        return execution

    def replay(self, execution_id: str, task_run: str | None, revision: int | None) -> Execution:
        """Run an execution again, as a new one."""
        execution = self.get(execution_id)
        with self._lock:
            runs = {f"{execution_id}-{task}" for task in execution.definition.tasks}
            if task_run is not None and task_run not in runs:
                raise self._out_of_place(_NOTHING)
            new = self._copy(execution, revision)
            new.labels["system.replay"] = "true"
            new.attempts += 1
            new.start(execution.definition.states)
            self.executions[new.id] = new
        return new

    def set_labels(self, execution_id: str, labels: Mapping[str, str]) -> Execution:
        """Add labels to an execution that has ended."""
        execution = self.get(execution_id)
        with self._lock:
            if not execution.has_ended:
                raise not_terminated()
            execution.labels.update(labels)
        return execution

    def _out_of_place(self, what: str) -> Refused:
        return Refused(409 if self.version == "2.0" else 422, f"Illegal argument: {what}")

    def _copy(self, execution: Execution, revision: int | None) -> Execution:
        """Return an execution like another one, with nothing in it that has come about."""
        if revision is not None and revision not in execution.definition.revisions:
            raise not_found(_FLOW)
        return Execution(
            execution.definition,
            f"execution{len(self.executions) + 1}",
            revision or execution.revision,
            execution.inputs,
            dict(execution.labels),
            self.clock.monotonic(),
            parent=execution.id,
            files=dict(execution.files),
            attempts=execution.attempts,
        )
