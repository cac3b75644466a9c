"""Write the Python blocks of README and docs to a folder, to check types: `snippets.py FOLDER`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from pages import PAGES, blocks_of

# What readers may do: import what is not installed, and write without annotations.
PYRIGHT = {
    "typeCheckingMode": "standard",
    "pythonVersion": "3.10",
    "reportMissingImports": False,
    "reportMissingModuleSource": False,
}
IGNORED = "import-not-found, import-untyped, var-annotated"
MYPY = f"[mypy]\ncheck_untyped_defs = true\ndisable_error_code = {IGNORED}\n"

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for old in folder.glob("*.py"):
    old.unlink()
for page in PAGES:
    for block in blocks_of(page):
        if block.language == "python":
            name = f"{page.stem.replace('-', '_')}_{block.line}.py"
            (folder / name).write_text(block.text, "utf-8")
(folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT), "utf-8")
(folder / "mypy.ini").write_text(MYPY, "utf-8")
