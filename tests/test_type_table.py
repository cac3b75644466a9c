"""docs/types.md says what the rules of each engine say; the engines are asked in engine/."""

import sys
from pathlib import Path
from pipes import run

import pytest
import type_table


@pytest.mark.skipif(sys.platform == "win32", reason="a path is of another type there")
def test_the_table_is_current():
    """Every row is a case of the tests, with what `testing.parse` makes of it."""
    script = run(Path(type_table.__file__))
    assert script.returncode == 0, script.stderr
    expected = type_table.render(type_table.parsed(script.stdout)).splitlines()
    rows = type_table.FILE.read_text("utf-8").splitlines()
    assert without_libraries(rows) == without_libraries(expected), f"run: {type_table.REWRITE}"


def without_libraries(rows):
    """All rows but those of libraries that may not be installed."""
    return [row for row in rows if not row.startswith(("| pandas.", "| polars.", "| pydantic."))]
