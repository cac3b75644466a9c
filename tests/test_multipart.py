"""Multipart bodies."""

import gzip
import io
from array import array
from contextlib import ExitStack

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from kestra._http.multipart import Upload


def encoded(upload):
    """Return a body without its boundary, which is made up anew every time."""
    body, content_type = upload.body()
    boundary = content_type.partition("boundary=")[2]
    data = body if isinstance(body, bytes) else body.read()
    return data.replace(boundary.encode(), b"BOUNDARY"), content_type.replace(boundary, "BOUNDARY")


def by_requests(files):
    request = requests.Request("POST", "http://h", files=files).prepare()
    content_type = request.headers["Content-Type"]
    boundary = content_type.partition("boundary=")[2]
    return (
        request.body.replace(boundary.encode(), b"BOUNDARY"),
        content_type.replace(boundary, "BOUNDARY"),
    )


class Once(io.RawIOBase):
    """A file that can be read once, like a pipe."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(buffer)


@pytest.mark.parametrize(
    "files",
    [
        {"a": (None, "text")},
        {"a": (None, "é日"), "b": ("b", b"bytes"), "c": ("c.txt", "text", "text/plain")},
        {"a": ("a", b"x", "text/plain", {"X-Own": "1"})},
        {"né": ("fé.txt", b"x")},
        [("a", (None, "1")), ("a", (None, "2"))],
        {"a": b"bare", "b": "bare"},
        {"a": None, "b": (None, None), "c": ("c", 5)},
    ],
)
def test_bodies_are_those_of_requests(files):
    """Byte for byte what `requests`, and so the published package, sends."""
    assert encoded(Upload(files)) == by_requests(files)


def test_open_files_are_sent_as_requests_sends_them(tmp_path):
    """A file of its own bears its name, text is UTF-8, a position counts."""
    path = tmp_path / "name.txt"
    path.write_bytes("zero é".encode())

    def opened(stack):
        a, c = (stack.enter_context(path.open("rb")) for _ in "ac")
        b = stack.enter_context(path.open(encoding="utf-8"))
        c.seek(5)
        return {"a": a, "b": ("b", b), "c": ("c", c)}

    with ExitStack() as stack:
        assert encoded(Upload(opened(stack))) == by_requests(opened(stack))


@pytest.mark.parametrize(
    "stream",
    [
        lambda: io.BytesIO(b"..content"),
        lambda: io.StringIO("..content"),
        lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"..content"))),
    ],
)
def test_files_are_rewound_before_every_attempt(stream):
    """The second attempt sends what the first sent, from where the file stood."""
    file = stream()
    file.seek(2)
    upload = Upload({"f": ("f", file)})
    first = encoded(upload)
    assert b"\r\n\r\ncontent\r\n" in first[0]
    assert upload.repeatable
    assert encoded(upload) == first


def test_a_file_that_cannot_be_rewound_is_sent_once():
    """A pipe is sent whole the first time, and is then not to be sent again."""
    upload = Upload({"f": ("f", Once(b"content")), "t": (None, "text")})
    assert upload.repeatable
    assert b"\r\n\r\ncontent\r\n" in encoded(upload)[0]
    assert not upload.repeatable


def test_a_file_that_only_reads_is_sent_once():
    """An object with nothing but `read` will do."""

    class Reader:
        def read(self, size=-1):
            return b"content"

    upload = Upload({"f": ("f", Reader())})
    assert b"content" in encoded(upload)[0]
    assert not upload.repeatable


def test_a_large_file_is_not_read_into_memory():
    """A large body is a stream of pieces whose length is known."""

    class Large(io.BytesIO):
        longest = 0

        def read(self, size=-1):
            Large.longest = max(Large.longest, len(data := super().read(size)))
            return data

    content = b"x" * 3_000_000
    body, _ = Upload({"f": ("f", Large(content))}).body()
    assert not isinstance(body, bytes)
    length = len(body)
    data = b"".join(body)
    assert len(data) == length
    assert content in data
    assert Large.longest <= 100_000


def test_a_large_body_can_be_read_in_any_way():
    """`read` with a size, without one, and past the end."""
    body, _ = Upload({"f": ("f", b"y" * 2_000_000)}).body()
    start = body.read(7)
    assert len(start) == 7
    rest = body.read()
    assert len(start) + len(rest) == len(body)
    assert body.read() == b"" == body.read(5)


def test_a_file_that_grows_is_sent_as_long_as_it_was():
    """What is appended while sending would not fit the length that was promised."""
    file = io.BytesIO(b"z" * 2_000_000)
    body, _ = Upload({"f": ("f", file)}).body()
    file.seek(0, io.SEEK_END)
    file.write(b"more")
    file.seek(0)
    assert len(body.read()) == len(body)


def test_a_file_that_shrinks_is_an_error():
    """A body that ends early would leave the server waiting."""
    file = io.BytesIO(b"z" * 2_000_000)
    body, _ = Upload({"f": ("f", file)}).body()
    file.truncate(10)
    with pytest.raises(OSError, match="became shorter"):
        body.read()


@pytest.mark.parametrize(
    "content", ["é", b"x", bytearray(b"x"), memoryview(b"x"), 7, array("i", [7])]
)
def test_contents_are_those_that_requests_takes(content):
    """Text, integers and whatever has bytes; `requests` sends them so."""
    files = {"f": ("f", content)}
    assert encoded(Upload(files)) == by_requests(files)


def test_other_contents_are_an_error():
    """Not sent as what `str` makes of them."""
    with pytest.raises(TypeError):
        Upload({"f": ("f", {"a": 1})}).body()


def test_no_files_are_no_upload():
    """Nothing is falsy, and can be sent any number of times."""
    for nothing in (None, {}, []):
        assert not Upload(nothing)
        assert Upload(nothing).repeatable


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), st.binary()
    )
)
def test_any_bytes_are_sent_as_they_are(contents):
    """No content is changed on the way."""
    files = {name: (name, data) for name, data in contents.items()}
    if files:
        assert encoded(Upload(files)) == by_requests(files)
