"""What `read_ion.py PATH read|read_rows ms|MiB` takes: milliseconds, or the peak of the process."""

import os
import resource
import sys
import time

from kestra import Kestra

path, call, unit = sys.argv[1:]
read = getattr(Kestra, call, Kestra.read)  # the published package has no `read_rows`
list(read(os.devnull))  # imports what is imported on use

start = time.perf_counter()
rows = read(path)
count = sum(1 for _ in rows)
seconds = time.perf_counter() - start
if count != 50_000:  # noqa: PLR2004  # of write_ion.py
    sys.exit(f"{count} rows")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # on Linux, KiB
print(seconds * 1e3 if unit == "ms" else peak, file=sys.stderr)
