"""How a server of each generation is spoken to: what each can do, and how it is asked.

A generation is learned from what responses show, and remembered. Measured on 0.21.0, 1.3.31 and
2.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kestra._api.servers import Server


@dataclass(frozen=True, slots=True)
class Dialect:
    # Below an execution. On 2.0 the old places create executions: `executions/{namespace}/{flow}`.
    action_path: str
    has_outputs_apart: bool  # outputs are not part of an execution, but have paths of their own
    filter_forms: tuple[str, ...]  # a parameter of a search, for its name and the operation
    level_parameter: str  # asks for a least level of log entries


_FILTER = "filters[{0}][{1}]"  # from 1.x on; unknown to 0.21, which ignores it
_PLAIN = "{0}"  # up to 1.x; ignored by 2.0

BEFORE_2 = Dialect("", False, (_FILTER, _PLAIN), "minLevel")
FROM_2 = Dialect("/actions", True, (_FILTER,), "filters[level][GREATER_THAN_OR_EQUAL_TO]")


def search_queries(
    server: Server, asked: Mapping[str, Any], **rest: str | int
) -> Iterator[tuple[str, dict[str, str | int]]]:
    """Yield the queries to search with, each with its form, that the server may understand.

    A server ignores a form that it does not know, and everything comes back: the results have to
    be checked. What is `asked` is by field: a value that is to be equal; `(operation, value)`; or
    for `labels` a mapping. The rest is the same in each form: `sort`, `size`, `page`.
    """
    forms = (server.dialect or BEFORE_2).filter_forms
    for form in (server.search_form,) if server.search_form in forms else forms:
        query: dict[str, str | int] = {}
        for name, wanted in asked.items():
            if isinstance(wanted, dict):
                for key, value in wanted.items():
                    if form == _PLAIN:
                        query[name] = f"{key}:{value}"
                    else:
                        query[f"{form.format(name, 'EQUALS')}[{key}]"] = value
            else:
                how, value = wanted if isinstance(wanted, tuple) else ("EQUALS", wanted)
                query[form.format(name, how)] = value
        yield form, {**query, **rest}
