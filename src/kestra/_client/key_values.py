"""`namespace.kv`: the key-value store of a namespace, as a mapping."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from kestra._client.namespace_base import Part
from kestra._rules import kv

if TYPE_CHECKING:
    import builtins  # of which a method below has a name
    from collections.abc import Iterator
    from datetime import timedelta

    from kestra._api.namespaces import KeyInfo


class KeyValueStore(Part, MutableMapping[str, Any]):
    """The key-value store of a namespace: a mapping whose values outlive executions.

    Values are what JSON holds, and `date`, `datetime` and `timedelta`. What is put comes back
    equal, and is right in `{{ kv('key') }}`; what would come back as something else is refused with
    the reason. The page on the key-value store has the table.

    Each operation is a request, and `update` one a key; `clear` deletes many keys with one.
    `list(kv)` asks for the length first: `list(iter(kv))` saves a request. A key
    that is missing or has expired is a `KeyError`. Of two tasks that put the same key the later
    one wins: the server has no compare-and-set, so a lock cannot be built on this. Limit the
    concurrency of the flow instead.

    Reading ignores parent namespaces, while `{{ kv('key') }}` searches them too.
    """

    _name = "kv"

    def __getitem__(self, key: str) -> Any:
        return self._perform(kv.get_value, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self._perform(kv.delete, key)

    def __iter__(self) -> Iterator[str]:
        yield from [info.key for info in self.list()]  # who iterates may delete them

    def __len__(self) -> int:
        return len(self.list())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._perform(kv.exists, key)

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: timedelta | float | None = None,
        description: str | None = None,
    ) -> None:
        """Put a value, perhaps for some time only.

        Without a `ttl`, what was put before with one expires no more, and without a `description`
        the earlier one is gone: so it is for `kv[key] = value`, too.

        Args:
            key: The key: ASCII letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
            value: The value.
            ttl: How long to keep it: a timedelta or seconds.
            description: What people see beside it: one line of Latin-1 characters.

        Raises:
            TypeError: An argument, or a part of the value, is of a type that cannot be kept.
            ValueError: An argument would be refused, or come back as something else.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        self._perform(kv.put, key, value, ttl, description)

    def info(self, key: str) -> KeyInfo:
        """Get what the store says of a key: type, revision, description, dates, expiry.

        Args:
            key: The key.

        Raises:
            KeyError: It is missing, or has expired.
            ValueError: It cannot be a key.
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        return self._perform(kv.info, key)

    def list(self) -> builtins.list[KeyInfo]:
        """Get what the server lists of all keys: all of `info` but the types.

        Raises:
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        return self._perform(kv.infos)

    def clear(self) -> None:
        """Delete all keys of the namespace, a thousand with one request.

        Raises:
            APIError: The server refused.
            FailedExponentialBackoff: Every attempt failed.
        """
        self._perform(kv.clear)
