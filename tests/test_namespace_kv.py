"""The key-value store of a namespace, against what servers have said."""

import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime

import pytest
import requests
from namespaces import ENGINES, RECORDED, namespace, recorded

from kestra import KeyInfo, Namespace
from kestra._api.stored import body, value_of
from kestra.exceptions import APIError, FailedExponentialBackoff, InvalidInput, NotFound
from kestra.testing import FakeKestra

INDIA = timezone(timedelta(hours=5, minutes=30))
NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)

# By the recorded key: the value whose PUT was recorded.
PUT = {
    "neg": -7,
    "big": 1180591620717411303424,
    "fl": 1.5,
    "fl2": 0.1,
    "obj": {"a": [1, None, {"b": "ü"}], "d": 1.25},
    "lst": [1, "x", None],
    "elist": [],
    "eobj": {},
    "date": date(2026, 1, 31),
    "dtz": NOW,
    "qdate": "2026-01-31",
    "qdtz": "2026-01-31T12:00:00Z",
    "qdtn": "2026-01-31T12:00:00",
    "qdto": "2026-01-31T12:00:00+05:30",
    "qdurneg": "PT-5S",
    "qint": "42",
    "qfloat": "1.5",
    "qtrue": "true",
    "qnull": "null",
    "qempty": "",
    "qlead": "  lead",
    "qnl": "a\nb\tc",
    "qquo": "a\"b'c\\d",
    "quni": "☃𝄞é",
    "qtime": "12:30",
    "qobj": '{"a": 1}',
    "qnul": "a\0b",
    "objdate": {"d": "2026-01-31", "t": "2026-01-31T12:00:00Z", "p": "PT5S"},
    "neg0": -0.0,
    "ex10": 1.0,
    "longint": 9223372036854775807,
    "longint1": 9223372036854775808,
}
GOT = {
    **{key: value for key, value in PUT.items() if f"kv_raw_get_{key}" in RECORDED},
    "str": "text ü",
    "true": True,
    "flexp": 1e300,
    "dto": "2026-01-31T12:00:00+05:30",
    "dur": timedelta(seconds=5),
    "null": None,
    "inf": math.inf,
    "qT": "T",
    "ionts": date(2026, 1, 1),
}


@pytest.mark.parametrize("key", PUT)
def test_a_value_is_sent_as_it_was_recorded(key):
    for engine, exchange in RECORDED[f"kv_raw_put_{key}"].items():
        assert body(PUT[key], "value").decode() == exchange["request"]["body"], engine
        assert exchange["response"]["status"] == 200


@pytest.mark.parametrize("key", GOT)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_recorded_value_is_read(key, engine):
    ns, server = namespace(recorded(f"kv_raw_get_{key}", engine))
    value = ns.kv[f"raw.{key}"]
    assert value == GOT[key]
    assert isinstance(value, int) or type(value) is type(GOT[key])
    assert server.sent[0].line == f"GET namespaces/company.team/kv/raw.{key}"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (True, "true"),
        (date(5, 1, 2), "0005-01-02"),
        (NOW.astimezone(INDIA), "2026-01-31T12:00:00Z"),
        (NOW.replace(microsecond=123000), "2026-01-31T12:00:00.123Z"),
        (timedelta(seconds=5), '"PT5S"'),
        (timedelta(days=1, hours=2), '"PT26H"'),
        (timedelta(0), '"PT0S"'),
        ("P", '"P"'),
        ("PT", '"PT"'),
    ],
)
def test_a_value_is_sent_by_its_type(value, sent):
    assert body(value, "value").decode() == sent


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ({"type": "DURATION", "value": "PT26H"}, timedelta(hours=26)),
        ({"type": "DURATION", "value": "P1DT2H3M4.5S"}, timedelta(1, 7384.5)),
        ({"type": "DURATION", "value": "later"}, "later"),
        ({"type": "DATE", "value": "later"}, "later"),
        ({"type": "DATETIME", "value": "2026-01-31T12:00:00.5Z"}, NOW.replace(microsecond=500000)),
        ({"type": "DATETIME", "value": "later"}, "later"),
        ({"type": "NUMBER", "value": "-Infinity"}, -math.inf),
    ],
)
def test_a_value_is_read_by_its_type(entry, value):
    assert value_of(entry) == value


class Finer(datetime):
    nanosecond = 1  # as a pandas.Timestamp has it


