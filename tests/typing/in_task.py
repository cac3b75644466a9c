"""A task script, as type checkers see it. Checked, not run."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from kestra import (
    CONTEXT_FILE,
    ExecutionContext,
    JsonFormatter,
    Kestra,
    KestraHandler,
    LogFormatter,
    context,
    load_execution_context,
)


def load(path: str = "orders.csv") -> list[int]:
    return [len(path)]


# Outputs and metrics return nothing.
assert_type(Kestra.outputs({"rows": 42, "files": [Path("orders.csv")]}), None)
assert_type(Kestra.assets({"inputs": [{"id": "orders"}]}), None)
assert_type(Kestra.counter("rows", 42, {"table": "orders"}), None)
assert_type(Kestra.counter("rows", Decimal("1.5")), None)
assert_type(Kestra.gauge("fill", 0.93, tags=None), None)
assert_type(Kestra.format({"outputs": {}}), str)
Kestra.outputs([42])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a mapping
Kestra.counter("rows", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# A timer returns what it measures: nothing of a number, the result of a call.
assert_type(Kestra.timer("load", 1.5), None)
assert_type(Kestra.timer("load", timedelta(seconds=1), {"table": "orders"}), None)
assert_type(Kestra.timer("load", load), list[int])
assert_type(Kestra.timer("load", lambda: load("more.csv")), list[int])
with Kestra.timer("load", tags={"table": "orders"}):
    load()


# Decorated, a function keeps its signature.
@Kestra.timer("load")
def timed(path: str, *, limit: int = 10) -> list[int]:
    return load(path)[:limit]


@Kestra.timer("fetch")
async def fetch(url: str) -> bytes:
    return url.encode()


@Kestra.on_kill(lambda: None)
def guarded(path: str, *, limit: int = 10) -> list[int]:
    return load(path)[:limit]


assert_type(guarded("orders.csv", limit=3), list[int])
with Kestra.on_kill() as kill:
    assert_type(kill.requested, bool)
Kestra.on_kill(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a function

# Other programs.
done = Kestra.run(["dbt", Path("build")], stdout="INFO", stderr=None, parse=lambda line: 30)
assert_type(done.returncode, int)
Kestra.run(["dbt"], parse=lambda line: ("WARN", line), timeout=60, check=False, env={}, cwd=Path())
Kestra.configure_logging("DEBUG", capture_prints=True, stderr_level=20)
assert_type(timed("orders.csv", limit=3), list[int])
timed(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(asyncio.run(fetch("https://kestra.example.com")), bytes)

# Logging
assert_type(Kestra.logger(), logging.Logger)
assert_type(Kestra.configure_logging("DEBUG", capture_warnings=False), None)
assert_type(Kestra.restore_logging(), None)
handler = KestraHandler(level=logging.WARNING, split=True)
handler.setFormatter(JsonFormatter("%(message)s %(name)s", rename_fields={"name": "logger"}))
handler.setFormatter(LogFormatter("%(asctime)s %(message)s"))
logging.basicConfig(handlers=[handler])

# Data of other steps
assert_type(Kestra.read("orders.ion"), list[Any])
assert_type(Kestra.read_rows(Path("orders.ion")), Iterator[Any])
assert_type(context, ExecutionContext)
assert_type(load_execution_context(CONTEXT_FILE).to_dict(), dict[str, Any])
assert_type(context.outputs.fetch.vars.order["total"], Any)
assert_type(context["labels"], Any)
