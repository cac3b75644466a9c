"""A namespace over real sockets, where what was lost is sent again."""

import json
import math
from fractions import Fraction

import pytest
from loopback import answer, close

from kestra import Namespace
from kestra.exceptions import NotFound

REPORT = "id: report\nnamespace: company.team\ntasks:\n  - {id: render, type: x.Script}\n"


@pytest.fixture
def ns(server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with Namespace("company.team", hostname=server.url) as ns:
        yield ns


def test_values_files_and_flows_go_over_the_wire(ns, tmp_path):
    ns.kv.set("x", "ü☃", description="bücher")
    assert (ns.kv["x"], ns.kv.info("x").description) == ("ü☃", "bücher")
    large = bytes(range(256)) * 10_000
    (tmp_path / "large.zip").write_bytes(large)
    assert [str(each) for each in ns.files.sync(tmp_path, to="etl")] == ["created large.zip"]
    assert ns.files.sync(tmp_path, to="etl") == []
    assert ns.files.read("etl/large.zip") == large
    ns.files.write("☃/ü[1]#?&+%.txt", b"")
    assert ns.files.read("☃/ü[1]#?&+%.txt") == b""
    (tmp_path / "report.yml").write_text(REPORT)
    assert [str(each) for each in ns.flows.deploy(tmp_path)] == ["created report"]
    assert ns.flows.get("report").source == REPORT


def test_what_was_lost_is_sent_again(server, ns, tmp_path):
    (tmp_path / "a").write_bytes(b"a" * 100_000)
    ns.kv["x"] = 1
    server.upset("POST", close)
    ns.files.upload(tmp_path / "a", "a")
    server.upset("GET", close)
    assert len(ns.files.read("a")) == 100_000
    server.upset("PUT", close)
    ns.kv["x"] = 2
    assert ns.kv["x"] == 2


@pytest.mark.parametrize("wait", [True, 0, 1e12, math.inf, Fraction(60)])
def test_a_webhook_may_be_waited_for_without_an_end(server, ns, wait):
    """Its response is limited by what a socket takes, and by a second where there is no wait."""
    shown = {"id": "e1", "namespace": "company.team", "flowId": "orders", "outputs": {"n": 5}}
    shown["state"] = {"current": "SUCCESS"}
    server.upset("POST", answer(200, json.dumps(shown).encode()))
    assert ns.webhook("orders", "k1", wait=wait).outputs == {"n": 5}


def test_the_log_of_urllib3_does_not_show_the_key_of_a_webhook(ns, caplog):
    caplog.set_level("DEBUG")
    with pytest.raises(NotFound):
        ns.webhook("orders", "s3cret")
    assert "/executions/webhook/company.team/orders/***" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("proxy", ["socks9://h:1", "http://[bad"])
def test_no_other_error_shows_the_key_of_a_webhook(proxy):
    """Those of a proxy that cannot be one are no errors of a server, and name the path too."""
    ns = Namespace("company.team", hostname="http://localhost:9", proxies={"http": proxy})
    with ns, pytest.raises((ValueError, OSError)) as raised:
        ns.webhook("orders", "s3cret")
    assert "/orders/***" in str(raised.value)
    assert "s3cret" not in f"{raised.value} {getattr(raised.value, 'request', None)}"