CIRCLE = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (None, ValueError, "kv['x'] must not be None"),
        (
            math.nan,
            ValueError,
            "kv['x'] is nan, which JSON cannot hold: put text, or None in a list",
        ),
        ({"a": [math.inf]}, ValueError, "kv['x']['a'][0] is inf"),
        ("PT5S", ValueError, "kv['x'] is a text that the store takes for a duration"),
        ("P1DT2H", ValueError, "put a timedelta"),
        ("pt0.5s", ValueError, "takes for a duration"),
        (datetime(2026, 1, 31), ValueError, "must be a datetime with an offset"),  # noqa: DTZ001  # that is it
        (Finer(2026, 1, 31, tzinfo=timezone.utc), ValueError, "whole milliseconds"),
        (NOW.replace(microsecond=1), ValueError, "whole milliseconds"),
        (timedelta(microseconds=1), ValueError, "whole seconds"),
        (timedelta(seconds=-1), ValueError, "whole seconds"),
        ({1: 2}, TypeError, "kv['x'] must have strings as keys, as JSON has, not int"),
        ([(1, 2)], TypeError, "kv['x'][0] is a tuple, and would come back as a list"),
        (
            {"d": date(2026, 1, 31)},
            TypeError,
            "kv['x']['d'] is a datetime.date within a list or a dict",
        ),
        (Decimal(1), TypeError, "kv['x'] is a decimal.Decimal"),
        (b"x", TypeError, "kv['x'] is a bytes"),
        ("\ud800", ValueError, "lone surrogate"),
        ([10**5000], ValueError, "a number of more than 4,000 digits"),
        (datetime(1, 1, 1, tzinfo=INDIA), ValueError, "in the years 1 to 9999 of UTC"),
        (CIRCLE, ValueError, "contains itself"),
        ("x" * 10_485_760, ValueError, "10,485,760"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(value, error, said):
    ns, server = namespace()
    with pytest.raises(error) as raised:
        ns.kv["x"] = value
    assert said in str(raised.value)
    assert not server.sent


@pytest.mark.parametrize(
    "case", [case for case in RECORDED if case.startswith("kv_key_") and "get" not in case]
)
def test_a_key_that_the_server_refuses_is_refused(case):
    for exchange in RECORDED[case].values():
        key = requests.utils.unquote(exchange["request"]["path"].partition("/kv/")[2])
        ns, server = namespace((200, None))
        if exchange["response"]["status"] == 200:
            ns.kv[key] = "x"
            assert server.sent[0].line == f"PUT namespaces/company.team/kv/{key}"
        else:
            with pytest.raises(ValueError, match="key must begin with"):
                ns.kv[key] = "x"
            with pytest.raises(ValueError, match="key must begin with"):
                ns.kv[key]
            assert not server.sent
    with pytest.raises(TypeError, match="key must be a string, not int"):
        ns.kv[1]


def test_a_key_that_is_a_path_of_the_servers_own_is_refused():
    """It could be set, and its value never be read."""
    ns, server = namespace()
    with pytest.raises(ValueError, match="must not be 'inheritance'"):
        ns.kv["inheritance"] = "x"
    assert ns.kv.get("inheritance", 7) == 7
    assert "inheritance" not in ns.kv
    assert not server.sent


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_or_expired_key_is_a_key_error(engine):
    for case in ("kv_case", "kv_ttl_expired", "kv_inh_get", "kv_ns_missing_get_unknown"):
        ns, _ = namespace(recorded(case, engine))
        with pytest.raises(KeyError) as raised:
            ns.kv["abc"]
        assert raised.value.args == ("abc",)
        ns, _ = namespace(recorded(case, engine), recorded(case, engine))
        assert "abc" not in ns.kv
        assert ns.kv.get("abc", 7) == 7
    assert 7 not in ns.kv
    assert "a b" not in ns.kv
    assert ns.kv.get("a b") is None


def test_a_path_that_the_server_does_not_have_is_no_key_error():
    ns, _ = namespace((404, {"message": "Not Found"}))
    with pytest.raises(NotFound):
        ns.kv["abc"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_key_is_deleted(engine):
    ns, server = namespace(recorded("kv_del", engine), recorded("kv_del_again", engine))
    del ns.kv["desc"]
    with pytest.raises(KeyError):
        del ns.kv["desc"]
    assert [each.line for each in server.sent] == ["DELETE namespaces/company.team/kv/desc"] * 2


def test_a_deletion_whose_response_was_lost_is_a_deletion(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    ns, server = namespace(requests.ConnectionError("reset"), (200, False))
    del ns.kv["desc"]
    assert len(server.sent) == 2


@pytest.mark.parametrize(
    ("ttl", "sent"),
    [(timedelta(days=1), "PT24H"), (2, "PT2S"), (1.5, "PT1.5S"), (timedelta(hours=1), "PT1H")],
)
def test_ttl_and_description_are_headers(ttl, sent):
    ns, server = namespace((200, None), (200, None))
    ns.kv.set("lock", 1, ttl=ttl, description="bücher")
    ns.kv["lock"] = 2
    first, second = server.sent
    assert first.headers["ttl"] == sent
    assert first.headers["description"] == "bücher"
    assert first.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert not {"ttl", "description"} & set(second.headers)
    assert (first.body, second.body) == (b"1", b"2")


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"ttl": 0}, ValueError, "ttl must be more than 0 seconds"),
        ({"ttl": timedelta(seconds=-1)}, ValueError, "ttl must be more than 0 seconds"),
        ({"ttl": math.inf}, ValueError, "ttl must be seconds that a timedelta can hold"),
        ({"ttl": True}, TypeError, "ttl must be a timedelta or seconds, not bool"),
        ({"ttl": "PT1S"}, TypeError, "ttl must be a timedelta or seconds, not str"),
        ({"description": "☃"}, ValueError, "description must be one line of Latin-1"),
        ({"description": "a\nb"}, ValueError, "description must be one line"),
        ({"description": "a\x7f"}, ValueError, "description must be one line"),
        ({"description": " a"}, ValueError, "description must be one line"),
        ({"description": 1}, TypeError, "description must be a string, not int"),
    ],
)
def test_what_the_server_would_not_take_as_a_header_is_refused(arguments, error, said):
    ns, server = namespace()
    with pytest.raises(error, match=said):
        ns.kv.set("x", 1, **arguments)
    assert not server.sent


