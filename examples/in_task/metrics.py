# Metrics: a duration taken with the `time` module, three that `Kestra.timer` takes, and a gauge.
import time

from kestra import Kestra


def squares(count: int) -> list[int]:
    return [number**2 for number in range(count)]


start = time.perf_counter()
squares(1_000)
Kestra.timer("by_hand", time.perf_counter() - start)  # in seconds

numbers = Kestra.timer("called", lambda: squares(1_000))  # gives back what it calls gives

with Kestra.timer("block", tags={"step": "sum"}):
    total = sum(numbers)


@Kestra.timer("decorated")
def largest() -> int:
    return max(numbers)


largest()
largest()  # timers of one name add up

Kestra.gauge("mean", total / len(numbers))
