"""Reading 50,000 rows of Ion, text and binary."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.measure import WORKERS, Pair, Row, compare


def run(pair: Pair) -> list[Row]:
    """Time for each kind of row; memory of all rows in a list, and one by one."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([pair.ours, WORKERS / "write_ion.py", folder], check=True)
        return [row for path in sorted(Path(folder).iterdir()) for row in _compared(pair, path)]


def _compared(pair: Pair, path: Path) -> list[Row]:
    read = ("read_ion.py", str(path))
    rows = [compare(f"ion, {path.stem}", "ms", pair, *read, "read", "ms")]
    if path.stem.startswith("plain"):
        rows += [
            compare(f"ion, {path.stem}: {name}, memory", "MiB", pair, *read, name, "MiB")
            for name in ("read", "read_rows")
        ]
    return rows
