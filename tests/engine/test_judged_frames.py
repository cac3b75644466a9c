"""What values, metrics, tags and log entries become, read by the engine: their tests once more."""

import pytest
from test_frames import (
    test_an_enum_of_text,
    test_any_message,
    test_logs,
    test_messages_that_are_no_text,
    test_names,
    test_seconds,
    test_tags,
    test_text_of_many_digits,
    test_text_that_is_no_duration,
    test_values,
)

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("texts_in_the_engine")]
