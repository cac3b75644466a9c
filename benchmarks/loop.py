"""`python -m benchmarks.loop`: `AsyncFlow` beside `Flow`, and what it takes from an event loop."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.measure import WORKERS

# What the worker measures, and what it is called.
FIGURES = {
    "threads": "40 executions of 0 to 4 s, Flow in threads, follow=True",
    "loop": "the same with AsyncFlow in one loop",
    "many": "1,000 executions of 1 to 5 s, AsyncFlow in one loop",
    "large": "an input of 50 MB, AsyncFlow",
}


def main() -> None:
    """Run each in a process of its own, by this interpreter, and print what it measured."""
    for figure, name in FIGURES.items():
        command = [sys.executable, "in_loop.py", figure]
        done = subprocess.run(command, cwd=WORKERS, stdout=subprocess.PIPE, text=True, check=True)
        print(name)
        for what, value in json.loads(done.stdout).items():
            print(f"  {what:42}{value:10.1f}", flush=True)


main()
