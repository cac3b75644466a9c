"""A test of a task script, as type checkers see it. Checked, not run."""

from typing import Any

from typing_extensions import assert_type

from kestra import testing

messages = testing.parse(b'::{"outputs": {}}::', engine="1.3", stderr=["a line"], enterprise=True)
assert_type(messages, testing.Messages)
assert_type(messages.outputs, dict[str, Any])
assert_type(messages.metrics, testing.Metrics)
assert_type(messages.logs, list[testing.TaskLog])
assert_type(messages.rejected[0].line_number, int)
