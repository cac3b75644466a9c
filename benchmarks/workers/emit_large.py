"""Milliseconds for one `outputs` of 10 MB, the best of five; or the peak of `memory` in MiB."""

import sys
import time

from kestra import Kestra

SIZE = 10_000_000
VALUES = {
    "text": lambda: {"text": "x" * SIZE},
    "rows": lambda: {
        "rows": [
            {"id": i, "name": f"name {i}", "price": i * 1.5, "ok": i % 2 == 0, "note": None}
            for i in range(SIZE // 80)
        ]
    },
    "non-ascii": lambda: {"text": "é日本語ü" * (SIZE // 13)},
}

value = VALUES[sys.argv[1]]()
rounds = []
if sys.argv[2:] == ["memory"]:
    import resource

    Kestra.outputs(value)
    sys.stdout.flush()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
else:
    for _ in range(5):
        start = time.perf_counter()
        Kestra.outputs(value)
        sys.stdout.flush()
        rounds.append(time.perf_counter() - start)
    print(min(rounds) * 1e3, file=sys.stderr)
