"""Install a wheel by itself and hold it to its weight: `weight.py WHEEL`."""

import subprocess
import sys
import tempfile
from pathlib import Path

MOST_DISTRIBUTIONS = 8
MOST_MEGABYTES = 6.0

with tempfile.TemporaryDirectory() as folder:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "-t", folder, sys.argv[1]],
        check=True,
    )
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    distributions = sorted(path.name for path in Path(folder).glob("*.dist-info"))

print(f"{len(distributions)} distributions, {megabytes:.2f} MB: {', '.join(distributions)}")
if len(distributions) > MOST_DISTRIBUTIONS or megabytes > MOST_MEGABYTES:
    sys.exit(f"more than {MOST_DISTRIBUTIONS} distributions or {MOST_MEGABYTES} MB")
