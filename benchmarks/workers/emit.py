"""Microseconds a call of `emit.py CALL COUNT`, the best of five rounds."""

import sys
import time

from kestra import Kestra

OUTPUTS = {"rows": 42}
TAGS = {"table": "orders"}


def outputs(count: int) -> None:
    emit = Kestra.outputs
    for _ in range(count):
        emit(OUTPUTS)


def counter(count: int) -> None:
    emit = Kestra.counter
    for _ in range(count):
        emit("rows", 42)


def counter_with_tags(count: int) -> None:
    emit = Kestra.counter
    for _ in range(count):
        emit("rows", 42, TAGS)


def timer(count: int) -> None:
    emit = Kestra.timer
    for _ in range(count):
        emit("load", 1.5)


def gauge(count: int) -> None:
    emit = Kestra.gauge
    for _ in range(count):
        emit("memory", 1.5)


def log(count: int) -> None:
    emit = Kestra.logger().info
    for _ in range(count):
        emit("hello %s", "world")


call, count = globals()[sys.argv[1]], int(sys.argv[2])
call(count // 20)
rounds = []
for _ in range(5):
    start = time.perf_counter()
    call(count)
    sys.stdout.flush()  # the published package keeps the last frames until then
    rounds.append(time.perf_counter() - start)
print(min(rounds) / count * 1e6, file=sys.stderr)
