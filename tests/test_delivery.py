"""Many frames at once, from threads and processes, among text: none lost, twice or merged."""

import os
import re
import sys
from collections import Counter
from itertools import combinations_with_replacement
from multiprocessing import get_all_start_methods
from pipes import lines

import pytest

pytestmark = pytest.mark.load
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SMALL, LARGE = 160, 10_000  # characters of padding: a frame of 200 B, and one above PIPE_BUF
SIZES = pytest.mark.parametrize("sizes", [[SMALL], [LARGE]])
MIXED_SIZES = pytest.mark.parametrize("sizes", [[SMALL], [LARGE], [SMALL, LARGE]])
UNBUFFERED = pytest.mark.parametrize("options", [(), ("-u",)], ids=["buffered", "unbuffered"])
SCALE = 1 if sys.platform != "win32" else 50  # under Wine a write takes as much longer
COUNT = 10_000 // SCALE
WORKERS = 8
PROCESSES = 4

EMIT = """
import json
import sys
from kestra import Kestra

def emit(worker, sizes, count):
    for number in range(count):
        padding = "x" * sizes[worker % len(sizes)]
        Kestra.outputs({"id": f"{worker}-{number}", "padding": padding})

sizes, count = json.loads(sys.argv[1]), int(sys.argv[2])
"""

THREADS = f"""
from threading import Thread

threads = [Thread(target=emit, args=(worker, sizes, count)) for worker in range({WORKERS})]
"""

