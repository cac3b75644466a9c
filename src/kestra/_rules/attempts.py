"""A request with all its attempts: send, see what came of it, pause, send again or give up."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kestra._api.parsing import body_of
from kestra._rules import problems
from kestra._rules.creation import (
    DISAPPEARED,
    Creation,
    Doubt,
    Finding,
    Step,
    after_search,
    doubt_after,
    is_final,
    search,
    without_correlation,
)
from kestra._rules.io import Failure
from kestra._rules.policy import default_policy, is_retried, next_attempt
from kestra._values.signals import is_interruption
from kestra.exceptions import APIError, FailedExponentialBackoff, KestraError, NotFound

if TYPE_CHECKING:
    import urllib3

    from kestra._rules.io import IO, Request, Response

logger = logging.getLogger("kestra")

_UNDERSTOOD = frozenset({409, 422})


async def send(io: IO, request: Request) -> Response:
    """Send a request until there is a response to return, or an error to raise.

    Raises:
        APIError: The server refused.
        FailedExponentialBackoff: Every attempt failed.
    """
    sending = _Sending(io, request)
    try:
        return await sending.run()
    except KestraError:
        raise
    except BaseException as error:  # Ctrl-C, or a hook of the caller's
        if sending.creation is not None and sending.may_be_created:
            annotate(error, sending.creation.where_to_look)
        raise


async def send_to_either(io: IO, request: Request, other_url: str) -> tuple[Response, bool]:
    """Send a request, and where that is not found, to another URL; return which one responded.

    Where both refuse, the first one's error is raised, unless the second is about what was asked
    for: then it was the right place.
    """
    try:
        return await send(io, request), False
    except NotFound as error:
        if not request.repeatable or DISAPPEARED in (error.message or ""):
            raise
        missing = error
    try:
        return await send(io, replace(request, url=other_url)), True
    except FailedExponentialBackoff as error:
        if error.correlation_id is not None:
            raise
    except APIError as error:
        if error.status in _UNDERSTOOD:
            raise
    except Exception as error:  # mocking libraries raise what they like
        if is_interruption(error):
            raise
        logger.debug("Not found under the tenant main either: %s", type(error).__name__)
    raise missing


def annotate(error: BaseException, note: str) -> None:
    """Add a note to an exception; Python 3.10 has no notes, and gets a line in the log."""
    add_note = getattr(error, "add_note", None)
    if add_note is None:
        logger.error("%s: %s", type(error).__name__, note)
    else:
        add_note(note)


async def pause(io: IO, request: Request, outcome: Response | Failure, seconds: float) -> None:
    """Log the outcome of an attempt, and pause before the next, within the request's limit."""
    seconds = min(seconds, io.left(request.until))
    if seconds > 0:
        what = problems.text_of(request, outcome)
        logger.warning("%s: %s; continuing in %g s", problems.name_of(request), what, seconds)
        await io.sleep(seconds)


