"""Lines of all kinds, right and wrong, read by the engine: `testing.parse` agrees on each."""

import pytest
from recorded import CASES, printed

pytestmark = pytest.mark.engine

# The engine reads its two streams at once: where one of them changes how the other is read, what
# is kept depends on which comes first.
ORDERLY = [case for case in CASES if b"##kestra:log:" not in printed(case, "stderr")]


@pytest.mark.parametrize("case", ORDERLY)
def test_recorded(case, engine):
    """Of every line that was ever recorded the engine keeps what `parse` says."""
    engine.read(printed(case, "stdout"), printed(case, "stderr"))
