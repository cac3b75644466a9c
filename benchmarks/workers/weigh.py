"""Run `weigh.py distributions|megabytes`: what is installed beside the installer itself."""

import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

INSTALLERS = {"pip", "setuptools", "wheel"}

packages = [it for it in distributions() if it.metadata["Name"].lower() not in INSTALLERS]
if sys.argv[1] == "distributions":
    print(len(packages), file=sys.stderr)
else:
    root = Path(sysconfig.get_path("purelib"))
    files = [root / file for package in packages for file in package.files or ()]
    sizes = [it.stat().st_size for it in files if it.suffix != ".pyc" and it.is_file()]
    print(sum(sizes) / 1e6, file=sys.stderr)
