"""Run `start.py CODE` in twenty fresh processes: milliseconds from start to exit, the median."""

import statistics
import subprocess
import sys
import time

times = []
for _ in range(20):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
    times.append(time.perf_counter() - start)
print(statistics.median(times) * 1e3, file=sys.stderr)
