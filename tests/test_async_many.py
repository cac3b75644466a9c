"""The tests of test_many.py that get a client, with `AsyncFlow`."""

import test_many
from faces import shared

globals().update(
    shared(
        test_many,
        "test_what_ends_a_worker_ends_the_iteration",  # overrides `check_status`
    )
)
