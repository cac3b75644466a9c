"""Steering an execution: kill, pause, resume, restart, replay, label.

The paths are those of 0.21 to 1.x, such as `executions/{id}/kill`, and those of 2.0, such as
`executions/{id}/actions/kill`: where one is missing nothing has happened, and the other is tried.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kestra._api.forms import checked_labels, checked_revision, form
from kestra._client.client import NO_SUCH_PATH, Client, naming_execution
from kestra._http.answers import body_of, malformed
from kestra._http.api_errors import APIError
from kestra._http.multipart import Upload
from kestra._http.session import once

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

_PLACES = ("", "/actions")  # until 1.x, and from 2.0 on


class Steering(Client):
    """The part of `Flow` that acts on an execution."""

    _place = _PLACES[0]  # where this server has the actions, as far as is known

    def kill(self, execution_id: str) -> None:
        """Kill an execution, and the subflows that it has started.

        The server accepts at once; the state is KILLING for a while, and then KILLED. To kill one
        that has ended does nothing up to 1.x, and is a `Conflict` from 2.0 on.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            Conflict: It has ended.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed.
            ValueError: The id cannot be one.
        """
        self._act("delete", execution_id, "kill")

    def pause(self, execution_id: str) -> None:
        """Pause a running execution: tasks that run go on, and no other starts.

        Args:
            execution_id: The id of the execution.

        Raises:
            NotFound: There is no such execution.
            InvalidInput: It is not running (up to 1.x).
            Conflict: It is not running (from 2.0 on).
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed, or it is not known whether one did.
            ValueError: The id cannot be one.
        """
        self._act("post", execution_id, "pause")

    def resume(self, execution_id: str, inputs: Mapping[str, Any] | None = None) -> None:
        """Resume a paused execution.

        Args:
            execution_id: The id of the execution.
            inputs: What the task that paused it asks for (`onResume`), by id; values as those of
                `execute`. Where one that is required is missing, 0.21 never answers.

        Raises:
            NotFound: There is no such execution.
            Conflict: It is not paused.
            InvalidInput: The server does not accept an input.
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed, or it is not known whether one did.
            TypeError: An input is of the wrong type.
            ValueError: An input cannot be sent, or the id cannot be one.
        """
        with ExitStack() as opened:
            files = form({} if inputs is None else inputs, opened)
            body: dict[str, Any] = {"files": files} if files else {}
            self._act("post", execution_id, "resume", **body)

    def restart(self, execution_id: str, *, revision: int | None = None) -> str:
        """Run a failed execution again, from the tasks that failed on.

        The request is sent once: with a revision, a repeated one might start two.

        Args:
            execution_id: The id of the execution.
            revision: The revision of the flow to go on with, instead of its own; a new execution
                is made for it.

        Returns:
            The id of the execution that runs: a new one with a revision, else the same.

        Raises:
            NotFound: There is no such execution.
            InvalidInput: Nothing has failed (up to 1.x).
            Conflict: It cannot be restarted (from 2.0 on).
            APIError: The server refused for another reason.
            FailedExponentialBackoff: No answer came; it may have been restarted.
            MalformedResponse: With a revision, the answer lacks the new id.
            TypeError: The revision is no integer.
            ValueError: The revision, or the id, cannot be one.
        """
        query = {} if revision is None else {"revision": checked_revision(revision)}
        with once():
            response = self._act("post", execution_id, "restart", params=query)
        restarted = _id_in(response)
        if restarted is None and revision is not None:
            raise self._without_id(response, execution_id, "restart")
        return restarted or execution_id

    def replay(
        self, execution_id: str, *, task_run_id: str | None = None, revision: int | None = None
    ) -> str:
        """Run an execution again, as a new one with the same inputs.

        The request is sent once: a repeated one might start two.

        Args:
            execution_id: The id of the execution.
            task_run_id: The run of a task to begin at; those before it keep their outputs.
            revision: The revision of the flow, instead of the execution's own.

        Returns:
            The id of the new execution.

        Raises:
            NotFound: There is no such execution.
            InvalidInput: There is no such task run (up to 1.x).
            Conflict: It cannot be replayed (from 2.0 on).
            ServerError: The server failed.
            FailedExponentialBackoff: No answer came; the new execution may exist.
            MalformedResponse: The answer lacks the new id.
            TypeError: The revision is no integer, or the task run's id no string.
            ValueError: The revision, or an id, cannot be one.
        """
        query = {} if revision is None else {"revision": checked_revision(revision)}
        if task_run_id is not None:
            if not isinstance(task_run_id, str):
                raise TypeError(f"task_run_id must be a string, not {type(task_run_id).__name__}")
            if not task_run_id:
                raise ValueError("task_run_id must not be empty")
            query["taskRunId"] = task_run_id
        with once():
            response = self._act("post", execution_id, "replay", params=query)
        replayed = _id_in(response)
        if replayed is None:
            raise self._without_id(response, execution_id, "replay")
        return replayed

    def set_labels(self, execution_id: str, labels: Mapping[str, Any]) -> None:
        """Add labels to an execution that has ended; those of the same key get the new value.

        Args:
            execution_id: The id of the execution.
            labels: Values by key.

        Raises:
            NotFound: There is no such execution.
            InvalidInput: It has not ended, or the server does not accept a label.
            Conflict: The labels cannot be set (from 2.0 on).
            APIError: The server refused for another reason.
            FailedExponentialBackoff: Every attempt failed, or it is not known whether one did.
            TypeError: The labels are no mapping.
            ValueError: The server would refuse a label, or the id cannot be one.
        """
        pairs = [{"key": k, "value": v} for k, v in checked_labels(labels).items()]
        self._act("post", execution_id, "labels", json=pairs)

    def _act(
        self, method: str, execution_id: str, action: str, **arguments: Any
    ) -> requests.Response:
        """Send an action to where the server has it, and return the answer."""
        upload = Upload(arguments.get("files"))
        missing: list[APIError] = []
        for place in sorted(_PLACES, key=lambda place: place != self._place):
            path = f"{self.API_ENDPOINT_EXECUTION_STATUS}{place}/{action}"
            url = self._url(path, execution_id=execution_id)
            try:
                with naming_execution(execution_id):
                    response = self._make_request(method, url, **arguments)
            except APIError as error:
                if error.status not in NO_SUCH_PATH:
                    self._place = place
                    raise
                missing.append(error)
                upload.rewind()
                if not upload.repeatable:
                    break
            else:
                self._place = place
                return response
        raise missing[0]

    def _without_id(self, response: Any, execution_id: str, action: str) -> Exception:
        path = f"{self.API_ENDPOINT_EXECUTION_STATUS}/{action}"
        url = self._url(path, execution_id=execution_id)
        error = malformed("post", url, response, "lacks the id of the execution")
        error.execution_id = execution_id
        return error


def _id_in(response: Any) -> str | None:
    """Return the id of the execution that an answer shows."""
    body = body_of(response)
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, str) and found else None
