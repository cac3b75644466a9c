"""Which labels a server accepts, and what it says of others. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kestra._testing.fake.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

CORRELATION = "system.correlationId"


def labels_of_query(pairs: Iterable[str], version: str) -> dict[str, str]:
    """Return the labels of a creation, which are sent as `key:value`.

    Raises:
        Refused: One of them is not accepted.
    """
    labels: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition(":")
        is_blank = any(letter.isspace() for letter in key)
        if version == "0.21":
            key, is_blank = key.strip(), False
        if not (key and value) or is_blank:
            raise _malformed(pair, version)
        if key in labels:
            raise _duplicate(key, labels[key], value, version)
        labels[key] = value
    for key, value in labels.items():
        _check_system(key, value, allowed=CORRELATION)
    return labels


def labels_of_body(body: Any, version: str) -> dict[str, str]:
    """Return the labels that an execution is to get, which are sent as JSON.

    Raises:
        Refused: One of them is not accepted.
    """
    listed = body if isinstance(body, list) else [body]
    old = version == "0.21"
    method = "setLabels" if old else "setLabelsOnTerminatedExecution"
    said = f"must not be {'null' if old else 'empty'}"
    faults = [
        (f"{method}.labels[{number}].{part}", said)
        for number, each in enumerate(listed)
        for part in ("value", "key")
        if (value := each.get(part) if isinstance(each, dict) else None) is None
        or (value == "" and not old)
    ]
    if faults:
        text = ", ".join(f"{path}: {message}" for path, message in faults)
        raise Refused(422, f"Invalid entity: {text}", tuple(faults))
    labels = {each["key"]: each["value"] for each in listed}
    for key, value in labels.items():
        _check_system(key, value, allowed="" if version == "2.0" else CORRELATION)
    return labels


def _check_system(key: str, value: str, allowed: str) -> None:
    if key.startswith("system.") and key != allowed:
        raise Refused(
            422,
            "Illegal argument: System labels can only be set by Kestra itself, "
            f"offending label: {key}={value}",
        )


def _malformed(pair: str, version: str) -> Refused:
    if version == "0.21":
        text = "Invalid queryString parameter"
    elif pair.startswith(":") or ":" not in pair:
        text = "Can't split the queryString parameter by ':'"
    elif pair.endswith(":") and pair.count(":") == 1:
        text = "Can't have an empty part of queryString"
    else:
        text = "Key of queryString can't contain a whitespace character"
    return Refused(422, f"Unprocessable Entity: {text}")


def _duplicate(key: str, first: str, second: str, version: str) -> Refused:
    text = f"Duplicate key {key} (attempted merging values {first} and {second})"
    if version == "0.21":
        return Refused(409, f"Illegal state: {text}")
    whole = f"The queryString parameter keys contains duplicities: {text}"
    return Refused(422, f"Unprocessable Entity: {whole}")