RUN_THREADS = """
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def delivered(script, *arguments, options=()):
    """How often each line arrived, with the length of a padding in its place."""
    paddings = re.compile(rb"xx+")
    return Counter(
        paddings.sub(lambda padding: b"%d" % len(padding[0]), line)
        for line in lines(script, *arguments, options=options)
    )


def frames(workers, sizes, count):
    """What is to be `delivered`."""
    return Counter(
        b'::{"outputs": {"id": "%d-%d", "padding": "%d"}}::\n'
        % (worker, number, sizes[worker % len(sizes)])
        for worker in range(workers)
        for number in range(count)
    )


@UNBUFFERED
@SIZES
def test_threads(sizes, options):
    """Eight threads lose no frame, and print nothing but frames."""
    arrived = delivered(EMIT + THREADS + RUN_THREADS, sizes, COUNT, options=options)
    assert arrived == frames(WORKERS, sizes, COUNT)


@UNBUFFERED
@pytest.mark.parametrize(("sizes", "count"), [([SMALL], 2_000 // SCALE), ([LARGE], 400 // SCALE)])
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
def test_threads_among_text(sizes, count, options, talk):
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
    arrived = delivered(EMIT + THREADS + script, sizes, count, options=options)
    only_frames = {line: times for line, times in arrived.items() if b"::" in line}
    assert only_frames == frames(WORKERS, sizes, count)


START_METHOD = """
import multiprocessing

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[3])
    processes = [
        context.Process(target=emit, args=(worker, sizes, count)) for worker in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
"""

FORK = """
children = []
for worker in range(4):
    child = os.fork()
    if not child:
        emit(worker, sizes, count)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


@FORKS
@UNBUFFERED
@MIXED_SIZES
def test_forks(sizes, options):
    """Four forked children lose no frame to each other."""
    arrived = delivered(EMIT + FORK, sizes, COUNT, options=options)
    assert arrived == frames(PROCESSES, sizes, COUNT)


TALK = """
def talk(worker, sizes, count):
    for number in range(count):
        print("worker", worker, "row", number, "x" * (number % 300))
        if number % 3 == 0:
            print("and", end=" ", flush=number % 2 == 0)
            emit_one(worker, number, sizes)
            print("so on")

def emit_one(worker, number, sizes):
    padding = "x" * sizes[worker % len(sizes)]
    Kestra.outputs({"id": f"{worker}-{number}", "padding": padding})
"""
TALKING = {
    "fork": FORK.replace("emit(", "talk("),
    "Pool": """
import multiprocessing

with multiprocessing.get_context("fork").Pool(4) as pool:
    pool.starmap(talk, [(worker, sizes, count) for worker in range(4)], chunksize=1)
""",
}


@FORKS
@UNBUFFERED
@SIZES
@pytest.mark.parametrize("talking", TALKING)
def test_forks_that_print(talking, sizes, options):
    """Text of four forked processes, whole lines and open ones, swallows no frame of theirs."""
    arrived = delivered(EMIT + TALK + TALKING[talking], sizes, 900, options=options)
    expected = frames(PROCESSES, sizes, 900)
    expected = {line: 1 for line in expected if int(line.split(b"-")[1].split(b'"')[0]) % 3 == 0}
    assert {line: times for line, times in arrived.items() if b"::" in line} == expected


@FORKS
def test_a_fork_and_its_child():
    """A process that has forked loses none to its child, though their sizes differ."""
    code = "child = os.fork()\nemit(int(bool(child)), sizes, count)\nif child: os.wait()"
    arrived = delivered(EMIT + code, [LARGE, SMALL], 3_000 // SCALE)
    assert arrived == frames(2, [LARGE, SMALL], 3_000 // SCALE)


@pytest.mark.parametrize("method", get_all_start_methods())
@MIXED_SIZES
def test_multiprocessing(sizes, method, tmp_path):
    """Four processes of `multiprocessing` lose no frame, however they are started."""
    path = tmp_path / "script.py"
    path.write_text(EMIT + START_METHOD)
    arrived = delivered(path, sizes, COUNT, method)
    assert arrived == frames(PROCESSES, sizes, COUNT)


def test_a_script_that_a_script_runs(tmp_path):
    """A script loses no frame to another one that it has started."""
    path = tmp_path / "child.py"
    path.write_text(EMIT + "emit(1, sizes, count)")
    code = """
import subprocess

child = subprocess.Popen([sys.executable, *sys.argv[3:], *sys.argv[1:3]])
emit(0, sizes, count)
child.wait()
"""
    arrived = delivered(EMIT + code, [SMALL, LARGE], 3_000 // SCALE, path)
    assert arrived == frames(2, [SMALL, LARGE], 3_000 // SCALE)


# Any two kinds of writers.

WRITER = """
import os, sys, warnings
from kestra import Kestra

sizes = [1_000_000 if number % 50 == 0 else 99 for number in range(300)]

def emit(name):
    for number, size in enumerate(sizes):
        Kestra.outputs({f"{name} {number}": "x" * size})

if __name__ == "__main__":
    emit(sys.argv[1])
"""
STARTS = {
    "fork": """
def start(name):
    warnings.simplefilter("ignore")  # of threads
    child = os.fork()
    if not child:
        emit(name)
        os._exit(0)
    return lambda: os.waitpid(child, 0)
""",
    "spawn": """
def start(name):
    import multiprocessing
    process = multiprocessing.get_context("spawn").Process(target=emit, args=(name,))
    process.start()
    return process.join
""",
    "subprocess": """
def start(name):
    import subprocess
    return subprocess.Popen([sys.executable, "writer.py", name]).wait
""",
    "shell": """
def start(name):
    import subprocess
    return subprocess.Popen(["sh", "-c", f"{sys.executable} writer.py {name} & wait"]).wait
""",
    "thread": """
def start(name):
    from threading import Thread
    thread = Thread(target=emit, args=(name,))
    thread.start()
    return thread.join
""",
    "interpreter": """
def start(name):
    import _interpreters
    from threading import Thread
    code = f"import sys; sys.path = {sys.path!r}; from writer import emit; emit({name!r})"
    thread = Thread(target=_interpreters.exec, args=(_interpreters.create(), code))
    thread.start()
    return thread.join
""",
}


@pytest.mark.parametrize(
    ("one", "other"),
    [pytest.param(*it, id="-".join(it)) for it in combinations_with_replacement(STARTS, 2)],
)
def test_two_kinds_of_writers(one, other, tmp_path):
    """Two that write small frames and large ones to one pipe lose none, whatever they are."""
    if "interpreter" in {one, other} and sys.version_info < (3, 13):
        pytest.skip("interpreters of their own, since 3.13")
    (tmp_path / "writer.py").write_text(WRITER)
    path = tmp_path / "script.py"
    path.write_text(f"""
import os, sys, warnings
os.chdir(os.path.dirname(os.path.abspath(__file__)))
from writer import emit
{STARTS[one].replace("def start(", "def start_one(")}
{STARTS[other].replace("def start(", "def start_other(")}
if __name__ == "__main__":
    ends = [start_one("one"), start_other("other")]
    for end in ends:
        end()
""")
    whole = re.compile(rb'::{"outputs": {"([a-z]+ [0-9]+)": "(x+)"}}::\n')
    found = [whole.fullmatch(line) for line in lines(path)]
    assert {len(it[2]) for it in found} == {99, 1_000_000}
    arrived = Counter(it[1] for it in found)
    names = [f"{name} {number}".encode() for name in ("one", "other") for number in range(300)]
    assert arrived == Counter(names)
