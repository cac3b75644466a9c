"""Seeing what an execution is and what it has produced, while it runs and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kestra._api.models import FlowExecution, LogEntry, Metric, TaskRun
from kestra._api.parsing import (
    checked_level,
    culprit,
    ended_badly,
    error_text,
    log_entries,
    metrics_of,
    outputs_in,
    state_of,
    task_runs_of,
    whole_state,
)
from kestra._client.client import NO_SUCH_PATH, Client, naming_execution
from kestra._client.waiting import logged_errors
from kestra._http.answers import body_of, json_list, json_object, malformed
from kestra._http.api_errors import APIError, NotFound
from kestra._http.download import save
from kestra._http.session import once, within

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

_PAGE = 100
_LONGEST_ASKING = 10.0  # seconds that a result may wait for an explanation
_STORAGE = "kestra://"


class Reading(Client):
    """The part of `Flow` that reads."""

    def get_execution(self, execution_id: str) -> FlowExecution:
        """Get an execution as it is now, without its log.

        Where `check_status` returns the server's answer, this returns what it says.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            MalformedResponse: The answer is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id cannot be one.
        """
        with naming_execution(execution_id):
            execution = self._look(execution_id)
            return self._result(execution_id, execution)

    def get_outputs(self, execution_id: str, *, task_id: str | None = None) -> dict[str, Any]:
        """Get the outputs of a flow, or of one of its tasks.

        Up to 1.x they are part of the execution; for 2.0 this costs another request.

        Args:
            execution_id: The id of the execution.
            task_id: The id of a task, for its outputs instead of the flow's. A Script task has
                those that it sent under `vars`. A task in a loop has them by the value that it ran
                for, as `outputs.<task id>` in a flow; of two runs for the same value, or for none,
                the later one counts.

        Returns:
            Outputs by name; nothing where there are none (yet).

        Raises:
            NotFound: There is no such execution, or no run of the task in it.
            MalformedResponse: The answer is not what a Kestra server sends.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id cannot be one.
        """
        with naming_execution(execution_id):
            execution = self._look(execution_id)
            runs = task_runs_of(execution)
            if task_id is not None:
                return self._task_outputs(execution_id, task_id, runs)
            shown = outputs_in(execution)
            # A server that shows the outputs of tasks there would show those of the flow too.
            if shown is not None or any(run.outputs is not None for run in runs):
                return shown or {}
            return self._outputs_at(
                "outputs/{execution_id}",
                "outputs/executions/{execution_id}",
                execution_id=execution_id,
            )

    def get_metrics(self, execution_id: str) -> list[Metric]:
        """Get the metrics that the tasks of an execution have sent.

        The server stores them a second or two after the execution has ended.

        Args:
            execution_id: The id of the execution.

        Returns:
            The metrics in the server's order, timers in seconds; none for an unknown execution.

        Raises:
            MalformedResponse: The answer is not what a Kestra server sends.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id cannot be one.
        """
        url = self._api("metrics/{execution_id}", execution_id=execution_id)
        metrics: list[Metric] = []
        page = seen = 0
        with naming_execution(execution_id):
            while True:
                page += 1
                response = self._make_request("get", url, params={"page": page, "size": _PAGE})
                answer = json_object(response, "get", url)
                results, total = answer.get("results"), answer.get("total")
                if not isinstance(results, list):
                    raise malformed("get", url, response, "lacks the metrics")
                metrics += metrics_of(answer)
                seen += len(results)
                if not results or not isinstance(total, int) or seen >= total:
                    return metrics

    def iter_logs(self, execution_id: str, *, min_level: str = "TRACE") -> Iterator[LogEntry]:
        """Get the log of an execution, entry by entry.

        The request is made at once. The server stores the log a second or two after the execution
        has ended.

        Args:
            execution_id: The id of the execution.
            min_level: The least level: `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.

        Returns:
            The entries in the server's order; none for an unknown execution.

        Raises:
            MalformedResponse: The answer is not what a Kestra server sends.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
            TypeError: The level is no string.
            ValueError: There is no such level, or the id cannot be one.
        """
        least = checked_level(min_level)
        with naming_execution(execution_id):
            return iter(self._log_entries(execution_id, least))

    def download(self, execution_id: str, uri: str, to: str | os.PathLike[str]) -> Path:
        """Download a file that an execution has produced, such as one of its `outputFiles`.

        It is streamed to a file of another name beside the target, which it replaces when it is
        whole; whatever goes wrong, nothing is left behind, and the target is as it was.

        Args:
            execution_id: The id of the execution.
            uri: Where the server keeps it, as in the outputs: `kestra:///…`.
            to: The file to write. A file of that name is replaced; its folder has to be there.

        Returns:
            The path of the file.

        Raises:
            NotFound: There is no such file.
            InvalidInput: The server does not take the URI for one of its storage.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            OSError: The file cannot be written.
            TypeError: The URI is no string, or the target no path.
            ValueError: The URI, the id or the target cannot be one.
        """
        if not isinstance(uri, str):
            raise TypeError(f"uri must be a string, not {type(uri).__name__}")
        if not uri.startswith(_STORAGE):
            raise ValueError(f"uri must begin with {_STORAGE}, as those in outputs do")
        path = Path(to)
        if path.is_dir() or not path.name:
            raise ValueError(f"to must name a file, not the folder {str(path)!r}")
        url = self._api("executions/{execution_id}/file", execution_id=execution_id)
        with naming_execution(execution_id):
            save(
                lambda: self._make_request("get", url, params={"path": uri}, stream=True),
                path,
                url=url,
                policy=self._policy(),
            )
        return path

    # --- what the answers are made of ---

    def _look(self, execution_id: str) -> dict[str, Any]:
        """Return an execution as the server shows it; it has a state."""
        response = self.check_status(execution_id)
        url = self._url(self.API_ENDPOINT_EXECUTION_STATUS, execution_id=execution_id)
        execution = json_object(response, "get", url)
        if state_of(execution) is None:
            raise malformed("get", url, response, "lacks the state of the execution")
        return execution

    def _result(
        self,
        execution_id: str,
        execution: dict[str, Any],
        *,
        log: str | None = None,
        url: str | None = None,
        settle: float = 0,
    ) -> FlowExecution:
        """Return what an execution shows.

        Only one that ended badly costs a request, for what it logged as ERROR.

        Args:
            execution_id: Its id.
            execution: How the server shows it.
            log: Its log.
            url: Where the user interface shows it, if that is known already.
            settle: How long to wait for an ERROR to be stored, in seconds.
        """
        state = whole_state(execution)
        runs = task_runs_of(execution)
        error = None
        # An answer without task runs is that of a mock, which has no answer to another request.
        if ended_badly(execution) and "taskRunList" in execution:
            errors = logged_errors(lambda: self._errors(execution_id), settle)
            error = error_text(culprit(runs), errors)
        return FlowExecution(
            execution_id,
            state.current,
            log,
            error,
            outputs=outputs_in(execution),
            url=url or self._address(execution),
            state=state,
            duration=state.duration,
            task_runs=runs,
        )

    def _errors(self, execution_id: str) -> list[LogEntry]:
        with once(), within(_LONGEST_ASKING):
            return self._log_entries(execution_id, "ERROR")

    def _log_entries(self, execution_id: str, min_level: str) -> list[LogEntry]:
        url = self._api("logs/{execution_id}", execution_id=execution_id)
        response = self._make_request("get", url, params={"minLevel": min_level})
        return log_entries(json_list(response, "get", url), min_level)

    def _task_outputs(
        self, execution_id: str, task_id: str, runs: tuple[TaskRun, ...]
    ) -> dict[str, Any]:
        own = [run for run in runs if run.task == task_id]
        if not own:
            ran = ", ".join(dict.fromkeys(run.task for run in runs)) or "none"
            raise NotFound(
                f"execution {execution_id}: no task {task_id!r} has run; those that have: {ran}"
            )
        last = {run.value: run for run in own}  # of each value
        outputs = {value: self._run_outputs(execution_id, run) for value, run in last.items()}
        return outputs[None] if None in outputs else {str(k): v for k, v in outputs.items()}

    def _run_outputs(self, execution_id: str, run: TaskRun) -> dict[str, Any]:
        if run.outputs is not None:
            return run.outputs
        return self._outputs_at(
            "outputs/{execution_id}/{run_id}",
            "outputs/tasks/{execution_id}/{run_id}",
            execution_id=execution_id,
            run_id=run.id,
        )

    def _outputs_at(self, *templates: str, **names: str) -> dict[str, Any]:
        """Return the first outputs that there are: 2.0 has moved them once."""
        for template in templates:
            try:
                outputs = body_of(self._make_request("get", self._api(template, **names)))
            except APIError as error:
                if error.status not in NO_SUCH_PATH:
                    raise
            else:
                # At the first place of the flow's, some versions have a list of the tasks.
                if isinstance(outputs, dict):
                    return outputs
        return {}
