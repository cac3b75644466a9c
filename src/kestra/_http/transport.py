"""A request with all its attempts, and the errors that come of them.

The loop stands around the session, where the mocking libraries see every attempt. Its rules are in
`retry`; how an execution is found again is in `creation`.
"""

from __future__ import annotations

import json
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests

from kestra._http.account import Account, where_to_look
from kestra._http.adapter import wire
from kestra._http.answers import body_of
from kestra._http.api_errors import APIError, NotFound
from kestra._http.creation import Creation, without_correlation
from kestra._http.multipart import Upload
from kestra._http.retry import (
    Answer,
    Doubt,
    Failure,
    Finding,
    Step,
    after_search,
    doubt_after,
    failure,
    is_retried,
    next_attempt,
    quotes_argument,
)
from kestra._http.session import (
    Access,
    Sessions,
    is_once,
    is_replaced,
    remaining,
    send,
    send_as_published,
)
from kestra.exceptions import FailedExponentialBackoff, KestraError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3

logger = logging.getLogger("kestra")

_UNDERSTOOD = frozenset({HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})


def request(  # noqa: PLR0913  # what makes up a request
    sessions: Sessions,
    method: str,
    url: str,
    access: Access,
    arguments: Mapping[str, Any],
    *,
    otherwise: str | None = None,
) -> tuple[requests.Response, bool]:
    """Send a request until it is answered, and return the answer.

    Args:
        sessions: What to send with.
        method: The HTTP method.
        url: The URL.
        access: How to reach the server.
        arguments: Keyword arguments for `requests`.
        otherwise: The URL to try where the first answers 404.

    Returns:
        The answer, and whether it came from the other URL.

    Raises:
        APIError: The server refused. Where both URLs do, this is the first one's error, unless the
            second is about what was asked for: then it was the right place.
        FailedExponentialBackoff: Every attempt failed.
    """
    exchange = _Exchange(sessions, method, url, access, arguments)
    try:
        return exchange.run(), False
    except NotFound as error:
        if otherwise is None or not exchange.repeatable:
            raise
        missing = error
    exchange.move(otherwise)
    try:
        return exchange.run(), True
    except FailedExponentialBackoff as error:
        if error.correlation_id is not None:
            raise
    except APIError as error:
        if error.status in _UNDERSTOOD:
            raise
    except Exception as error:  # noqa: BLE001  # mocking libraries raise what they like
        logger.debug("Not found under the tenant main either: %s", type(error).__name__)
    raise missing


def annotate(error: BaseException, note: str) -> None:
    """Add a note to an exception; Python 3.10 has no notes, and gets a line in the log."""
    add_note = getattr(error, "add_note", None)
    if add_note is None:
        logger.error("%s: %s", type(error).__name__, note)
    else:
        add_note(note)


def wait(seconds: float, account: Account, outcome: Answer | Failure) -> None:
    """Log the outcome of an attempt, and wait before the next, no longer than `within` allows."""
    seconds = min(seconds, remaining())
    if seconds > 0:
        logger.warning("%s: %s; continuing in %g s", account, account.of(outcome), seconds)
        time.sleep(seconds)


