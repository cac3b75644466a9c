"""The tests of test_steering.py that get a client, with `AsyncFlow`."""

import test_steering
from faces import shared

globals().update(shared(test_steering))