@pytest.mark.parametrize("case", ["kv_ttl_put_secs", "kv_ttl_put_empty", "kv_ttl_put_month"])
def test_durations_that_were_refused_are_never_sent(case):
    for exchange in RECORDED[case].values():
        assert exchange["response"]["status"] == 500
        assert not exchange["request"].get("headers", {}).get("ttl", "").startswith("PT")


def page(*keys, total, engine="2.0", **more):
    entry = {"namespace": "company.team", "revision" if engine == "2.0" else "version": 3, **more}
    return 200, {"results": [{**entry, "key": key} for key in keys], "total": total}


@pytest.mark.parametrize("engine", ENGINES)
def test_keys_come_from_all_pages(engine):
    first, second = page("a", "b", total=3, engine=engine), page("b", "c", total=3, engine=engine)
    ns, server = namespace(first, second, first, second)
    assert list(iter(ns.kv)) == ["a", "b", "c"]
    assert len(ns.kv) == 3
    assert server.sent[0].query == {
        "filters[namespace][EQUALS]": "company.team",
        "sort": "key:asc",
        "size": "500",
        "page": "1",
    }
    assert server.sent[1].query["page"] == "2"


def test_keys_may_be_deleted_while_they_are_iterated():
    with FakeKestra():
        ns = Namespace("company.team")
        for number in range(502):  # more than a page
            ns.kv[f"k{number}"] = number
        for key in ns.kv:
            del ns.kv[key]
        assert len(ns.kv) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_recorded_list_is_read(engine):
    ns, _ = namespace(recorded("kv_desc_list", engine))
    assert list(iter(ns.kv)) == ["desc", "desc2", "desc3"]
    ns, _ = namespace(recorded("kv_ns_missing_list", engine), name="company.nowhere2")
    assert list(iter(ns.kv)) == []


def test_keys_of_other_namespaces_and_expired_ones_are_not_listed():
    old = {"namespace": "company.team", "key": "old", "expirationDate": "2020-01-01T00:00:00Z"}
    other = {"namespace": "company", "key": "other"}
    ns, _ = namespace((200, {"results": [old, other], "total": 2}))
    assert list(iter(ns.kv)) == []


def test_an_older_server_lists_in_its_own_place():
    ns, server = namespace((404, None), recorded("kv_list_old", "1.3"))
    assert "1a" in list(iter(ns.kv))
    assert server.sent[1].line == "GET namespaces/company.team/kv"


