"""Many frames at once, from threads and processes, among text: none lost, twice or merged."""

import sys
from collections import Counter
from pipes import run, said

import pytest

pytestmark = [
    pytest.mark.load,
    pytest.mark.skipif(sys.platform == "win32", reason="forks, and pipes that hold little"),
]

SMALL, LARGE = 160, 10_000  # characters of padding: a frame of 200 B, and one above PIPE_BUF
SIZES = pytest.mark.parametrize(("size", "count"), [(SMALL, 10_000), (LARGE, 2_000)])
UNBUFFERED = pytest.mark.parametrize("options", [(), ("-u",)], ids=["buffered", "unbuffered"])
WORKERS = 8
PROCESSES = 4

EMIT = """
def emit(worker, size, count):
    for number in range(count):
        Kestra.outputs({"id": f"{worker}-{number}", "padding": "x" * size})

size, count = map(int, sys.argv[1:3])
"""

THREADS = f"""
from threading import Thread

threads = [Thread(target=emit, args=(worker, size, count)) for worker in range({WORKERS})]
"""

RUN_THREADS = """
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def frames(workers, size, count):
    padding = "x" * size
    return Counter(
        f'::{{"outputs": {{"id": "{worker}-{number}", "padding": "{padding}"}}}}::'
        for worker in range(workers)
        for number in range(count)
    )


@UNBUFFERED
@SIZES
def test_threads(size, count, options):
    """Eight threads lose no frame, and print nothing but frames."""
    script = run(EMIT + THREADS + RUN_THREADS, size, count, options=options)
    assert Counter(said(script)) == frames(WORKERS, size, count)


@UNBUFFERED
@pytest.mark.parametrize(("size", "count"), [(SMALL, 2_000), (LARGE, 400)])
@pytest.mark.parametrize(
    "talk",
    [
        'print("some", "text")',
        'print("text", flush=True)',
        'print("a part of a line, ", end="")',
        'print("a part of a line, ", end="", flush=True)',
        'print("two\\nlines, and ", end=""); sys.stdout.writelines(["more", "\\n"])',
    ],
)
def test_threads_among_text(size, count, options, talk):
    """Four threads that print, and flush, whole lines or parts of lines break no frame."""
    script = f"""
def talk():
    while any(thread.is_alive() for thread in threads):
        {talk}

talkers = [Thread(target=talk) for _ in range(4)]
for thread in [*threads, *talkers]:
    thread.start()
for thread in [*threads, *talkers]:
    thread.join()
print()
"""
    lines = said(run(EMIT + THREADS + script, size, count, options=options))
    assert Counter(line for line in lines if "::" in line) == frames(WORKERS, size, count)


START_METHOD = (
    """
import multiprocessing
import sys

from kestra import Kestra
"""
    + EMIT
    + """
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[3])
    processes = [
        context.Process(target=emit, args=(worker, size, count)) for worker in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
"""
)

FORK = """
children = []
for worker in range(4):
    child = os.fork()
    if not child:
        emit(worker, size, count)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


@UNBUFFERED
@SIZES
def test_forks(size, count, options):
    """Four forked children lose no frame to each other."""
    script = run(EMIT + FORK, size, count, options=options)
    assert Counter(said(script)) == frames(PROCESSES, size, count)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@SIZES
def test_multiprocessing(size, count, method, tmp_path):
    """Four processes of `multiprocessing` lose no frame, however they are started."""
    path = tmp_path / "script.py"
    path.write_text(START_METHOD)
    script = run(path, size, count, method)
    assert Counter(said(script)) == frames(PROCESSES, size, count)
