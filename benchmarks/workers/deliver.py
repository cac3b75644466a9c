"""How many frames `deliver.py SCENARIO [-u]` loses on the way to the reader of a pipe.

A frame has arrived if a line is exactly that frame, as an engine takes it.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter

SMALL, LARGE = 160, 10_000  # characters in each frame, besides some 40 around them
WORKERS = 4


def frame(worker: int, number: int, size: int) -> str:
    return f'::{{"outputs": {{"id": "{worker}-{number}", "padding": "{"x" * size}"}}}}::'


def emit(worker: int, count: int, size: int) -> None:
    for number in range(count):
        Kestra.outputs({"id": f"{worker}-{number}", "padding": "x" * size})


def print_text(_worker: int, count: int, _size: int) -> None:
    for number in range(count):
        print(f"line {number}")


def threads(*calls: object, count: int, size: int) -> None:
    each = [
        threading.Thread(target=call, args=(worker, count, size))
        for worker, call in enumerate(calls)
    ]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()


def processes(count: int, size: int) -> None:
    ids = []
    for worker in range(WORKERS):
        pid = os.fork()
        if not pid:
            emit(worker, count, size)
            sys.exit()
        ids.append(pid)
    for pid in ids:
        os.waitpid(pid, 0)


def after_open_lines(count: int, size: int) -> None:
    for number in range(count):
        print(f"{number} …", end="")
        Kestra.outputs({"id": f"0-{number}", "padding": "x" * size})


def then(end: object) -> object:
    def run(count: int, size: int) -> None:
        emit(0, count, size)
        end()

    return run


# What runs, how many workers emit, how many frames each, and of which size.
SCENARIOS = {
    "threads": (lambda **them: threads(*[emit] * WORKERS, **them), WORKERS, 10_000, SMALL),
    "threads, 10 kB": (lambda **them: threads(*[emit] * WORKERS, **them), WORKERS, 1_000, LARGE),
    "beside threads that print": (
        lambda **them: threads(emit, *[print_text] * WORKERS, **them),
        1,
        10_000,
        SMALL,
    ),
    "processes": (processes, WORKERS, 10_000, SMALL),
    "processes, 10 kB": (processes, WORKERS, 1_000, LARGE),
    "after text without a line end": (after_open_lines, 1, 1_000, SMALL),
    "before os._exit": (then(lambda: os._exit(0)), 1, 20, SMALL),
    "before SIGKILL": (then(lambda: os.kill(os.getpid(), signal.SIGKILL)), 1, 20, SMALL),
}


def lost(scenario: str, flags: list[str]) -> int:
    """Run the scenario in a process of its own, and count what does not arrive."""
    _, workers, count, size = SCENARIOS[scenario]
    command = [sys.executable, *flags, __file__, scenario, "emit"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        arrived = Counter(process.stdout.read().decode("utf-8", "replace").split("\n"))
    sent = [frame(w, n, size) for w in range(workers) for n in range(count)]
    return sum(not arrived[each] for each in sent)


scenario, *flags = sys.argv[1:]
if flags == ["emit"]:
    from kestra import Kestra

    run, _, count, size = SCENARIOS[scenario]
    run(count=count, size=size)
else:
    print(lost(scenario, flags), file=sys.stderr)
