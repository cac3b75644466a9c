"""The flows of a namespace: sources, validation, deployment."""

import io
import zipfile

import pytest
import requests
from namespaces import ENGINES, RECORDED, namespace, recorded
from urllib3.exceptions import ProtocolError

from kestra import Change, FlowSource
from kestra._api.sources import document, read_sources
from kestra.exceptions import (
    Conflict,
    FailedExponentialBackoff,
    InvalidInput,
    MalformedResponse,
    NotFound,
    ServerError,
)

LOST = requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError()))


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)


def flow(flow="f1", message="x", ns="company.team", calls=None):
    task = f"  - {{id: l, type: io.kestra.plugin.core.log.Log, message: {message}}}\n"
    if calls:
        task += (
            f"  - {{id: s, type: io.kestra.plugin.core.flow.Subflow, namespace: {ns}, "
            f"flowId: {calls}}}\n"
        )
    return f"id: {flow}\nnamespace: {ns}\ntasks:\n{task}"


def exported(*sources, ns="company.team"):
    """Return the answer with the exact texts of flows in a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, source in enumerate(sources):
            read = document(source)
            archive.writestr(f"{ns}-{read.id or f'odd{number}'}.yml", source.encode())
    return 200, file.getvalue()


def created(revision=1):
    return 200, {"id": "f1", "namespace": "company.team", "revision": revision}


@pytest.fixture
def files(tmp_path):
    """Return what writes files, and the folder that they are in."""

    def write(**contents):
        for name, content in contents.items():
            path = tmp_path / f"{name}.yml"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path

    return write


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_flow_is_read_with_its_source(engine):
    ns, server = namespace(recorded("flow_get", engine), name="company.flows")
    found = ns.flows.get("f1")
    assert (found.id, found.namespace, found.revision, found.disabled) == (
        "f1", "company.flows", 4, False)  # fmt: skip
    assert found.source.startswith("id: f1\nnamespace: company.flows\n")
    assert found.updated is not None
    assert server.sent[0].line == "GET flows/company.flows/f1"
    assert server.sent[0].query == {"source": "true"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_flow_or_revision_is_not_found(engine):
    ns, server = namespace(recorded("flow_get_rev99", engine), recorded("flow_get_deleted", engine))
    with pytest.raises(NotFound):
        ns.flows.get("f1", revision=99)
    with pytest.raises(NotFound):
        ns.flows.get("b1")
    assert server.sent[0].query == {"source": "true", "revision": "99"}
    with pytest.raises(TypeError, match="revision"):
        ns.flows.get("f1", revision="2")
    with pytest.raises(ValueError, match="flow must not contain a slash"):
        ns.flows.get("a/b")


@pytest.mark.parametrize("engine", ENGINES)
def test_flows_and_revisions_are_listed(engine):
    ns, _ = namespace(recorded("flow_list_ns", engine), recorded("flow_revs", engine))
    assert {"exact", "crlf"} <= {each.id for each in ns.flows.list()}
    revisions = ns.flows.revisions("f1")
    assert revisions[0].revision == 1
    assert revisions[0].source.startswith("id: f1\n")
    ns, _ = namespace(recorded("flow_list_ns_unknown", engine))
    assert ns.flows.list() == []


def test_export_writes_each_source_as_it_is(tmp_path):
    exact = "\ufeff# ü\r\n" + flow("exact")
    ns, server = namespace(exported(flow(), exact, flow("other", ns="company.team.deep")))
    paths = ns.flows.export(tmp_path / "new")
    assert [path.name for path in paths] == ["exact.yml", "f1.yml"]
    assert paths[0].read_bytes() == exact.encode()
    assert server.sent[0].line == "GET flows/export/by-query"
    assert server.sent[0].query == {"filters[namespace][EQUALS]": "company.team"}


@pytest.mark.parametrize("name", ["../evil", "a\\b"])
def test_export_writes_nothing_outside_of_the_folder(name, tmp_path):
    ns, _ = namespace(exported(flow(), flow(name)))
    with pytest.raises(ValueError, match="the server has a flow with an id that cannot be used"):
        ns.flows.export(tmp_path / "new")
    assert not list(tmp_path.iterdir())


# --- documents -------------------------------------------------------------------------------


def test_a_file_may_hold_several_documents(files):
    text = "# both\n---\n" + flow("a", '"a --- b"') + "--- # next\r\n" + flow("b") + "---\n# none\n"
    first, second = read_sources([files(both=text)])
    assert (first.id, first.line, first.text) == ("a", 2, flow("a", '"a --- b"'))
    assert (second.id, second.text) == ("b", flow("b"))


def test_a_file_with_one_document_is_its_whole_text(files):
    text = "---\n# why\n" + flow("a") + "\n\n"
    (source,) = read_sources([files(one=text)])
    assert source.text == text


def test_a_separator_at_the_end_is_left_out(files):
    """With it, the text of a file with one document would be two."""
    (source,) = read_sources([files(one="# why\n" + flow("a") + "---\n")])
    assert source.text == "# why\n" + flow("a")


@pytest.mark.parametrize("rest", ["", "---\n" + flow("b")])
def test_a_byte_order_mark_may_come_before_a_directive(rest, files):
    """Editors of Windows write one, and YAML takes it."""
    text = "\ufeff%YAML 1.2\n---\n" + flow("a") + rest
    sources = read_sources([files(one=text)])
    assert [source.id for source in sources] == ["a", "b"][: len(sources)]
    assert not any(source.fault for source in sources)


def test_a_separator_in_a_string_separates_nothing(files):
    text = "id: a\nnamespace: b\ndescription: |\n  x\n  ---\n  y\n"
    (source,) = read_sources([files(one=text)])
    assert source.text == text


@pytest.mark.parametrize(
    "case", ["flow_put_exact", "flow_put_crlf", "flow_put_bom", "flow_put_order"]
)
def test_recorded_sources_are_read(case):
    for exchange in RECORDED[case].values():
        source = document(exchange["request"]["body"])
        shown = exchange["response"]["body"]
        assert (source.id, source.namespace, source.text) == (
            shown["id"], shown["namespace"], shown["source"])  # fmt: skip


def test_what_is_not_a_flow_is_refused(files, tmp_path):
    ns, server = namespace()
    for content, said in [
        ("id: [", r"bad\.yml: line 1: "),
        ("[1, 2]", r"bad\.yml: it has no id"),
        ("id: x\n", r"bad\.yml: it has no namespace"),
        (b"id: \xff", r"bad\.yml is not UTF-8: .* at byte 4"),
        ("# nothing\n", "there are no flows in"),
    ]:
        files(bad=content)
        with pytest.raises(ValueError, match=said):
            ns.flows.deploy(tmp_path / "bad.yml")
    with pytest.raises(TypeError, match="paths must be a path or several, not int"):
        ns.flows.deploy([7])
    with pytest.raises(TypeError, match="paths must be a path or several, not NoneType"):
        ns.flows.deploy(None)
    with pytest.raises(ValueError, match="there are no flows in nothing"):
        ns.flows.deploy([])
    with pytest.raises(FileNotFoundError):
        ns.flows.deploy(tmp_path / "missing.yml")
    assert not server.sent


def test_a_flow_of_two_files_or_of_another_namespace_is_refused(files):
    ns, server = namespace()
    folder = files(a=flow(), b=flow())
    with pytest.raises(ValueError, match=r"b\.yml: the flow f1 is in .*a\.yml as well"):
        ns.flows.deploy(folder)
    folder = files(a=flow(ns="company.other"), b=flow("f2"))
    with pytest.raises(ValueError, match=r"is of the namespace company\.other, not company\.team"):
        ns.flows.deploy(folder)
    assert not server.sent


# --- validating ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_violations_have_their_file_flow_and_line(engine, files):
    cases = ("flow_validate_missing_tasks", "flow_validate_two_violations", "flow_validate_yaml")
    bodies = [RECORDED[case][engine]["request"]["body"] for case in cases]
    folder = files(a=bodies[0], b=bodies[1], c="# odd\n---\n" + flow() + "---\n" + bodies[2])
    good = recorded("flow_validate_dash_block", engine)
    ns, server = namespace(*[recorded(case, engine) for case in cases[:2]], good,
                           recorded(cases[2], engine))  # fmt: skip
    found = ns.flows.validate(folder)
    assert [server.sent[index].body.decode() for index in (0, 1)] == bodies[:2]
    assert all(each.headers["Content-Type"] == "application/x-yaml" for each in server.sent)
    assert str(found[0]) == f"{folder / 'a.yml'}: a: tasks: must not be empty"
    assert [each.flow for each in found[1:4]] == ["ü x"] * 3
    assert {each.message.partition(":")[0] for each in found[1:4]} >= {"id"}
    assert (found[4].flow, found[4].line) == (None, 9)  # 7 lines before it, and "(at line 2)"
    assert found[4].message.startswith("Illegal Flow source: YAML parsing error")
    assert len(found) == 5
    assert not any(each.is_warning for each in found)


@pytest.mark.parametrize("head", ["# why\n---\n", "%YAML 1.2\n---\n", "\n---\n"])
def test_what_comes_before_a_document_is_not_validated(head, files):
    """The server would take it for a document, without a flow; lines are those of the file."""
    answer = recorded("flow_validate_yaml", "2.0")
    ns, server = namespace(answer)
    (found,) = ns.flows.validate(files(a=head + flow("a")))
    assert server.sent[0].body.decode() == flow("a")
    assert found.line == 2 + head.count("\n")


@pytest.mark.parametrize("engine", ENGINES)
def test_warnings_are_told_apart(engine, files):
    ns, _ = namespace(recorded("flow_validate_unknown_subflow", engine))
    (found,) = ns.flows.validate(files(a=flow("a")))
    assert found.is_warning
    assert "a: warning: The subflow 'nix' not found" in str(found)
    ns, _ = namespace(recorded("flow_validate_bad_expr", engine))
    assert ns.flows.validate(files(a=flow("a"))) == []


def test_deprecations_are_warnings(files):
    ns, _ = namespace(recorded("flow_validate_deprecated", "1.3"))
    (found,) = ns.flows.validate(files(a=flow("a")))
    assert (found.message, found.is_warning) == ("inputs[0].name is deprecated", True)


# --- deploying -------------------------------------------------------------------------------


def test_a_deployment_sends_what_differs(files):
    folder = files(new=flow("new"), same=flow("same"), other=flow("other", "new"))
    ns, server = namespace(
        exported(flow("same"), flow("other", "old"), flow("left")), created(4), created(1)
    )
    changes = ns.flows.deploy(folder)
    assert [(each.action, each.name, each.revision) for each in changes] == [
        ("created", "new", 4), ("updated", "other", 1), ("unchanged", "same", None)]  # fmt: skip
    assert [each.line for each in server.sent] == [
        "GET flows/export/by-query", "POST flows", "PUT flows/company.team/other"]  # fmt: skip
    assert server.sent[1].body.decode() == flow("new")
    assert server.sent[1].headers["Content-Type"] == "application/x-yaml"
    assert "-  - {id: l, type: io.kestra.plugin.core.log.Log, message: old}" in changes[1].diff
    assert "+  - {id: l, type: io.kestra.plugin.core.log.Log, message: new}" in changes[1].diff
    assert changes[1].diff.startswith(
        f"--- company.team.other (server)\n+++ {folder / 'other.yml'}"
    )
    assert [str(each) for each in changes] == ["created new", "updated other", "unchanged same"]
    assert changes[2] == Change("unchanged", "same", str(folder / "same.yml"))


def test_a_dry_run_changes_nothing(files):
    ns, server = namespace(exported(flow("left")))
    changes = ns.flows.deploy(files(new=flow("new")), dry_run=True, delete=True)
    assert [str(each) for each in changes] == ["created new", "deleted left"]
    assert len(server.sent) == 1
    assert "-id: left" in changes[1].diff


def test_nothing_is_deleted_that_was_not_asked_for(files):
    ns, server = namespace(exported(flow("left")), created(), (204, None))
    ns.flows.deploy([files(new=flow("new")) / "new.yml"], delete=True)
    assert [each.line for each in server.sent[1:]] == [
        "POST flows", "DELETE flows/company.team/left"]  # fmt: skip


def test_line_ends_are_a_difference(files):
    ns, _ = namespace(exported(flow("a").replace("\n", "\r\n")))
    (change,) = ns.flows.deploy(files(a=flow("a")), dry_run=True)
    assert change.action == "updated"
    assert "-id: a\r\n" in change.diff
    assert "+id: a\n" in change.diff


def test_a_missing_line_end_is_a_difference(files):
    ns, _ = namespace(exported(flow("a")))
    (change,) = ns.flows.deploy(files(a=flow("a").rstrip()), dry_run=True)
    assert change.diff.endswith("\n+\\ No newline at end of file")


def test_subflows_come_before_their_callers(files):
    folder = files(a=flow("a", calls="b"), b=flow("b", calls="c"), c=flow("c", calls="elsewhere"))
    ns, _ = namespace(exported())
    assert [each.name for each in ns.flows.deploy(folder, dry_run=True)] == ["c", "b", "a"]
    folder = files(a=flow("a", calls="b"), b=flow("b", calls="a"), c=flow("c"))
    ns, _ = namespace(exported())
    assert [each.name for each in ns.flows.deploy(folder, dry_run=True)] == ["b", "a", "c"]


def test_another_namespace_is_written_into_the_source(files):
    text = "\ufeff" + flow("a", ns="company.other", calls="b").replace("\n", " # x\n", 2)
    folder = files(a=text, b=flow("b", ns="company.other"))
    ns, server = namespace(exported(), created(), created())
    changes = ns.flows.deploy(folder, override_namespace=True)
    assert [each.name for each in changes] == ["b", "a"]
    expected = text.replace("namespace: company.other #", "namespace: company.team #")
    assert server.sent[2].body.decode() == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("namespace: &ns old\nv: *ns\n", "namespace: &ns company.team\nv: *ns\n"),
        ("namespace: !!str 'old' # x\n", "namespace: !!str company.team # x\n"),
    ],
)
def test_an_anchor_of_another_namespace_stays(files, old, new):
    ns, server = namespace(exported(), created())
    ns.flows.deploy(files(a=f"id: a\n{old}"), override_namespace=True)
    assert server.sent[1].body.decode() == f"id: a\n{new}"


@pytest.mark.parametrize(
    "old", ["v: &ns old\nnamespace: *ns\n", "namespace: >-\n  old\n", "namespace: |-\n  old\n"]
)
def test_a_namespace_that_stands_elsewhere_is_not_replaced(files, old):
    """What an alias stands for is the value of another key; a block has lines of its own."""
    ns, server = namespace()
    with pytest.raises(ValueError, match=r"a.yml: the namespace is an alias or a block, which"):
        ns.flows.deploy(files(a=f"id: a\n{old}tasks: []\n"), override_namespace=True)
    assert not server.sent


def nested(levels):
    return "v:" + "".join(f"\n{' ' * each}k:" for each in range(1, levels)) + " 1\n"


ALIASES = "".join(f"  v{i}: &v{i} [{', '.join([f'*v{i - 1}'] * 9)}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    "rest",
    ["v: &v {x: *v}\n", f"v:\n  v0: &v0 x\n{ALIASES}", "? [&v [x], *v]\n: y\n"],
    ids=["within itself", "many times over", "a key"],
)
def test_aliases_may_lead_anywhere(files, rest):
    """Each node is looked at once."""
    ns, _ = namespace(exported())
    changes = ns.flows.deploy(files(a=flow("a", calls="b") + rest), dry_run=True)
    assert [str(each) for each in changes] == ["created a"]


def test_what_is_nested_too_deeply_is_refused(files):
    ns, _ = namespace()
    with pytest.raises(ValueError, match=r"a.yml: it is nested too deeply to be read"):
        ns.flows.deploy(files(a=flow("a") + nested(2_000)), dry_run=True)


def test_any_number_of_flows_may_call_each_other(files):
    """In a chain, too: the last one is the first to be there."""
    ids = [f"f{number}" for number in range(1_200)]
    chain = [flow(each, calls=called) for each, called in zip(ids, [*ids[1:], "f0"], strict=True)]
    ns, _ = namespace(exported())
    changes = ns.flows.deploy(files(a="---\n".join(chain)), dry_run=True)
    assert [each.name for each in changes] == ids[::-1]


def test_directives_belong_to_the_document_after_them(files):
    text = "%YAML 1.1\n---\n" + flow("a")
    ns, server = namespace(exported(), created())
    ns.flows.deploy(files(a=text))
    assert server.sent[1].body.decode() == text


def test_an_empty_namespace_has_no_export(files):
    ns, _ = namespace((200, b""))
    assert [str(each) for each in ns.flows.deploy(files(a=flow("a")), dry_run=True)] == [
        "created a"
    ]


def test_a_source_that_cannot_be_read_here_is_known_by_its_file(files):
    ns, _ = namespace(exported("id: [\n"))
    changes = ns.flows.deploy(files(a=flow("a")), dry_run=True, delete=True)
    assert [str(each) for each in changes] == ["created a", "deleted odd0"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failure_says_what_was_done_before(engine, files):
    folder = files(a=flow("a"), b=flow("b"), c=flow("c"))
    refused = recorded("flow_create_unknownprop", engine)
    ns, server = namespace(exported(), created(), refused)
    with pytest.raises(InvalidInput) as raised:
        ns.flows.deploy(folder)
    assert 'Unrecognized field "nope"' in str(raised.value)
    assert str(raised.value).endswith(
        f"b ({folder / 'b.yml'}) was not created, nor was what follows it; done before: created a"
    )
    assert len(server.sent) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lost_creation_is_looked_up(engine, files):
    folder = files(f1=flow())
    there = 200, {"id": "f1", "namespace": "company.team", "revision": 7, "source": flow()}
    again = recorded("flow_create_again", engine)
    for answers in ([LOST, there], [(500, None), again, there]):
        ns, _ = namespace(exported(), *answers)
        assert ns.flows.deploy(folder)[0].revision == 7


def test_a_lost_creation_that_is_not_there_is_an_error(files):
    folder = files(f1=flow())
    ns, _ = namespace(exported(), LOST, recorded("flow_get_deleted", "2.0"))
    with pytest.raises(FailedExponentialBackoff, match="may have been carried out"):
        ns.flows.deploy(folder)
    other = 200, {"id": "f1", "namespace": "company.team", "source": flow(message="y")}
    ns, _ = namespace(exported(), (500, None), recorded("flow_create_again", "2.0"), other)
    with pytest.raises(Conflict, match="already exists"):
        ns.flows.deploy(folder)
    ns, server = namespace(exported(), recorded("flow_create_again", "2.0"))
    with pytest.raises(Conflict, match="already exists"):
        ns.flows.deploy(folder)
    assert len(server.sent) == 2


def test_a_flow_that_is_too_large_is_final(files):
    ns, server = namespace(exported(), recorded("flow_create_2mb", "2.0"))
    with pytest.raises(ServerError, match=r"message-protection\.limit"):
        ns.flows.deploy(files(f1=flow()))
    assert len(server.sent) == 2


def test_an_older_server_exports_by_its_own_parameter(files):
    ns, server = namespace((200, {"version": "0.21.0"}), exported(flow("a")), tenant=None)
    (change,) = ns.flows.deploy(files(a=flow("a")))
    assert change.action == "unchanged"
    assert server.sent[1].query == {"namespace": "company.team"}


# --- one flow --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_flow_is_deleted(engine):
    missing = recorded("flow_get_deleted", engine)
    ns, server = namespace(recorded("flow_delete", engine), missing, LOST, missing)
    ns.flows.delete("b1")
    assert server.sent[0].line == "DELETE flows/company.team/b1"
    with pytest.raises(NotFound):
        ns.flows.delete("b1")
    ns.flows.delete("b1")  # whose first response was lost


@pytest.mark.parametrize("engine", ENGINES)
def test_a_flow_is_disabled_and_enabled(engine):
    ns, server = namespace(
        recorded("flow_disable_ids", engine), recorded("flow_enable_ids", engine)
    )
    ns.flows.disable("f1")
    ns.flows.enable("f1")
    assert [each.line for each in server.sent] == [
        "POST flows/disable/by-ids", "POST flows/enable/by-ids"]  # fmt: skip
    assert server.sent[0].body == b'[{"namespace": "company.team", "id": "f1"}]'
    ns, _ = namespace((200, {"count": 0}), recorded("flow_get_deleted", engine))
    with pytest.raises(NotFound):
        ns.flows.disable("nope")


def test_a_source_shows_no_yaml():
    assert repr(FlowSource("a", "b", 1, source="secret")) == (
        "FlowSource(id='a', namespace='b', revision=1, disabled=False, updated=None)"
    )


def test_without_pyyaml_the_error_says_what_to_install(monkeypatch, files):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    ns, _ = namespace()
    with pytest.raises(ImportError, match=r"pip install 'kestra\[namespace\]'"):
        ns.flows.deploy(files(a="id: a"))


@pytest.mark.parametrize(
    "use",
    [
        lambda ns, path: ns.flows.deploy(path),
        lambda ns, path: ns.flows.export(path / "to"),
        lambda ns, path: ns.files.sync(path),
        lambda ns, path: ns.files.sync(path, direction="down"),
    ],
)
def test_a_page_in_the_place_of_a_zip_is_refused(tmp_path, use):
    """That of a proxy, say, which wants a login: nothing is changed."""
    (tmp_path / "f1.yml").write_text(flow())
    ns, server = namespace((200, b"<html>Log in</html>"))
    with pytest.raises(MalformedResponse, match=r"^GET .*: the response is not a zip archive"):
        use(ns, tmp_path)
    assert [each.method for each in server.sent] == ["GET"]


@pytest.mark.parametrize("shown", [[None], ["a"], [{}, 1]])
@pytest.mark.parametrize(
    "use",
    [
        lambda ns, _: ns.flows.list(),
        lambda ns, _: ns.flows.revisions("f1"),
        lambda ns, path: ns.flows.validate(path),
        lambda ns, _: ns.files.list(),
    ],
)
def test_a_list_of_something_else_is_refused(tmp_path, use, shown):
    """What is no JSON object is no flow, no violation and no file."""
    (tmp_path / "f1.yml").write_text(flow())
    ns, _ = namespace((200, shown))
    with pytest.raises(MalformedResponse, match="not a list of JSON objects"):
        use(ns, tmp_path)
