"""What a server answers where it does not do what it was asked for."""

from __future__ import annotations

from typing import Any


class UnexpectedError(Exception):
    """A request that the test has not prepared for, or that is not imitated."""


class Refused(Exception):  # not an error of this package: an answer
    """A refusal.

    Attributes:
        status: The HTTP status.
        body: The JSON of the answer.
    """

    def __init__(self, status: int, message: str, errors: tuple[tuple[str, str], ...] = ()) -> None:
        """Make one.

        Args:
            status: The HTTP status.
            message: What the server says.
            errors: The single problems, as `(path, message)`, where it lists them.
        """
        super().__init__(message)
        listed: list[dict[str, Any]] = [
            {"message": text, "logref": None, "path": path, "_links": {}, "_embedded": {}}
            for path, text in errors
        ]
        embedded = {"errors": listed} if listed else {}
        self.status = status
        self.body: Any = {"message": message, "path": None, "_embedded": embedded}


def not_terminated() -> Refused:
    """Return the refusal to label an execution that goes on; it is a mere text."""
    refused = Refused(400, "The execution is not terminated")
    refused.body = str(refused)
    return refused


def not_found(what: str = "") -> Refused:
    """Return the refusal of something that is not there."""
    return Refused(404, f"Not Found: {what}" if what else "Not Found")
