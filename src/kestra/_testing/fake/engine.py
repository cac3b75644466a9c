"""What the server knows, and what becomes of it: flows and executions."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kestra._testing.fake import inputs as _inputs
from kestra._testing.fake.execution import Execution, FlowDefinition, Iteration, Step
from kestra._testing.fake.labels import CORRELATION
from kestra._testing.fake.refused import Refused, UnexpectedError, not_found
from kestra._testing.fake.task import Result, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from kestra._testing.fake.clock import VirtualClock
    from kestra._testing.fake.files_api import StoredFile
    from kestra._testing.fake.flows_api import StoredFlow
    from kestra._testing.fake.kv_api import Stored

NO_FLOW = "Requested Flow is not found."
_BATCH = 100  # entries of a log that are stored together
_MOST = 1 << 20  # bytes of inputs that 2.0 can pass on
# The last parts of the old paths of actions, which are creations on 2.0.
_ACTIONS = {"kill", "pause", "resume", "restart", "replay", "replay-with-inputs", "labels"}


class Engine:
    """A server's flows and executions.

    Attributes:
        version: `0.21`, `1.3` or `2.0`.
        flows: The flows by namespace and id; `None` for one that is said not to be there.
        kv, files, sources: What else namespaces hold: values, files, and the sources of flows.
        executions: The executions by id, in the order of their creation.
        courses: What the next executions are to go through.
        log_delay: For how many seconds after an entry was logged it is not stored.
        lock: Held while an execution is changed.
    """

    def __init__(self, version: str, clock: VirtualClock) -> None:
        self.version = version
        self.clock = clock
        self.flows: dict[tuple[str, str], FlowDefinition | None] = {}
        self.kv: dict[str, dict[str, Stored]] = {}
        self.files: dict[str, dict[str, StoredFile]] = {}
        self.sources: dict[tuple[str, str], StoredFlow] = {}
        self.executions: dict[str, Execution] = {}
        self.courses: deque[list[Step]] = deque()
        self.log_delay, self._iterations = 0.0, 0
        self.lock = threading.RLock()

    # --- time ---

    def play(self, execution: Execution) -> None:
        """Let everything happen to an execution that is due by now."""
        while self._steps(execution):
            before = self.clock.now()
            # Where the call is broken off, by Ctrl-C or the end of a test.
            result = Result("FAILED")
            try:
                result = call(
                    execution.definition.function,
                    dict(execution.inputs),
                    self.version,
                    lambda name, content: self._store(execution, name, content),
                )
                self._iterate(execution)
            finally:
                with self.lock:
                    execution.finish(result, self.clock.now() - before)

    def _steps(self, execution: Execution) -> bool:
        """Step to now, or to a call of the flow's function; return True for that."""
        with self.lock:  # which the function is called without: it may start executions itself
            while not execution.is_busy and execution.due <= self.clock.now():
                if execution.step():
                    return True
            return False

    def _store(self, execution: Execution, name: str, content: bytes) -> str:
        space = execution.namespace.replace(".", "/")
        place = f"tasks/{execution.definition.tasks[-1]}/{len(execution.files)}-{name}"
        uri = f"kestra:///{space}/{execution.flow}/executions/{execution.id}/{place}"
        execution.files[uri] = content
        return uri

    def _iterate(self, parent: Execution) -> None:
        """Run the iterations of the flow's loops: each is an execution of its own."""
        for task, (values, inner, function) in parent.definition.loops.items():
            for index, value in enumerate(values):
                child = Execution(
                    replace(
                        parent.definition,
                        function=partial(_call_with, function, value),
                        tasks=(inner,),
                        loops={},
                    ),
                    f"{parent.id}-{task}-{index}",
                    parent.revision,
                    {},
                    dict(parent.labels),
                    self.clock.now(),
                    parent=parent.id,
                    iteration=Iteration(task, index, value),
                )
                child.start([("CREATED", 0), ("RUNNING", 0)])
                with self.lock:
                    self.executions[child.id] = child
                    self._iterations += 1
                self.play(child)

    # --- creation ---

    def definition(self, namespace: str, flow: str, revision: int | None) -> FlowDefinition:
        """Return a flow.

        Raises:
            Refused: It is not there, or not this revision of it, or disabled.
            UnexpectedError: Nobody has said whether it is there.
        """
        if (namespace, flow) not in self.flows and not (self.version == "2.0" and flow in _ACTIONS):
            known = ", ".join(f"{ns}.{name}" for ns, name in self.flows) or "none"
            raise UnexpectedError(
                f"no flow {namespace}.{flow} is registered, only: {known}. Register it with "
                "`flow(namespace, id, function)`, or say with `missing(namespace, id)` that the "
                "server does not have it"
            )
        definition = self.flows.get((namespace, flow))
        if definition is None or (revision is not None and revision not in definition.revisions):
            raise not_found(NO_FLOW)
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
        with self.lock:
            new_id = self.new_id()
            place = f"{definition.namespace.replace('.', '/')}/{definition.id}/executions/{new_id}"
            sent = self.sent(parts, f"///{place}/inputs")
            known = definition.inputs
            values = sent if known is None else _inputs.read(known, sent, self.version)
            system = {} if self.version == "0.21" else {"system.from": "api"}
            execution = Execution(
                definition,
                new_id,
                revision or max(definition.revisions),
                values,
                {**definition.labels, **system, CORRELATION: new_id, **labels},
                self.clock.now(),
                schedule_date,
            )
            files = [each for each in sent.values() if isinstance(each, _inputs.SentFile)]
            execution.files.update((file.uri, file) for file in files)
            course = self.courses.popleft() if self.courses else definition.states
            date = self.clock.moment(schedule_date) if schedule_date else 0
            execution.start(course, max(date - execution.created, 0))
            self.executions[new_id] = execution
            return execution

    def new_id(self) -> str:
        """Return the id of the next execution."""
        return f"execution{len(self.executions) - self._iterations + 1}"

    def sent(self, parts: Iterable[_inputs.Part], place: str) -> dict[str, Any]:
        """Return what was sent, by the id of the input that it is for.

        Raises:
            Refused: A file has a name that the server cannot store, or all is too much.
        """
        sent = _inputs.by_id(parts, place, self.version)
        texts = [each for each in sent.values() if isinstance(each, str)]
        if self.version == "2.0" and sum(len(each.encode()) for each in texts) > _MOST:
            raise Refused(
                500, f"Internal server error: MessageTooBigException: above {_MOST} bytes"
            )
        return sent

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

    def log(self, execution: Execution) -> list[tuple[float, str, str]]:
        """Return what is stored of a log by now.

        A log of several batches comes one after the other, the last one after the whole delay.
        """
        now, delay = self.clock.now(), self.log_delay
        batches = math.ceil(len(execution.logs) / _BATCH)
        return [
            entry
            for number, entry in enumerate(execution.logs)
            if entry[0] + delay * (number // _BATCH + 1) / batches <= now
        ]


def _call_with(function: Callable[[Any], Any], value: Any, _: dict[str, Any]) -> Any:
    """Call the function of a task in a loop with its value, in place of the inputs."""
    return function(value)
