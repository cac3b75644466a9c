"""Which labels a server accepts, and what it says of others. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kestra._api.models import CORRELATION
from kestra._testing.fake.messages import Refused, invalid

if TYPE_CHECKING:
    from collections.abc import Iterable


def labels_of_query(pairs: Iterable[str], version: str) -> dict[str, str]:
    """Return the labels of a creation, which are sent as `key:value`."""
    labels: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition(":")
        is_blank = any(letter.isspace() for letter in key)
        if version == "0.21":
            key, is_blank = key.strip(), False
        if not (key and value) or is_blank:
            raise _malformed(pair, version)
        if key in labels:
            text = f"Duplicate key {key} (attempted merging values {labels[key]} and {value})"
            if version == "0.21":
                raise Refused(409, f"Illegal state: {text}")
            whole = f"The queryString parameter keys contains duplicities: {text}"
            raise Refused(422, f"Unprocessable Entity: {whole}")
        labels[key] = value
    _check_system(labels, allowed=CORRELATION)
    return labels


def labels_of_body(body: Any, version: str) -> dict[str, str]:
    """Return the labels that an execution is to get, which are sent as JSON."""
    listed = body if isinstance(body, list) else [body]
    old = version == "0.21"
    method = "setLabels" if old else "setLabelsOnTerminatedExecution"
    faults = [
        (f"{method}.labels[{number}].{part}", f"must not be {'null' if old else 'empty'}")
        for number, each in enumerate(listed)
        for part in ("value", "key")
        if (value := each.get(part) if isinstance(each, dict) else None) is None
        or (value == "" and not old)
    ]
    if faults:
        raise invalid(*faults)
    labels = {each["key"]: each["value"] for each in listed}
    _check_system(labels, allowed="" if version == "2.0" else CORRELATION)
    return labels


def _check_system(labels: dict[str, str], allowed: str) -> None:
    for key, value in labels.items():
        if key.startswith("system.") and key != allowed:
            text = "System labels can only be set by Kestra itself, offending label"
            raise Refused(422, f"Illegal argument: {text}: {key}={value}")


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
