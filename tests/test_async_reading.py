"""The tests of test_reading.py that get a client, with `AsyncFlow`."""

import test_reading
from faces import shared

globals().update(
    shared(
        test_reading,
        "test_an_interrupted_download_leaves_nothing",  # patches `requests`; see test_async_flow.py
    )
)
