"""What the server knows, and what becomes of it: flows and executions."""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kestra._api.credentials import without_userinfo
from kestra._api.models import CORRELATION
from kestra._api.servers import DEFAULT_HOSTNAME, MAIN, base_url, ui_root, ui_url
from kestra._testing.fake import inputs as _inputs
from kestra._testing.fake.execution import Execution, FlowDefinition, Step
from kestra._testing.fake.messages import Refused, UnexpectedError, not_found
from kestra._testing.fake.stand_ins import VirtualClock
from kestra._testing.fake.task import Result, call

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from kestra._testing.fake.files_api import StoredFile
    from kestra._testing.fake.kv_api import Stored
    from kestra._testing.fake.messages import Part

NO_FLOW = "Requested Flow is not found."
# The last parts of the old paths of actions, which are creations on 2.0.
_ACTIONS = {"kill", "pause", "resume", "restart", "replay", "replay-with-inputs", "labels"}


class Engine:
    """A server. Its address and its tenant are those that `Flow()` takes, if no others are given.

    Attributes:
        allowed: The values of `Authorization` that are let in; all, if there are none.
        flows: The flows by namespace and id; `None` for one that is said not to be there.
        sources: The revisions of deployed flows, each as it is shown with its source.
        courses: What the next executions are to go through.
        log_delay: For how many seconds after an entry was logged it is not stored.
        lock: Held while an execution is changed.
    """

    def __init__(
        self,
        version: str,
        hostname: str | None = None,
        tenant: str | None = None,
        allowed: Collection[str] = (),
    ) -> None:
        self.version = version
        self.is_old, self.is_new = version == "0.21", version == "2.0"
        self.clock = VirtualClock()
        self._hostname, self._tenant, self.allowed = hostname, tenant, allowed
        self.flows: dict[tuple[str, str], FlowDefinition | None] = {}
        self.kv: dict[str, dict[str, Stored]] = defaultdict(dict)
        self.files: dict[str, dict[str, StoredFile]] = defaultdict(dict)
        self.sources: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.executions: dict[str, Execution] = {}
        self.courses: deque[list[Step]] = deque()
        self.log_delay, self._iterations = 0.0, 0
        self.lock = threading.RLock()

    @property
    def base(self) -> str:
        named = self._hostname or os.environ.get("KESTRA_HOSTNAME") or DEFAULT_HOSTNAME
        return without_userinfo(base_url(named))[0]

    @property
    def tenant(self) -> str:
        return self._tenant or os.environ.get("KESTRA_TENANT") or MAIN

    def ui_url(self, execution: Execution) -> str:
        root = ui_root(self.base, None if self.is_old else self.tenant)
        return ui_url(root, execution.namespace, execution.flow, execution.id)

    def play(self, execution: Execution) -> None:
        """Let everything happen to an execution that is due by now."""
        while self._steps(execution):
            before = self.clock.now()
            result = Result()  # where the call is broken off, by Ctrl-C or the end of a test
            try:
                result = call(execution, self.version)
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

    def _iterate(self, parent: Execution) -> None:
        """Run the iterations of the flow's loops: each is an execution of its own."""
        for task, (values, inner, function) in parent.definition.loops.items():
            for index, value in enumerate(values):
                # The function gets the value, in place of the inputs.
                run = lambda _, function=function, value=value: function(value)  # noqa: E731
                child = parent.copy(
                    f"{parent.id}-{task}-{index}",
                    self.clock.now(),
                    definition=replace(parent.definition, function=run, tasks=(inner,), loops={}),
                    inputs={},
                    attempts=1,
                    loop_run={
                        "parent": {"id": parent.id},
                        "taskId": task,
                        "taskRunId": f"{parent.id}-{task}",
                        "index": index,
                        "value": value if isinstance(value, str) else json.dumps(value),
                    },
                )
                child.start([("CREATED", 0), ("RUNNING", 0)])
                with self.lock:
                    self.executions[child.id] = child
                    self._iterations += 1
                self.play(child)

    def definition(self, namespace: str, flow: str, revision: int | None) -> FlowDefinition:
        if (namespace, flow) not in self.flows and not (self.is_new and flow in _ACTIONS):
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
        revision: int | None = None,
        parts: Iterable[Part] = (),
        labels: Mapping[str, str] | None = None,
        schedule_date: datetime | None = None,
    ) -> Execution:
        """Create an execution of a flow, of its latest revision if no other is named."""
        with self.lock:
            new_id = self.new_id()
            system = {} if self.is_old else {"system.from": "api"}
            execution = Execution(
                definition,
                new_id,
                revision or max(definition.revisions),
                {},
                {**definition.labels, **system, CORRELATION: new_id, **(labels or {})},
                self.clock.now(),
                schedule_date,
            )
            execution.inputs = self.read(execution, definition.inputs, parts)
            course = self.courses.popleft() if self.courses else definition.states
            date = self.clock.moment(schedule_date) if schedule_date else 0
            execution.start(course, max(date - execution.created, 0))
            self.executions[new_id] = execution
            return execution

    def new_id(self) -> str:
        return f"execution{len(self.executions) - self._iterations + 1}"

    def read(
        self, execution: Execution, declared: list[_inputs.Input] | None, parts: Iterable[Part]
    ) -> dict[str, Any]:
        """Return what was sent for an execution, by id: as it is declared, or as it is."""
        sent = _inputs.by_id(parts, f"{execution.place}/inputs", self.version)
        files = [each for each in sent.values() if isinstance(each, _inputs.SentFile)]
        execution.files.update((file.uri, file) for file in files)
        return dict(sent) if declared is None else _inputs.read(declared, sent, self.version)

    def get(self, execution_id: str, what: str = "") -> Execution:
        """Return an execution as it is now; where there is none, the server says `what`."""
        if execution_id not in self.executions:
            raise not_found(what)
        self.play(self.executions[execution_id])
        return self.executions[execution_id]

    def all(self) -> list[Execution]:
        """Return all executions as they are now, the latest first."""
        return [self.get(each) for each in reversed(list(self.executions))]
