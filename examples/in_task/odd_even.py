# Counters: each call adds to what was counted before.
from kestra import Kestra

for number in range(1, 8):
    Kestra.counter("even" if number % 2 == 0 else "odd", 1)
