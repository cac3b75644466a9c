"""Libraries that not every machine can have, and why the tests that need them are skipped there."""

import os
import sys
from importlib.util import find_spec

import pytest

UNDER_WINE = sys.platform == "win32" and "WINEPREFIX" in os.environ

_REASONS = {
    "amazon": "needs the Ion library, of which there is no wheel for Python 3.14",
    "opentelemetry": "needs the API of OpenTelemetry",
    "numpy": "needs NumPy, which does not load under Wine",
}
HAS_ION = find_spec("amazon") is not None


def require(name):
    """Skip the test, or the module that is being imported, where a library is not there."""
    if find_spec(name) is None:
        pytest.skip(_REASONS[name], allow_module_level=True)