def test_info_has_what_the_list_and_the_value_say():
    ns, server = namespace(
        (200, {"type": "NUMBER", "value": 1}),
        page(
            "lock.2", "lock", total=2, description="mine",
            creationDate="2026-01-31T11:00:00Z", updateDate="2026-01-31T12:00:00Z",
            expirationDate="9999-01-31T13:00:00Z",
        ),
    )  # fmt: skip
    assert ns.kv.info("lock") == KeyInfo(
        "lock", "NUMBER", 3, "mine", NOW - timedelta(hours=1), NOW,
        datetime(9999, 1, 31, 13, tzinfo=timezone.utc),
    )  # fmt: skip
    assert server.sent[1].query["filters[q][EQUALS]"] == "lock"


@pytest.mark.parametrize("engine", ENGINES)
def test_info_of_recorded_answers(engine):
    ns, _ = namespace(recorded("kv_after_del", engine))
    with pytest.raises(KeyError):
        ns.kv.info("desc")
    ns, _ = namespace((200, {"type": "STRING", "value": "x"}), recorded("kv_desc_list", engine))
    assert ns.kv.info("desc2").description == "bücher"


def test_info_finds_a_key_that_the_loose_search_does_not():
    empty = (200, {"results": [], "total": 0})
    ns, _ = namespace((200, {"type": "JSON", "value": []}), empty, page("a", total=1))
    assert ns.kv.info("a").revision == 3
    ns, _ = namespace((200, {"type": "JSON", "value": [], "revision": 2}), empty, empty)
    assert ns.kv.info("a") == KeyInfo("a", "JSON", 2)


@pytest.mark.parametrize("days", [-9, 9])
def test_what_has_expired_is_so_by_the_clock_of_the_server(days):
    now = datetime.now(timezone.utc) + timedelta(days=days)
    shown = {"namespace": "company.team", "expirationDate": (now + timedelta(days=1)).isoformat()}
    gone = {**shown, "expirationDate": (now - timedelta(days=1)).isoformat()}
    found = {"results": [{**shown, "key": "a"}, {**gone, "key": "b"}], "total": 2}
    ns, _ = namespace((200, found, {"Date": format_datetime(now, usegmt=True)}))
    assert list(iter(ns.kv)) == ["a"]


@pytest.mark.parametrize("engine", ENGINES)
def test_clear_deletes_many_keys_with_one_request(engine):
    keys = [f"k{number}" for number in range(1001)]
    deleted = recorded("kv_bulk_del", engine)
    ns, server = namespace(page(*keys, total=1001), deleted, deleted)
    ns.kv.clear()
    assert [each.line for each in server.sent[1:]] == ["DELETE namespaces/company.team/kv"] * 2
    assert b'"k999"]' in server.sent[1].body
    assert server.sent[2].body == b'{"keys": ["k1000"]}'


@pytest.mark.parametrize("status", [404, 405])
def test_clear_goes_one_by_one_where_there_is_no_route(status):
    """Where its path has other routes, the server says that the method is not allowed."""
    ns, server = namespace(page("a", "b", total=2), (status, None), (200, True), (200, True))
    ns.kv.clear()
    assert server.sent[-1].line == "DELETE namespaces/company.team/kv/b"
    ns, server = namespace(page("a", total=1), (400, {"message": "no"}))
    with pytest.raises(APIError, match="no"):
        ns.kv.clear()
    assert len(server.sent) == 2


def test_update_is_one_request_a_key():
    ns, server = namespace((200, None), (200, None))
    ns.kv.update({"a": 1}, b=[2])
    assert [each.body for each in server.sent] == [b"1", b"[2]"]


def test_the_words_of_the_server_are_in_the_error(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    ns, _ = namespace(recorded("kv_ns_bad", "2.0"))
    with pytest.raises(InvalidInput, match="Illegal character in path"):
        ns.kv["a"] = 1
    ns, server = namespace(*[(503, None)] * 5)
    with pytest.raises(FailedExponentialBackoff, match="the address is from the default"):
        ns.kv["a"] = 1
    assert len(server.sent) == 5


@pytest.mark.parametrize(
    ("kind", "text"), [("DURATION", "P9999999999D"), ("NUMBER", "1.2.3"), ("DATE", "31.1.2026")]
)
def test_what_python_cannot_hold_stays_text(kind, text):
    """A value that others have stored is read, whatever it is."""
    assert value_of({"type": kind, "value": text}) == text
