"""A file from the server: streamed, and there either whole or not at all."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

import requests

from kestra._http.account import Account
from kestra._http.credentials import NO_CREDENTIALS
from kestra._http.retry import failure, next_attempt
from kestra._http.session import remaining
from kestra._http.transport import wait
from kestra.exceptions import KestraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import urllib3

_PIECE = 1 << 20


def save(send: Callable[[], Any], to: Path, *, url: str, policy: urllib3.Retry) -> None:
    """Write the body of an answer to a file, which takes its place when all of it is there.

    Args:
        send: Sends the request, and returns the answer, not read yet.
        to: The file.
        url: The URL of the request, for an error.
        policy: How often to begin again where the connection breaks: the server sends no ranges.

    Raises:
        FailedExponentialBackoff: Every attempt failed.
        OSError: The file cannot be written.
    """
    part = to.with_name(f".{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            _fill(file, send, url, policy)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)


def _fill(file: IO[bytes], send: Callable[[], Any], url: str, policy: urllib3.Retry) -> None:
    account = Account("get", url, NO_CREDENTIALS, {})
    attempts = 0
    while True:
        attempts += 1
        try:
            with send() as response:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
        except KestraError:
            raise
        except requests.RequestException as error:
            outcome = failure(error, sent=True)
        else:
            return
        next_policy, pause = next_attempt(policy, outcome)
        if next_policy is None or outcome.final or remaining() <= 0:
            raise account.failed(outcome, attempts) from outcome.reason
        policy = next_policy
        wait(pause, account, outcome)
        file.seek(0)
        file.truncate()
