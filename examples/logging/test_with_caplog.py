# Tested with pytest: caplog sees each record, and kestra_messages the entries.
import logging
from collections.abc import Iterator

import pytest

from kestra import Kestra
from kestra.testing import Captured


def main() -> None:
    Kestra.configure_logging()
    logging.getLogger("orders").info("6 orders read")
    Kestra.logger().warning("order 3 has no amount")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    yield
    Kestra.restore_logging()


def test_records(caplog: pytest.LogCaptureFixture) -> None:
    main()
    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [
        ("orders", "INFO", "6 orders read"),
        ("Kestra", "WARNING", "order 3 has no amount"),
    ]


def test_entries(kestra_messages: Captured) -> None:
    main()
    assert [each.level for each in kestra_messages.logs] == ["INFO", "WARN"]
