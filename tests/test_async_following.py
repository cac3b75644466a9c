"""The tests of test_following.py that get a client, with `AsyncFlow`."""

import test_following
from faces import shared

globals().update(shared(test_following))
