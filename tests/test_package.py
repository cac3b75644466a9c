"""The wheel: what it holds, and that it takes the place of the published package."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from optional import UNDER_WINE

import kestra

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_else(wheel):
    """A wheel is `kestra/`, `exceptions.py`, and its own description."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "kestra",
        "exceptions.py",
        f"kestra-{kestra.__version__}.dist-info",
    }
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert "kestra/py.typed" in sources


def test_pytest_finds_the_plugin(wheel):
    """The wheel names the plugin as pytest looks for it; `-p no:kestra` leaves it out."""
    description = f"kestra-{kestra.__version__}.dist-info/entry_points.txt"
    points = zipfile.ZipFile(wheel).read(description).decode()
    assert points.strip() == "[pytest11]\nkestra = kestra._testing.pytest_plugin"


def old_package(folder):
    """A wheel laid out as the published 2.0.0 is: two top-level modules."""
    files = {
        "kestra.py": "old = True\n",
        "exceptions.py": "old = True\n",
        "kestra-2.0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: kestra\nVersion: 2.0.0\n",
        "kestra-2.0.0.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "kestra-2.0.0.dist-info/RECORD"
    files[record] = "".join(f"{name},,\n" for name in [*files, record])
    path = folder / "kestra-2.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.mark.skipif(UNDER_WINE, reason="Wine 8 cannot copy what an environment is made of")
def test_installing_over_the_published_package_replaces_it(wheel, tmp_path):
    """After `pip install` over 2.0.0 its modules are gone, and ours are found under their names."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    for path in (old_package(tmp_path), wheel):
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", path], check=True
        )
    code = (
        "import exceptions, kestra; from importlib.metadata import version\n"
        "print(kestra.__file__, hasattr(exceptions, 'old'), version('kestra'))"
    )
    run = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True)
    file, is_old, version = run.stdout.split()
    assert Path(file).name == "__init__.py"
    assert not (Path(file).parent.parent / "kestra.py").exists()
    assert is_old == "False"
    assert version == kestra.__version__


def test_every_python_is_verified_somewhere():
    """The classifiers, the table of platforms and the workflow name the same versions."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    table = (ROOT / "docs" / "reference" / "platforms.md").read_text("utf-8")
    assert re.findall(r"^\| (3\.\d+) \|", table, re.MULTILINE) == versions
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    assert yaml.safe_load(workflow)["jobs"]["tests"]["strategy"]["matrix"]["python"] == versions
