# Tested with pytest: caplog sees each record, and capsys the entries.
import logging
from collections.abc import Iterator

import pytest

from kestra import Kestra, testing


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


def test_entries(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr()
    messages = testing.parse(printed.out, stderr=printed.err)
    assert [each.level for each in messages.logs] == ["INFO", "WARN"]
    assert not messages.rejected
