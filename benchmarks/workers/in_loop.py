"""Executes flows on `engine.py`, from threads with `Flow` or from a loop with `AsyncFlow`.

Prints its figures as JSON.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import urlopen

from kestra import AsyncFlow, Flow

DURATIONS = [50 + 100 * i for i in range(40)]  # milliseconds, even over 0 to 4 s
MANY = 1_000
LARGE = 50_000_000  # bytes
TICK = 0.001  # seconds


def main() -> None:
    """Start the server, run what the figures need, and print them."""
    command = [sys.executable, "engine.py", "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        print(json.dumps(FIGURES[sys.argv[1]](url)))
        server.stdin.close()


def counted(url: str) -> dict[str, Any]:
    """Return what the server counted, without this question."""
    with urlopen(f"{url}/figures") as answer:  # noqa: S310  # http, as made above
        figures: dict[str, Any] = json.load(answer)
    return {**figures, "connections": figures["connections"] - 1}


def costs(url: str, back: list[tuple[str, float]]) -> dict[str, float]:
    """Return what the executions cost: milliseconds after their end, requests, connections."""
    figures = counted(url)
    delays = [at - figures["ends"][name] for name, at in back]
    return {
        "median delay after the end, ms": 1000 * statistics.median(delays),
        "requests an execution": figures["requests"] / len(back),
        "connections an execution": figures["connections"] / len(back),
    }


def in_threads(url: str) -> dict[str, float]:
    """Forty executions with one `Flow`, a thread each."""
    flow = Flow(hostname=url)

    def execute(milliseconds: int) -> tuple[str, float]:
        result = flow.execute("benchmarks", str(milliseconds), fetch_log=False, follow=True)
        return result.execution_id, time.monotonic()

    with ThreadPoolExecutor(len(DURATIONS)) as threads:
        return costs(url, list(threads.map(execute, DURATIONS)))


async def _executed(flow: AsyncFlow, milliseconds: int) -> tuple[str, float]:
    result = await flow.execute("benchmarks", str(milliseconds), fetch_log=False)
    return result.execution_id, time.monotonic()


def in_loop(url: str) -> dict[str, float]:
    """The same with one `AsyncFlow`."""

    async def execute() -> list[tuple[str, float]]:
        async with AsyncFlow(hostname=url) as flow:
            return await asyncio.gather(*(_executed(flow, each) for each in DURATIONS))

    return costs(url, asyncio.run(execute()))


async def _watched(work: Callable[[], Awaitable[Any]]) -> float:
    """Return for how long the loop was held up at most while some work was done, in seconds."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            begin = time.monotonic()
            await asyncio.sleep(TICK)
            longest = max(longest, time.monotonic() - begin - TICK)

    ticking = asyncio.create_task(tick())
    await work()
    ticking.cancel()
    return longest


def many(url: str) -> dict[str, float]:
    """A thousand executions of one to five seconds, all followed at once."""

    async def execute() -> float:
        async with AsyncFlow(hostname=url, request_timeout=(60, 60)) as flow:

            async def each() -> None:
                durations = (1000 + 4 * number for number in range(MANY))
                await asyncio.gather(*(_executed(flow, each) for each in durations))

            return await _watched(each)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.monotonic()
    longest = asyncio.run(execute())
    return {
        "wall, s": time.monotonic() - begin,
        "memory beyond the imports, MiB": _peak(before),
        "longest hold of the loop, ms": 1000 * longest,
    }


def large(url: str) -> dict[str, float]:
    """An execution with three inputs of 50 MB together: texts, lists, and files."""
    figures: dict[str, float] = {}
    third = LARGE // 3  # the engine takes no longer texts
    kinds = {
        "texts": ["x" * third] * 3,
        "lists": [list(range(third // 9))] * 3,
        "bytes": [b"x" * third] * 3,
    }

    async def execute(values: list[object]) -> float:
        async with AsyncFlow(hostname=url) as flow:
            await flow.execute("benchmarks", "0", fetch_log=False)  # opens the connection
            inputs = {f"input{number}": value for number, value in enumerate(values)}
            return await _watched(lambda: flow.execute("benchmarks", "0", inputs, fetch_log=False))

    for name, values in kinds.items():
        figures[f"{name}: longest hold of the loop, ms"] = 1000 * asyncio.run(execute(values))
    return figures


def _peak(before: int) -> float:
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


FIGURES = {"threads": in_threads, "loop": in_loop, "many": many, "large": large}

main()
