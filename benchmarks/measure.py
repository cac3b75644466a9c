"""Two interpreters side by side: one with the published package, one with this tree."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import venv
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORKERS = Path(__file__).parent / "workers"
PUBLISHED = "kestra==2.0.0"
LOST = "lost"  # the unit of what is counted, and has no ratio, since one of the two is zero


@dataclass(frozen=True)
class Pair:
    """The interpreters of the published package and of this tree, and the folder they are in."""

    folder: Path
    published: Path
    ours: Path

    @classmethod
    def made_in(cls, folder: Path) -> Pair:
        """Make both environments, or take them as an earlier run left them."""
        return cls(
            folder,
            environment(folder / "published", PUBLISHED),
            environment(folder / "ours", f"{ROOT}[ion]"),
        )


@dataclass(frozen=True)
class Row:
    """One measurement: the figures of both, and published / ours (more than 1: ours is better).

    `kestrapy` are those of kestrapy, the SDK, where that was measured too.
    """

    name: str
    unit: str
    published: list[float]
    ours: list[float]
    kestrapy: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of the ratios of neighbours: it holds while the machine's speed drifts."""
        return statistics.median(a / b for a, b in zip(self.published, self.ours, strict=True))

    def line(self) -> str:
        """The row as text: minimum / median of each, and the ratio."""
        figures = [
            f"{min(it):9.2f} /{statistics.median(it):9.2f}" for it in (self.published, self.ours)
        ]
        ratio = "" if self.unit == LOST else f"   {self.ratio:6.2f} x"
        kestrapy = f"   kestrapy: {statistics.median(self.kestrapy):.2f}" if self.kestrapy else ""
        return f"{self.name:42}{self.unit:>5}  {'   '.join(figures)}{ratio}{kestrapy}"

    def as_dict(self) -> dict[str, object]:
        """The row as one JSON object."""
        lists = ("published", "ours", "kestrapy")
        rounded = {name: [round(it, 3) for it in getattr(self, name)] for name in lists}
        if not self.kestrapy:
            del rounded["kestrapy"]
        ratio = {} if self.unit == LOST else {"ratio": round(self.ratio, 3)}
        return {"name": self.name, "unit": self.unit, **rounded, **ratio}


def compare(name: str, unit: str, pair: Pair, *command: str, runs: int = 5) -> Row:
    """Run a worker in both interpreters in turn.

    A worker prints one number, its figure, as the last line of its standard error; its standard
    output is a pipe that is read to the end.
    """
    figures: dict[Path, list[float]] = {pair.published: [], pair.ours: []}
    for run in range(runs + 1):
        for python, collected in figures.items():
            measured = figure(python, *command)
            if run:  # the first is for the file caches
                collected.append(measured)
    return Row(name, unit, figures[pair.published], figures[pair.ours])


def figure(python: Path, *command: str) -> float:
    """Run a worker once, and return its figure."""
    # Without PYTHONUNBUFFERED, PYTHONPATH and the like: both run as installed.
    environment = {name: it for name, it in os.environ.items() if not name.startswith("PYTHON")}
    with subprocess.Popen(
        [python, *command],
        cwd=WORKERS,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        reader = threading.Thread(target=_drain, args=(process.stdout.fileno(),))
        reader.start()
        errors = process.stderr.read().decode()
        reader.join()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with {python}:\n{errors}")
    return float(errors.splitlines()[-1])


def _drain(descriptor: int) -> None:
    while os.read(descriptor, 1 << 20):
        pass


def environment(folder: Path, *requirements: str) -> Path:
    """Make an environment in a folder, or take the one that is there; return its interpreter."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements]
    subprocess.run(pip, check=True)
    return python


def kept(rows: list[Row], file: Path) -> list[Row]:
    """Keep rows in a JSON document, in place of those of the same name; return all of it."""
    by_name = {}
    if file.exists():
        document = json.loads(file.read_text())
        for it in document["rows"] + document.get("lost", []):
            it.pop("ratio", None)
            by_name[it["name"]] = Row(**it)
    by_name |= {row.name: row for row in rows}
    every = by_name.values()
    document = {
        "published": PUBLISHED,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "rows": [it.as_dict() for it in every if it.unit != LOST],
        "lost": [it.as_dict() for it in every if it.unit == LOST],
    }
    file.write_text(json.dumps(document, indent=1) + "\n")
    return list(every)