class _Sending:
    """One request with its attempts, and what is known of the execution that it creates."""

    _policy: urllib3.Retry  # set once the first attempt has failed

    def __init__(self, io: IO, request: Request) -> None:
        self._io = io
        self._request = request
        self._attempts = 0
        self._outcome: Response | Failure | None = None
        self.creation = Creation.of(request) if request.method.upper() == "POST" else None
        self._searchable: Creation | None = None  # where the server can be asked for it
        self._finding = Finding.IMPOSSIBLE
        self._found: Any = None

    async def run(self) -> Response:
        request = self._request
        while True:
            outcome = await self._attempt()
            if not isinstance(outcome, Failure):
                status = outcome.status_code  # that of a mock may be a mock
                is_good = type(status) is int and 200 <= status < 300  # noqa: PLR2004  # as most
                if is_good and (self.creation is None or _has_id(outcome)):
                    outcome.raise_for_status()
                    return outcome
            if self._attempts == 1:
                self._policy = request.settings.policy or default_policy()
                # Where a test has replaced what sends requests, there is no server to search on.
                self._searchable = None if request.is_replaced else self.creation
            if self.creation and isinstance(outcome, Failure) and outcome.unknown_to_mock:
                # What a mock does not know with a label in its query, it may know without.
                request.url = without_correlation(request.url)
                self.creation = self._searchable = None
                if request.repeatable:
                    continue
            if self._is_final(outcome):
                return await self._concluded(outcome)
            if await self._is_found(outcome):
                return self._adopted()

    @property
    def may_be_created(self) -> bool:
        """Whether the request may have been carried out, as the last attempt left it."""
        outcome = self._outcome
        if outcome is None:  # in the middle of an attempt
            return self._request.sent is not False
        is_stand_in = isinstance(outcome, Failure) and outcome.stand_in
        return not is_stand_in and doubt_after(self._request, outcome) is not Doubt.NONE

    async def _attempt(self) -> Response | Failure:
        self._attempts += 1
        self._io.attempts = self._attempts
        previous, self._outcome = self._outcome, None
        outcome = self._outcome = await self._io.attempt(self._request)
        is_used_up = isinstance(outcome, Failure) and isinstance(outcome.error, StopIteration)
        if is_used_up and isinstance(previous, Failure):
            raise previous.error  # what a mock raised before is what it has to say
        return outcome

    def _is_final(self, outcome: Response | Failure) -> bool:
        if self._request.once:
            return True
        if isinstance(outcome, Failure):
            return outcome.final
        status = problems.status_of(outcome)
        return not is_retried(self._policy, self._request.method, status) or is_final(outcome)

    async def _is_found(self, outcome: Response | Failure) -> bool:
        """Pause, and search where there is a doubt; return False if it is to be sent again."""
        doubt = doubt_after(self._request, outcome)
        is_stand_in = isinstance(outcome, Failure) and outcome.stand_in
        while True:
            policy, seconds = next_attempt(self._policy, outcome)
            searching = doubt is not Doubt.NONE and self._searchable is not None
            if searching:
                await pause(self._io, self._request, outcome, seconds)
                await self._search()
            step = after_search(
                doubt, self._finding, stand_in=is_stand_in, repeatable=self._request.repeatable
            )
            if step is Step.SEND and not searching:
                await pause(self._io, self._request, outcome, seconds)
            if step is Step.ADOPT:
                return True
            if policy is None or step is Step.GIVE_UP or self._io.left(self._request.until) <= 0:
                raise self._failed(outcome, doubt)
            self._policy = policy
            if step is Step.SEND:
                return False

    async def _concluded(self, outcome: Response | Failure) -> Response:
        """Return the response, or raise the error that it is."""
        doubt = doubt_after(self._request, outcome)
        if isinstance(outcome, Failure):
            if outcome.quotes_argument:
                raise problems.invalid(self._request, outcome.error)
            if not outcome.is_network:
                raise outcome.error
            raise self._failed(outcome, doubt if self._request.once else Doubt.NONE)
        fine = problems.is_fine(self._request, outcome)
        if fine and self._searchable is not None and not _has_id(outcome):
            doubt = Doubt.RESPONDED
        if doubt is not Doubt.NONE:
            await self._search_until_known(outcome, doubt)
            if self._finding is Finding.FOUND:
                return self._adopted()
            if self._finding is Finding.UNKNOWN:
                raise self._failed(outcome, doubt)
        creation, may_be_done = self._uncertain(doubt)
        if not fine:
            raise problems.refused(self._request, outcome, self._attempts, creation, may_be_done)
        if creation is not None:
            is_object = isinstance(body_of(outcome), dict)
            what = "lacks the id of the execution" if is_object else "is not a JSON object"
            method, url = self._request.method, self._request.url
            raise problems.malformed(method, url, outcome, what, creation)
        outcome.raise_for_status()
        return outcome

    async def _search(self) -> Finding:
        """Ask the server whether the execution exists; where that is impossible, never again."""
        if self._searchable is not None:
            self._finding, self._found = await search(self._io, self._request, self._searchable)
            if self._finding is Finding.IMPOSSIBLE:
                self._searchable = None
        return self._finding

    async def _search_until_known(self, outcome: Response, doubt: Doubt) -> None:
        """Search for the execution until the server tells, as long as the policy allows."""
        is_last = False
        while True:
            finding = await self._search()
            is_open = finding is Finding.UNKNOWN or (
                finding is Finding.MISSING and doubt is Doubt.NO_RESPONSE
            )
            if not is_open or is_last or self._io.left(self._request.until) <= 0:
                return
            policy, seconds = next_attempt(self._policy, outcome)
            is_last, self._policy = policy is None, policy or self._policy
            await pause(self._io, self._request, outcome, seconds)

    def _adopted(self) -> Response:
        name, found = problems.name_of(self._request), self._found
        logger.warning("%s: the response was lost, but the execution exists: %s", name, found["id"])
        return self._io.adopted(self._request, found)

    def _failed(self, outcome: Response | Failure, doubt: Doubt) -> FailedExponentialBackoff:
        return problems.failed(self._request, outcome, self._attempts, *self._uncertain(doubt))

    def _uncertain(self, doubt: Doubt) -> tuple[Creation | None, bool]:
        """Return what may have been created, and whether the request may have been carried out.

        Where the search was in vain, nothing says that there is no execution.
        """
        is_disproved = doubt is Doubt.RESPONDED and self._finding is Finding.MISSING
        may_be_done = doubt is not Doubt.NONE and not is_disproved
        return (self.creation if may_be_done else None), may_be_done


def _has_id(response: Response) -> bool:
    body = body_of(response)
    return isinstance(body, dict) and "id" in body