class _Exchange:
    """One request, with all its attempts."""

    def __init__(
        self,
        sessions: Sessions,
        method: str,
        url: str,
        access: Access,
        arguments: Mapping[str, Any],
    ) -> None:
        self._sessions = sessions
        self._method = method
        self._access = access
        self._arguments = arguments
        self._replaced = is_replaced()
        self._once = is_once()
        own_body = "data" in arguments or "json" in arguments
        self._upload = Upload(None if own_body else arguments.get("files"))
        self.move(url)

    def move(self, url: str) -> None:
        """Begin anew, at another URL."""
        self._url = url
        self._account = Account(self._method, url, self._access.credentials, self._arguments)
        self._creation = Creation.of(self._method, url)
        self._attempts = 0
        self._in_doubt = False
        self._sought = None if self._replaced else self._creation
        self._finding = Finding.IMPOSSIBLE
        self._found: dict[str, Any] = {}

    @property
    def repeatable(self) -> bool:
        """Whether the request can be sent again: every file in it can be read again."""
        return self._upload.repeatable

    # --- the loop ---

    def run(self) -> requests.Response:
        """Send until there is something to return or to raise."""
        try:
            return self._run()
        except KestraError:
            raise
        except BaseException as error:  # Ctrl-C, or a hook of the caller's
            if self._creation is not None and self._in_doubt:
                annotate(error, where_to_look(self._creation))
            raise

    def _run(self) -> requests.Response:
        policy = self._access.policy
        outcome = self._send_first()
        while not self._is_settled(outcome, policy):
            doubt = doubt_after(self._method, outcome)
            next_policy, pause = next_attempt(policy, outcome)
            step = self._step(doubt, outcome, pause)
            if step is Step.ADOPT:
                return self._adopted()
            if next_policy is None or step is Step.GIVE_UP or remaining() <= 0:
                raise self._failed(outcome, doubt) from _reason(outcome)
            policy = next_policy
            if step is Step.SEND:
                outcome = self._send()
        return self._settled(outcome, policy)

    def _is_settled(self, outcome: Answer | Failure, policy: urllib3.Retry) -> bool:
        """Say whether another attempt is out of the question."""
        if self._once:
            return True
        if isinstance(outcome, Failure):
            return outcome.final
        return not is_retried(policy, self._method, outcome.status)

    def _step(self, doubt: Doubt, outcome: Answer | Failure, pause: float) -> Step:
        """Pause, look for the execution where there is a doubt, and return what follows."""
        search = doubt is not Doubt.NONE and self._sought is not None
        if search:
            wait(pause, self._account, outcome)
            self._finding = self._search()
        mocked = isinstance(outcome, Failure) and outcome.mocked
        step = after_search(doubt, self._finding, mocked=mocked, repeatable=self.repeatable)
        if step is Step.SEND and not search:
            wait(pause, self._account, outcome)
        return step

    def _settled(self, outcome: Answer | Failure, policy: urllib3.Retry) -> requests.Response:
        """Return the answer, or raise the error that it is."""
        if isinstance(outcome, Failure):
            if quotes_argument(outcome.error):
                raise self._account.invalid(outcome.error)
            if not outcome.is_network_fault:
                raise outcome.error
            doubt = doubt_after(self._method, outcome) if self._once else Doubt.NONE
            raise self._failed(outcome, doubt) from _reason(outcome)
        doubt = doubt_after(self._method, outcome)
        fine = self._is_fine(outcome)
        if self._sought is not None and fine and not _tells_id(outcome.response):
            doubt = Doubt.ANSWERED
        if doubt is not Doubt.NONE:
            self._search_on(outcome, policy)
            if self._finding is Finding.FOUND:
                return self._adopted()
            if self._finding is Finding.UNKNOWN:
                raise self._failed(outcome, doubt)
        # Where the search was in vain, nothing says that there is no execution.
        unsure = doubt is not Doubt.NONE and self._finding is not Finding.MISSING
        creation = self._creation if unsure else None
        if not fine:
            raise self._account.refused(outcome, creation, repeatable=self.repeatable)
        if creation is not None:
            raise self._account.unreadable(outcome, creation)
        outcome.response.raise_for_status()
        return outcome.response  # type: ignore[no-any-return]

    # --- the search ---

    def _search_on(self, outcome: Answer, policy: urllib3.Retry | None) -> None:
        """Look for the execution until the server tells, as long as the policy allows."""
        self._finding = self._search()
        while self._finding is Finding.UNKNOWN and policy is not None and remaining() > 0:
            policy, pause = next_attempt(policy, outcome)
            wait(pause, self._account, outcome)
            self._finding = self._search()

    def _search(self) -> Finding:
        """Ask the server whether the execution exists; where that was in vain, not once more."""
        finding = Finding.IMPOSSIBLE if self._sought is None else self._ask(self._sought)
        if finding is Finding.IMPOSSIBLE:
            self._sought = None
        return finding

    def _ask(self, creation: Creation) -> Finding:
        for question in creation.questions:
            outcome = self._attempt("get", question, {})
            if isinstance(outcome, Failure):
                return Finding.UNKNOWN if outcome.is_network_fault else Finding.IMPOSSIBLE
            if outcome.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                return Finding.IMPOSSIBLE
            if outcome.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
                continue
            found = body_of(outcome.response) if outcome.status == HTTPStatus.OK else None
            results = found.get("results") if isinstance(found, dict) else None
            if not isinstance(results, list):
                is_page = outcome.status == HTTPStatus.OK
                return Finding.UNREADABLE if is_page else Finding.UNKNOWN
            self._found = creation.found_in(results) or {}
            if self._found:
                return Finding.FOUND
            if all(creation.bears_label(execution) for execution in results):
                return Finding.MISSING
        # Neither form of the question was understood: it was refused, or everything came back.
        return Finding.IMPOSSIBLE

    def _adopted(self) -> requests.Response:
        """Return the execution that was found, as the answer to its creation."""
        logger.warning(
            "%s: the response was lost, but the execution exists: %s",
            self._account,
            self._found["id"],
        )
        response = requests.Response()
        response.status_code = HTTPStatus.OK
        response.url = self._url
        response.headers["Content-Type"] = "application/json"
        response.encoding = "utf-8"
        response._content = json.dumps(self._found).encode()  # noqa: SLF001  # as mocking libraries do
        return response

    # --- one attempt ---

    def _send_first(self) -> Answer | Failure:
        """Send; a mocking library that wants no label in the query gets none."""
        outcome = self._send()
        if self._creation is not None and isinstance(outcome, Failure) and outcome.refused_by_mock:
            self._url = without_correlation(self._url)
            self._creation = self._sought = None
            if self.repeatable:
                return self._send()
        return outcome

    def _send(self) -> Answer | Failure:
        self._attempts += 1
        self._in_doubt = self._method.upper() == "POST"
        outcome = self._attempt(self._method, self._url, self._arguments)
        mocked = isinstance(outcome, Failure) and outcome.mocked
        self._in_doubt = not mocked and doubt_after(self._method, outcome) is not Doubt.NONE
        return outcome

    def _attempt(self, method: str, url: str, arguments: Mapping[str, Any]) -> Answer | Failure:
        wire.used = None
        try:
            if self._replaced:
                self._upload.rewind()
                return Answer(send_as_published(method, url, self._access, arguments))
            session = self._sessions.current()
            upload = self._upload if "files" in arguments else Upload(None)
            return Answer(send(session, method, url, self._access, arguments, upload))
        except Exception as error:  # noqa: BLE001  # mocking libraries raise what they like
            # The adapters of a session that was passed in do not record what they send.
            stand_in = wire.used is None and self._sessions.given is None
            return failure(error, sent=wire.used, stand_in=stand_in)

    # --- the end ---

    def _is_fine(self, outcome: Answer) -> bool:
        """Say whether an answer is what was asked for."""
        redirects = self._arguments.get("allow_redirects", True)
        return outcome.status < (300 if redirects else 400)

    def _failed(self, outcome: Answer | Failure, doubt: Doubt) -> FailedExponentialBackoff:
        """Return the error for the end of all attempts."""
        disproved = doubt is Doubt.ANSWERED and self._finding is Finding.MISSING
        in_doubt = doubt is not Doubt.NONE and not disproved
        creation = self._creation if in_doubt else None
        notes = []
        if creation is not None:
            notes.append(where_to_look(creation))
        elif in_doubt:
            notes.append("It may have been carried out nevertheless")
        if not self.repeatable:
            notes.append("Not sent again: one of its files cannot be read twice")
        return self._account.failed(
            outcome,
            self._attempts,
            notes=tuple(notes),
            correlation_id=creation.correlation_id if creation else None,
        )


def _reason(outcome: Answer | Failure) -> Exception | None:
    """Return what to raise from: never the error of `requests`, whose text holds the URL."""
    return outcome.reason if isinstance(outcome, Failure) else None


def _tells_id(response: Any) -> bool:
    """Say whether the response to a creation tells the execution's id."""
    body = body_of(response)
    return isinstance(body, dict) and "id" in body
