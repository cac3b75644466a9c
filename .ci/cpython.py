"""Fetch CPython 3.14, which few machines have yet, as a Maven artifact: `cpython.py linux-x86_64`.

It goes to build/cpython, and the folder of the interpreter is printed.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ARTIFACT = "org.bytedeco:cpython:3.14.3-1.5.13:jar"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
FOLDER = Path("build/cpython")


def fetch(platform: str) -> Path:
    """Return the folder of the interpreter for a platform, which is fetched where it is missing.

    Raises:
        FileNotFoundError: There is no Maven.
        subprocess.CalledProcessError: Maven could not fetch it.
    """
    home = FOLDER / "org" / "bytedeco" / "cpython" / platform
    if (home / "complete").exists():
        return home
    maven = shutil.which("mvn")
    if maven is None:
        raise FileNotFoundError("CPython 3.14 is fetched with Maven (mvn), which is not here")
    copy = [maven, "-q", "-B", f"{PLUGIN}:copy", f"-Dartifact={ARTIFACT}:{platform}"]
    subprocess.run(
        [*copy, f"-DoutputDirectory={FOLDER}"], check=True, stdin=subprocess.DEVNULL, timeout=600
    )
    (jar,) = FOLDER.glob(f"*-{platform}.jar")
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(FOLDER)
    jar.unlink()
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    (home / "complete").touch()
    return home


if __name__ == "__main__":
    print(fetch(sys.argv[1]))
