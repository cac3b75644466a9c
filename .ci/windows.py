"""Run the tests with Python for Windows, under Wine: `windows.py WHEEL [ARGUMENT OF PYTEST ...]`.

What is not there: NumPy, pandas and polars, which do not load on Wine 8, and the Ion library, which
has no wheel for Python 3.14. Tests that need them are skipped.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from cpython import fetch
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LONGEST = 900  # seconds, five times what the tests take
FOLDER = Path("build/wine").absolute()
# Every call of Windows would take the terminal for its own.
QUIET = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "stdout": subprocess.PIPE}
ENVIRONMENT = {
    "WINEPREFIX": str(FOLDER / "prefix"),
    "WINEDEBUG": "-all",
    "PYTHONPYCACHEPREFIX": str(FOLDER / "pycache"),  # byte code names the files as Windows does
}
WITHOUT = {"amazon.ion", "kestra", "numpy", "pandas", "polars"}
ON_WINDOWS = ["colorama", "tzdata", "win32-setctime"]  # pip reads the markers of this machine


def wine() -> str:
    """Return the path of Wine's loader for programs of 64 bits."""
    found = shutil.which("wine64", path=f"{os.environ['PATH']}{os.pathsep}/usr/lib/wine")
    if found is None:
        sys.exit("needs Wine: apt-get install wine wine64")
    return found


def requirements() -> list[str]:
    """Return what the tests need, as far as it can be had."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = ("async", "cli", "namespace", "testing", "test")
    wanted = [*project["dependencies"], *(each for name in named for each in extras[name])]
    return [each for each in wanted if Requirement(each).name not in WITHOUT] + ON_WINDOWS


def install(home: Path, wheel: str) -> None:
    """Install the wheel and what the tests need for the interpreter at `home`."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--upgrade"]
    target = ["--target", str(home / "lib" / "site-packages")]
    for_windows = ["--platform", "win_amd64", "--python-version", "3.14", "--only-binary=:all:"]
    subprocess.run([*pip, *target, *for_windows, *requirements()], check=True)
    subprocess.run([*pip, *target, "--no-deps", wheel], check=True)


def main(wheel: str, *arguments: str) -> int:
    """Run pytest, whose exit status is returned."""
    home = FOLDER / "python"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(fetch("windows-x86_64"), home)
    (home / "lib" / "_wmi.pyd").unlink()  # Wine lacks what it calls
    install(home, wheel)
    environment = {**os.environ, **ENVIRONMENT}
    subprocess.run([wine(), "wineboot", "-i"], check=True, env=environment, timeout=300, **QUIET)
    command = [wine(), str(home / "python.exe"), "-m", "pytest", *arguments]
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, **QUIET) as process:
        limit = threading.Timer(LONGEST, process.kill)
        limit.start()
        for line in process.stdout:
            sys.stdout.buffer.write(line.replace(b"\r\n", b"\n"))
            sys.stdout.flush()
        limit.cancel()
    print(f"{time.monotonic() - began:.0f} s under Wine")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
