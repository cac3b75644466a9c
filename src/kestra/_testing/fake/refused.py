"""What a server responds where it refuses a request."""

from __future__ import annotations

from typing import Any


class UnexpectedError(Exception):
    """A request that the test has not prepared for, or that is not imitated."""


class SilenceError(Exception):
    """The client gets no response for longer than it waits for one."""


class Refused(Exception):  # not an error of this package: a response
    """A refusal.

    Attributes:
        status: The HTTP status.
        body: The JSON of the response.
    """

    def __init__(self, status: int, message: str, errors: tuple[tuple[str, str], ...] = ()) -> None:
        """Make one.

        Args:
            status: The HTTP status.
            message: What the server says.
            errors: The single problems, as `(path, message)`, where it lists them.
        """
        super().__init__(message)
        listed = [{"message": text, "path": path, "_embedded": {}} for path, text in errors]
        embedded = {"errors": listed} if listed else {}
        self.status = status
        self.body: Any = {"message": message, "path": None, "_embedded": embedded}


def not_terminated() -> Refused:
    """Return the refusal to label an execution that goes on; its body is a mere text."""
    refused = Refused(400, "The execution is not terminated")
    refused.body = str(refused)
    return refused


def not_found(what: str = "") -> Refused:
    """Return the refusal of something that is not there."""
    return Refused(404, f"Not Found: {what}" if what else "Not Found")
