"""Lines of all kinds, right and wrong, read by the engine: `testing.parse` agrees on each."""

import pytest
from recorded import CASES, printed

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("case", CASES)
def test_recorded(case, engine):
    """Of every line that was ever recorded the engine keeps what `parse` says."""
    engine.read(printed(case, "stdout"), printed(case, "stderr"))
