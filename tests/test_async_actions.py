"""The tests of test_actions.py that get a client, with `AsyncFlow`."""

import test_actions
from faces import shared

globals().update(shared(test_actions))
