"""Executes flows on `engine.py`, and prints one figure."""

import json
import resource
import subprocess
import sys
import threading
import time
from urllib.request import urlopen

from kestra import Flow

SPEED = 5  # how much faster a minute passes
DURATIONS = [50 + 100 * i for i in range(40)]  # milliseconds, even over 0 to 4 s
LINES = {"bytes": 200, "bytes_large": 10_000, "memory": 2_000_000}  # of 100 bytes


def main() -> None:
    """Start the server, run what the figure needs, and print it."""
    figure = sys.argv[1]
    lines = str(LINES.get(figure, 1))
    command = [sys.executable, "engine.py", lines]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        print(FIGURES[figure](url), file=sys.stderr)
        server.stdin.close()


def execute(
    url: str, milliseconds: int, *, wait: bool = True, log: bool = True, follow: bool = False
) -> tuple[str, float]:
    """Execute once, and return the id and when the call came back."""
    flow = Flow(wait_for_completion=wait)
    flow.hostname = url
    # The published package always fetches the log, and does not follow.
    options = {"fetch_log": log, "follow": follow} if hasattr(flow, "close") else {}
    result = flow.execute("benchmarks", str(milliseconds), **options)
    return result.execution_id, time.monotonic()


def at_once(calls: list) -> list:
    """Call functions in a thread each, and return what they return."""
    results = []
    threads = [threading.Thread(target=lambda c=call: results.append(c())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def figures(url: str) -> dict:
    """Return what the server counted, without this question."""
    with urlopen(f"{url}/figures") as answer:  # noqa: S310  # http, as made above
        counted = json.load(answer)
    return {**counted, "connections": counted["connections"] - 1}


def mean_delay(url: str, durations: list[int], *, log: bool = False, follow: bool = False) -> float:
    """Return how long after the end a call comes back, in milliseconds."""
    back = at_once([lambda d=d: execute(url, d, log=log, follow=follow) for d in durations])
    ends = figures(url)["ends"]
    return 1000 * sum(time - ends[name] for name, time in back) / len(back)


def mean(what: str, per: float = 1, *, follow: bool = False) -> object:
    """Return a function that measures what an execution costs."""

    def measure(url: str) -> float:
        at_once([lambda d=d: execute(url, d, follow=follow) for d in DURATIONS])
        return figures(url)[what] / len(DURATIONS) / per

    return measure


def minute(url: str) -> float:
    """Return the requests of an execution that lasts a minute."""
    sleep, monotonic = time.sleep, time.monotonic
    time.sleep = lambda seconds: sleep(seconds / SPEED)
    time.monotonic = lambda: monotonic() * SPEED
    execute(url, 60_000 // SPEED)
    return figures(url)["requests"]


def threads(url: str) -> float:
    """Return the connections of a hundred threads that share one object."""
    flow = Flow()
    flow.hostname = url
    at_once([lambda: flow.execute("benchmarks", "1500")] * 100)
    return figures(url)["connections"]


def memory(url: str) -> float:
    """Return the memory that a log of 200 MB takes at most, in logs."""
    execute(url, 0, wait=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    execute(url, 0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 200e6


FIGURES = {
    "delay": lambda url: mean_delay(url, DURATIONS),
    "delay_log": lambda url: mean_delay(url, DURATIONS, log=True),
    "delay_followed": lambda url: mean_delay(url, DURATIONS, follow=True),
    "requests_followed": mean("requests", follow=True),
    "instant": lambda url: mean_delay(url, [0]),
    "requests": mean("requests"),
    "connections": mean("connections"),
    "bytes": mean("bytes", per=1000),
    "bytes_large": mean("bytes", per=1000),
    "minute": minute,
    "threads": threads,
    "memory": memory,
}

main()
