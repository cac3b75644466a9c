"""Server-sent events, read from bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest import exchanges

from kestra._http.sse import Event, events


def read(*pieces):
    return list(events(pieces))


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: one\n\n", [("", "one")]),
        (b"id: start\ndata: one\n\n", [("start", "one")]),
        (b"data: one\nid: start\n\n", [("start", "one")]),
        (b"data:one\n\n", [("", "one")]),
        (b"data:  one \n\n", [("", " one ")]),
        (b"data: a: b\n\n", [("", "a: b")]),
        (b"data: one\ndata: two\n\n", [("", "one\ntwo")]),
        (b"data: one\ndata\ndata:\n\n", [("", "one\n\n")]),
        (b"data\n\n", [("", "")]),
        (b"id: 1\ndata: one\n\ndata: two\n\n", [("1", "one"), ("1", "two")]),
        (b"id: 1\ndata: one\n\nid\ndata: two\n\n", [("1", "one"), ("", "two")]),
        (b"id: 1\n\ndata: two\n\n", [("1", "two")]),
        (b"id: 1\nid: 2\0\ndata: one\n\n", [("1", "one")]),
        (b": a comment\n\n:\ndata: one\n: another\n\n", [("", "one")]),
        (b"event: add\nretry: 5\nwhat: ever\n data: no\nData: no\ndata: one\n\n", [("", "one")]),
        (b"\n\n\ndata: one\n\n\n\n", [("", "one")]),
        ("\ufeffdata: one\n\n\ufeffdata: two\n\n".encode(), [("", "one")]),
        ("data: \ufeffé\u2028\x85\n\n".encode(), [("", "\ufeffé\u2028\x85")]),
        (b"data: \xff\n\n", [("", "\ufffd")]),
        (b"", []),
        (b"id: 1\n\n: nothing\n\n", []),
    ],
)
def test_fields_make_up_events(stream, expected):
    """The lines of an event are its fields, as the standard has it; unknown ones are nothing."""
    assert read(stream) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_kind_of_line_end_ends_a_line(end):
    """LF, CR, and both together as one."""
    stream = end.join([b"id: 1", b"data: one", b"data: two", b"", b"data: three", b"", b""])
    assert read(stream) == [Event("1", "one\ntwo"), Event("1", "three")]
    assert read(stream[: -len(end)]) == [Event("1", "one\ntwo")]


def test_an_event_that_the_stream_ends_in_is_none():
    """Nor is one whose last line has ended but not the event."""
    assert read(b"data: one\n\ndata: tw") == [Event("", "one")]
    assert read(b"data: one\n\ndata: two\n") == [Event("", "one")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_event_comes_as_soon_as_it_has_ended(end):
    """Nothing that follows is waited for, not even the LF after a CR."""
    asked = []

    def pieces():
        for number, piece in enumerate((b"data: one" + end * 2, b"data: two" + end * 2)):
            asked.append(number)
            yield piece

    assert next(events(pieces())) == Event("", "one")
    assert asked == [0]


STREAMS = st.lists(
    st.sampled_from(
        [b"data: one", b"data", b"id: 1", b": comment", b"\n", b"\r", b"\r\n", b"\xc3\xa9", b"\n\n"]
    )
).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 60)))
def test_where_the_bytes_are_cut_makes_no_difference(stream, places):
    """Neither in a line, nor between CR and LF, nor in a character, nor into nothing."""
    cuts = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(cuts)]
    assert read(*pieces, b"") == read(stream)
    assert read(*(bytes([byte]) for byte in stream)) == read(stream)


@pytest.mark.parametrize(("engine", "request_", "response"), exchanges("follow_logs_finished"))
def test_recorded_streams(engine, request_, response):
    """The kind of an event is its id: what follows the first, which is a dummy, is a progress."""
    told = read(response["body"].encode())
    assert [event.id for event in told] == ["start"] + 8 * ["progress"]
    assert all(event.data.startswith("{") for event in told)
