"""The files of a namespace, one by one and synchronized."""

import io
import os
import zipfile
from contextlib import suppress
from email import message_from_bytes
from pathlib import PurePosixPath

import pytest
import requests
from namespaces import ENGINES, RECORDED, namespace, recorded
from urllib3.exceptions import ProtocolError

from kestra import Change, FileInfo
from kestra.exceptions import FailedExponentialBackoff, InvalidInput, NotFound, ServerError

LOST = requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError()))
MISSING = recorded("nsf_stats_missing", "2.0")
OK = (200, None)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)


def uploaded(sent):
    """Return the name and the content of the file that a request has sent."""
    head = f"Content-Type: {sent.headers['Content-Type']}\r\n\r\n".encode()
    (part,) = message_from_bytes(head + sent.body).get_payload()
    assert part.get_param("name", header="content-disposition") == "fileContent"
    return part.get_filename(), part.get_payload(decode=True)


# --- paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("x y.txt", r"no space, which a server stores as '\+'"),
        ("a\\b", "no backslash"),
        ("/a/../y.txt", "no empty part"),
        ("a/./y.txt", "no empty part"),
        ("//a//z.txt", "no empty part"),
        ("n" * 256, "no part of more than 255 characters"),
        ("a\nb", "no control characters"),
        ("a\ud800", "no control characters"),
        ("/_flows/x.yaml", r"use namespace\.flows\.deploy"),
        ("", "must name a file"),
        ("/", "must name a file"),
    ],
)
def test_a_path_that_would_be_changed_is_refused(path, said):
    ns, server = namespace()
    for call in (
        lambda: ns.files.write(path, b""),
        lambda: ns.files.read(path),
        lambda: ns.files.move("a", path),
        lambda: ns.files.open(path),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(TypeError, match="path must be a path in the namespace, not int"):
        ns.files.read(7)
    assert not server.sent


@pytest.mark.parametrize("path", ["ü[1]#?&+%.txt", "☃/𝄞.txt", "é.txt", ".hid/x", "keep.zip",
                                  "売上\u3000表", "5.12\u202fPM", "a\u200bb"])  # fmt: skip
def test_other_names_are_kept(path):
    ns, server = namespace(MISSING, OK)
    ns.files.write(f"/{path}", "1")
    assert server.sent[1].query == {"path": f"/{path}"}
    assert server.sent[1].line == "POST namespaces/company.team/files"


# --- one file --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_is_read(engine):
    ns, server = namespace(recorded("nsf_get", engine), recorded("nsf_get_empty", engine))
    assert ns.files.read("a/b/c.txt") == b"zwei"
    assert ns.files.read(PurePosixPath("/e.txt")) == b""
    assert server.sent[0].line == "GET namespaces/company.team/files"
    assert [each.query["path"] for each in server.sent] == ["/a/b/c.txt", "/e.txt"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_file_is_not_found(engine):
    for case in ("nsf_get_ns_missing", "nsf_dir_as_file", "nsf_get_under_file", "nsf_get_deleted"):
        ns, _ = namespace(recorded(case, engine))
        with pytest.raises(NotFound):
            ns.files.read("a")


@pytest.mark.parametrize(("content", "sent"), [("ü", "ü".encode()), (b"\xff", b"\xff"), (b"", b"")])
def test_a_file_is_written_under_a_name_that_is_never_unpacked(content, sent):
    ns, server = namespace(MISSING, OK)
    ns.files.write("a.zip", content)
    assert uploaded(server.sent[1]) == ("content", sent)


def test_a_file_is_not_written_over_a_folder():
    """2.0 refuses it, 1.3 would not."""
    ns, server = namespace(recorded("nsf_stats_dir", "1.3"))
    with pytest.raises(IsADirectoryError, match="path must not be that of a folder"):
        ns.files.write("a/b", b"x")
    assert len(server.sent) == 1
    newer = 200, {"version": "2.0.0"}
    ns, server = namespace(newer, recorded("nsf_put_on_dir", "2.0"), tenant=None)
    with pytest.raises(IsADirectoryError, match="path must not be that of a folder"):
        ns.files.write("a/b", b"x")
    assert len(server.sent) == 2
    ns, server = namespace()
    with pytest.raises(TypeError, match="content must be text or bytes, not int"):
        ns.files.write("a", 7)


def test_a_lost_upload_is_sent_again(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    ns, server = namespace(MISSING, LOST, (500, None), OK)
    ns.files.upload(tmp_path / "a", "b")
    assert [uploaded(each)[1] for each in server.sent[1:]] == [b"content"] * 3
    with pytest.raises(FileNotFoundError):
        namespace(MISSING)[0].files.upload(tmp_path / "missing", "b")


def test_the_words_of_the_server_are_in_the_error():
    ns, _ = namespace(MISSING, recorded("nsf_long", "2.0"))
    with pytest.raises(InvalidInput, match="exceeds the maximum length"):
        ns.files.write("a", b"x")


def test_a_download_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "c.txt"
    target.write_text("before")
    ns, _ = namespace(recorded("nsf_get_deleted", "2.0"), recorded("nsf_get", "2.0"))
    with pytest.raises(NotFound):
        ns.files.download("a/b/c.txt", target)
    assert target.read_text() == "before"
    assert ns.files.download("a/b/c.txt", target) == target
    assert target.read_text() == "zwei"
    assert [each.name for each in tmp_path.iterdir()] == ["c.txt"]
    with pytest.raises(ValueError, match="to must name a file, not the folder"):
        ns.files.download("a", tmp_path)
    with pytest.raises(FileNotFoundError, match="to must be in a folder that exists"):
        ns.files.download("a", tmp_path / "missing" / "c.txt")


def test_a_file_is_opened_to_read():
    ns, _ = namespace((200, b"a\r\n\xc3\xbc"), (200, b"a\nb"), (200, b"\xfc"))
    with ns.files.open("x") as file:
        assert file.read() == "a\r\nü"
    with ns.files.open("x", "rb") as file:
        assert list(file) == [b"a\n", b"b"]
    with ns.files.open("x", encoding="latin-1") as file:
        assert file.read() == "ü"


def test_a_file_is_opened_to_write():
    ns, server = namespace(MISSING, OK, MISSING, OK)
    with ns.files.open("x", "w") as file:
        file.write("ü\n")
    with ns.files.open("x", "wb") as file:
        file.write(b"\xff")
    assert [uploaded(server.sent[index])[1] for index in (1, 3)] == ["ü\n".encode(), b"\xff"]
    with pytest.raises(KeyError), ns.files.open("x", "w"):
        raise KeyError
    assert len(server.sent) == 4
    with pytest.raises(ValueError, match="mode must be one of r, rb, w, wb, not 'a'"):
        ns.files.open("x", "a")


@pytest.mark.parametrize("engine", ENGINES)
def test_whether_a_file_exists(engine):
    ns, server = namespace(
        recorded("nsf_stats_file", engine), recorded("nsf_stats_dir", engine),
        recorded("nsf_stats_missing", engine), (404, {"message": "Not Found"}),
    )  # fmt: skip
    assert ns.files.exists("a/b/c.txt")
    assert ns.files.exists("a/b")
    assert not ns.files.exists("nope")
    assert server.sent[0].line == "GET namespaces/company.team/files/stats"
    with pytest.raises(NotFound):
        ns.files.exists("a")  # the server has no such route


@pytest.mark.parametrize("engine", ENGINES)
def test_a_folder_is_listed(engine):
    ns, server = namespace(
        recorded("nsf_dir_ab", engine), recorded("nsf_dir_a", engine),
        recorded("nsf_dir_missing", engine), recorded("nsf_dir_ns_missing", engine),
    )  # fmt: skip
    (file,) = ns.files.list("/a/b/")
    assert (file.path, file.is_folder, file.size, str(file)) == ("a/b/c.txt", False, 4, "a/b/c.txt")
    assert file.modified.year == 2026
    assert ns.files.list("a")[0] == FileInfo("a/b", True, None, ns_time(engine))
    with pytest.raises(NotFound):
        ns.files.list("nope")
    assert ns.files.list() == []
    assert [each.query["path"] for each in server.sent] == ["/a/b", "/a", "/nope", "/"]


def ns_time(engine):
    entry = RECORDED["nsf_dir_a"][engine]["response"]["body"][0]
    ns, _ = namespace((200, [entry]))
    return ns.files.list("a")[0].modified


@pytest.mark.parametrize("engine", ENGINES)
def test_a_recursive_list_is_filtered_here(engine):
    answer = recorded("nsf_s_slash", engine)
    ns, server = namespace(answer, answer, recorded("nsf_search_empty", engine))
    assert [each.path for each in ns.files.list(recursive=True)] == [
        "k.zip", "many/a.txt", "x+y/c+d.txt", "zmany/b.txt"]  # fmt: skip
    assert [each.path for each in ns.files.list("many", recursive=True)] == ["many/a.txt"]
    assert ns.files.list("many", recursive=True) == []
    assert server.sent[0].query == {"q": "/"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_is_moved(engine):
    ns, server = namespace(
        recorded("nsf_stats_file", engine), MISSING, recorded("nsf_move_file", engine)
    )
    ns.files.move("a/b/c.txt", "m/c.txt")
    assert server.sent[2].line == "PUT namespaces/company.team/files"
    assert server.sent[2].query == {"from": "/a/b/c.txt", "to": "/m/c.txt"}


def test_a_move_sends_paths_as_uris():
    """As such a server reads them here: of a path with `#` as it is, it would move another file."""
    ns, server = namespace(recorded("nsf_stats_file", "2.0"), MISSING, OK)
    ns.files.move("a#1?.txt", "m/[ü]100%.txt")
    assert server.sent[0].query == {"path": "/a#1?.txt"}
    assert server.sent[2].query == {"from": "/a%231%3F.txt", "to": "/m/%5B%C3%BC%5D100%25.txt"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_move_whose_response_was_lost_is_done(engine):
    """Repeated, it fails at its own target; the first attempt has left nothing at the source."""
    there, refusal = recorded("nsf_stats_file", engine), recorded("nsf_move_onto", engine)
    ns, server = namespace(there, MISSING, LOST, refusal, MISSING, there)
    ns.files.move("a/b/c.txt", "m/c.txt")
    assert [each.query.get("path") for each in server.sent[4:]] == ["/a/b/c.txt", "/m/c.txt"]


@pytest.mark.parametrize(("answers", "puts"), [([], 1), ([LOST], 2)])
def test_a_move_onto_what_has_come_meanwhile_fails_at_once(answers, puts):
    """That the target is there is final, and nothing is taken for done while the source is."""
    there, refusal = recorded("nsf_stats_file", "2.0"), recorded("nsf_move_onto", "2.0")
    ns, server = namespace(there, MISSING, *answers, refusal, there)
    with pytest.raises(ServerError, match="already exists in namespace"):
        ns.files.move("a/b/c.txt", "m/c.txt")
    assert sum(each.method == "PUT" for each in server.sent) == puts


def test_text_that_cannot_be_sent_is_refused():
    ns, server = namespace()
    with pytest.raises(ValueError, match=r"^content has a lone surrogate"):
        ns.files.write("a", "\ud800")
    with pytest.raises(ValueError, match=r"^body has a lone surrogate"):
        ns.webhook("flow", "key", "\ud800")
    assert not server.sent


def test_a_folder_is_not_moved_into_itself():
    ns, server = namespace()
    with pytest.raises(ValueError, match="to must not be below path"):
        ns.files.move("a", "a/b")
    assert not server.sent


def test_a_move_that_the_server_would_do_wrong_is_refused():
    there = recorded("nsf_stats_file", "2.0")
    ns, server = namespace(MISSING, there, there)
    with pytest.raises(FileNotFoundError, match="there is no file or folder 'nope'"):
        ns.files.move("nope", "m3")
    with pytest.raises(FileExistsError, match=r"to must be a path where nothing is"):
        ns.files.move("x1.txt", "m/c.txt")
    assert {each.method for each in server.sent} == {"GET"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_or_a_folder_is_deleted(engine):
    file, folder = recorded("nsf_stats_file", engine), recorded("nsf_stats_dir", engine)
    ns, server = namespace(
        file, recorded("nsf_delete_file", engine), MISSING, folder, folder,
        recorded("nsf_delete_dir", engine),
    )  # fmt: skip
    ns.files.delete("e.txt")
    with pytest.raises(FileNotFoundError):
        ns.files.delete("e.txt")
    with pytest.raises(IsADirectoryError, match="recursive=True deletes all"):
        ns.files.delete("z")
    ns.files.delete("z", recursive=True)
    assert [each.query["path"] for each in server.sent if each.method == "DELETE"] == [
        "/e.txt", "/z"]  # fmt: skip


# --- synchronizing ---------------------------------------------------------------------------


def exported(**contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("_flows/report.yml", "id: report")
        for name, content in contents.items():
            archive.writestr(name, content)
    return 200, file.getvalue()


@pytest.fixture
def write(tmp_path):
    def write(contents):
        for name, content in contents.items():
            path = tmp_path / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        return tmp_path / "src"

    return write


def test_sync_sends_what_differs_and_nothing_else(write):
    local = write({"a.py": "new", "same.py": "same", "sub/b.py": "b"})
    remote = exported(
        **{"etl/a.py": "old", "etl/same.py": "same", "etl/left.py": "x", "other": "y"}
    )
    ns, server = namespace(remote, OK, OK)
    told = []
    changes = ns.files.sync(local, to="etl/", on_change=told.append)
    assert [str(each) for each in changes] == ["updated a.py", "created sub/b.py"]
    assert changes[1] == Change("created", "sub/b.py", str(local / "sub/b.py"))
    assert told == changes
    assert server.sent[0].line == "GET namespaces/company.team/files/export"
    assert [(each.query["path"], uploaded(each)[1]) for each in server.sent[1:]] == [
        ("/etl/a.py", b"new"), ("/etl/sub/b.py", b"b")]  # fmt: skip


def test_sync_deletes_only_where_asked(write):
    local = write({"a.py": "a"})
    remote = exported(**{"a.py": "a", "left.py": "x"})
    ns, server = namespace(remote, remote, OK)
    assert ns.files.sync(local) == []
    assert [str(each) for each in ns.files.sync(local, delete=True)] == ["deleted left.py"]
    assert (server.sent[2].method, server.sent[2].query) == ("DELETE", {"path": "/left.py"})


def test_a_dry_run_of_sync_changes_nothing(write, tmp_path):
    local = write({"a.py": "a"})
    ns, server = namespace(exported(b="b"), exported(b="b"), (200, b""), MISSING)
    assert [str(each) for each in ns.files.sync(local, dry_run=True, delete=True)] == [
        "deleted b", "created a.py"]  # fmt: skip
    down = ns.files.sync(tmp_path / "new", direction="down", dry_run=True)
    assert [str(each) for each in down] == ["created b"]
    assert not (tmp_path / "new").exists()
    assert [str(each) for each in ns.files.sync(local, dry_run=True)] == ["created a.py"]
    assert [str(each) for each in ns.files.sync(local, dry_run=True)] == ["created a.py"]
    assert len(server.sent) == 4


def test_sync_leaves_alone_what_is_ignored(write):
    local = write({
        ".gitignore": "*.pyc\n/build/\n", ".kestraignore": "secret.*\n!secret.txt\n",
        "a.py": "", "a.pyc": "", "build/x": "", "sub/build/x": "", "secret.env": "",
        "secret.txt": "", ".git/config": "", "sub/.gitignore": "local\n", "sub/local": "",
        "local": "",
    })  # fmt: skip
    ns, server = namespace(exported(**{"old.pyc": "x", "build/y": "y", "z": "z"}), *[OK] * 5)
    changes = ns.files.sync(local, delete=True)
    assert [str(each) for each in changes] == [
        "deleted z", "created a.py", "created local", "created secret.txt",
        "created sub/build/x"]  # fmt: skip
    assert len(server.sent) == 6


def test_an_ignore_file_may_take_back_what_another_leaves_out(write):
    local = write({
        ".gitignore": "\ufeff*.log\n*.csv\nout/\nin/**\n!in/y\n", "in/x": "", "in/y": "",
        ".kestraignore": "!rates.csv\n",
        "sub/.gitignore": "!keep.log\n", "out/.gitignore": "!x\n", "a.log": "", "b.csv": "",
        "rates.csv": "", "sub/keep.log": "", "sub/other.log": "", "out/x": "",
        "empty/.gitignore": "", "empty/c.log": "",
    })  # fmt: skip
    ns, _ = namespace(exported())
    changes = ns.files.sync(local, dry_run=True)
    assert [each.name for each in changes] == ["in/y", "rates.csv", "sub/keep.log"]


def test_without_pathspec_the_error_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pathspec", None)
    local = write({"a.py": "a"})
    ns, _ = namespace(exported(), OK)
    assert len(ns.files.sync(local)) == 1
    write({".gitignore": "x"})
    with pytest.raises(ImportError, match=r"pip install 'kestra\[namespace\]'"):
        ns.files.sync(local)


def test_sync_refuses_names_that_would_be_changed_before_anything_is_sent(write):
    ns, server = namespace()
    with pytest.raises(ValueError, match=r"local: the path of a file must have no space.*'x y'"):
        ns.files.sync(write({"a": "a", "x y": "b"}))
    with pytest.raises(NotADirectoryError):
        ns.files.sync("missing")
    with pytest.raises(ValueError, match="direction must be 'up' or 'down'"):
        ns.files.sync(".", direction="sideways")
    assert not server.sent


def test_sync_refuses_a_file_in_the_place_of_a_folder(write):
    local = write({"a": "a", "b/c": "c"})
    for remote, said in [
        (exported(**{"a/x": "x"}), "'a' cannot be sent, since 'a' is a folder"),
        (exported(b="b"), "'b/c' cannot be sent, since 'b' is a file"),
    ]:
        ns, server = namespace(remote)
        with pytest.raises(ValueError, match=said):
            ns.files.sync(local)
        assert len(server.sent) == 1
    ns, server = namespace(exported(b="b"), OK, OK, OK)
    assert [str(each) for each in ns.files.sync(local, delete=True)] == [
        "deleted b", "created a", "created b/c"]  # fmt: skip


def test_sync_refuses_a_file_in_the_place_of_a_folder_with_ignored_files(write):
    local = write({"a": "a", ".gitignore": "*.log\n"})
    ns, server = namespace(exported(**{"a/x.log": "x"}))
    with pytest.raises(ValueError, match="'a' cannot be sent, since 'a' is a folder"):
        ns.files.sync(local, delete=True)
    assert len(server.sent) == 1


@pytest.mark.parametrize("direction", ["up", "down"])
def test_sync_refuses_a_file_as_its_folder(write, direction):
    ns, server = namespace(exported(etl="x"))
    with pytest.raises(ValueError, match="to must be a folder of the namespace, and 'etl' is"):
        ns.files.sync(write({"a": "a"}), to="etl/sub", direction=direction, delete=True)
    assert len(server.sent) == 1


def test_sync_down_puts_a_file_in_the_place_of_a_folder_only_where_that_is_deleted(write):
    local = write({"a/b/x": "x", "c": "c"})
    remote = exported(a="file", c="new")
    ns, _ = namespace(remote, remote)
    with pytest.raises(ValueError, match="'a' cannot be fetched, since 'a' is a folder"):
        ns.files.sync(local, direction="down")
    assert (local / "c").read_text() == "c"
    ns.files.sync(local, direction="down", delete=True)
    assert (local / "a").read_text() == "file"


def test_sync_down_does_not_write_through_a_link(write, tmp_path):
    """What it leads to is outside of the folder, and not compared either."""
    local = write({"a": "a"})
    (tmp_path / "elsewhere").mkdir()
    _link(local / "link", tmp_path / "elsewhere")
    ns, _ = namespace(exported(**{"link/x": "x"}))
    with pytest.raises(ValueError, match="'link/x' cannot be fetched, since 'link' is a file or a"):
        ns.files.sync(local, direction="down", delete=True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_sync_down_refuses_a_file_in_the_place_of_an_empty_folder(write):
    """Before anything is changed."""
    local = write({"a": "a"})
    (local / "b/c").mkdir(parents=True)
    ns, _ = namespace(exported(a="new", b="b"))
    with pytest.raises(ValueError, match="'b' cannot be fetched, since 'b' is a folder in"):
        ns.files.sync(local, direction="down")
    assert (local / "a").read_text() == "a"


def _link(path, target):
    with suppress(OSError):
        path.symlink_to(target)
    if not path.is_symlink():  # Wine makes none, and says nothing
        pytest.skip("no links here")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_sync_refuses_what_is_not_a_file(write, direction):
    """A link that leads nowhere, or a pipe, which would be read without end."""
    local = write({".kestraignore": "ignored\n"})
    _link(local / "ignored", local / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(local / "odd")
    else:
        _link(local / "odd", local / "nowhere")
    ns, server = namespace()
    with pytest.raises(ValueError, match="local: 'odd' is neither a regular file nor a link to"):
        ns.files.sync(local, direction=direction, dry_run=True)
    assert not server.sent


@pytest.mark.parametrize("content", [b"\xff", b"\\\n"])
def test_an_ignore_file_that_cannot_be_read_is_named(write, content):
    local = write({"a": "a"})
    (local / ".gitignore").write_bytes(content)
    ns, _ = namespace()
    with pytest.raises(ValueError, match=r"^local: .*\.gitignore' is not a valid ignore file: "):
        ns.files.sync(local)


def test_a_failure_of_sync_says_what_was_done_before(write):
    local = write({"a": "a", "b": "b", "c": "c"})
    ns, _ = namespace(exported(), OK, *[(503, None)] * 5)
    with pytest.raises(FailedExponentialBackoff) as raised:
        ns.files.sync(local)
    assert (
        f"b ({local / 'b'}) was not created, nor was what follows it; done before: created a"
        in str(raised.value)
    )


def test_sync_down_writes_what_differs(write, tmp_path):
    local = write({"a.py": "old", "same.py": "same", "left.py": "x", ".gitignore": "*.log\n",
                   "b.log": "mine"})  # fmt: skip
    remote = exported(**{"etl/a.py": "new", "etl/same.py": "same", "etl/s/c.py": "c",
                         "etl/b.log": "theirs", "etlx": "no"})  # fmt: skip
    ns, server = namespace(remote, remote)
    changes = ns.files.sync(local, "etl", direction="down")
    assert [str(each) for each in changes] == ["updated a.py", "created s/c.py"]
    changes = ns.files.sync(local, "etl", direction="down", delete=True)
    assert [str(each) for each in changes] == ["deleted left.py"]
    assert len(server.sent) == 2
    found = {
        path.relative_to(local).as_posix(): path.read_text()
        for path in local.rglob("*")
        if path.is_file()
    }
    assert found == {
        "a.py": "new", "same.py": "same", "s/c.py": "c", ".gitignore": "*.log\n", "b.log": "mine",
    }  # fmt: skip


AS_SLASH = pytest.mark.skipif(os.sep == "\\", reason="zipfile turns a backslash into a slash there")


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "//evil", pytest.param("a\\evil", marks=AS_SLASH)]
)
def test_sync_down_writes_nothing_outside_of_the_folder(name, tmp_path):
    ns, _ = namespace(exported(**{name: "x"}))
    with pytest.raises(ValueError, match="a path that cannot be used"):
        ns.files.sync(tmp_path / "new", direction="down")
    assert not list(tmp_path.iterdir())


def test_an_export_may_begin_its_paths_with_a_slash(tmp_path):
    ns, _ = namespace(exported(**{"/etl/a": "a"}), exported(**{"/etl/a": "a"}))
    for _ in range(2):
        ns.files.sync(tmp_path / "new", "etl", direction="down")
    assert (tmp_path / "new" / "a").read_text() == "a"


def test_a_server_without_export_says_so(write):
    ns, _ = namespace((404, {"message": "Not Found"}))
    with pytest.raises(NotFound):
        ns.files.sync(write({"a": "a"}))
