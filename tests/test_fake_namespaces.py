"""What `FakeKestra` has of namespaces, against the recordings, and through `Namespace`."""

import json
import re
from datetime import date, datetime, timedelta, timezone
from urllib.parse import quote, unquote

import pytest
import requests
from namespaces import ENGINES, RECORDED, STORES

from kestra import Flow, Namespace
from kestra.exceptions import AuthenticationError, Conflict, ExecutionFailed, InvalidInput, NotFound
from kestra.testing import FakeKestra

HOST = "http://localhost:8080"
# Recorded after exchanges that were not kept, or not imitated.
OTHER = re.compile(
    r"kv_raw_get_(ex1d|str|true|dto|dur|qdur|qT|qbrace)"
    r"|kv_desc_utf8|kv_(desc|put_latin1|get_latin1|noct|get_noct)"
    r"|kv_list_(default|p2|old)|kv_inh|kv_ns_search|kv_rev_param|kv_key_get_(dash_in|dot|digit)"
    r"|kv_size|kv_conc|kv_ttl_expired|kv_get_rev|kv_del|kv_bulk|kv_put_over|kv_after"
    r"|kv_key_(get_)?len1000"  # whose path is cut
)
KV = [case for case in RECORDED if case.startswith("kv_") and not OTHER.match(case)]


def send(request):
    path, _, query = request["path"].partition("?")
    url = HOST + quote(unquote(path)) if "%2F" not in path else HOST + path
    headers = {str(k): str(v) for k, v in (request.get("headers") or {}).items()}
    kind = request.get("content_type")
    body = request.get("body") or ""
    return requests.request(
        request["method"],
        f"{url}?{query}" if query else url,
        data=body.encode() if isinstance(body, str) else body,
        headers=headers | ({"Content-Type": kind} if kind else {}),
        timeout=9,
    )


def without_times(body):
    if not isinstance(body, dict):
        return body
    return {key: value for key, value in body.items() if key in {"type", "value"}}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_store_answers_as_recorded(engine):
    with FakeKestra(version=engine) as fake:
        for case in KV:
            exchange = RECORDED[case].get(engine)
            if exchange is None:
                continue
            answer, expected = send(exchange["request"]), exchange["response"]
            assert answer.status_code == expected["status"], case
            if answer.status_code == 200 and exchange["request"]["method"] == "GET":
                assert without_times(answer.json()) == without_times(expected["body"]), case
        fake.sleep(3)
        for case in ("kv_ttl_expired",):
            exchange = RECORDED[case][engine]
            assert (
                send(exchange["request"]).json()["message"]
                == exchange["response"]["body"]["message"]
            )


# The texts of a database, of a parser, and of YAML.
CUT = re.compile(r"(?s)(SQL \[|Unrecognized token|YAML parsing error|flow yaml:).*")


@pytest.mark.parametrize("engine", ["0.21", *ENGINES])
def test_stores_and_creations_answer_as_recorded(engine):
    """Each generation keeps, shows and refuses what its server does, and says the same."""
    exchanges = [(case, each[engine]) for case, each in STORES.items() if engine in each]
    with FakeKestra(version=engine):
        for case, exchange in exchanges:
            answer, expected = send(exchange["request"]), exchange["response"]
            body = expected.get("body") or {}
            assert answer.status_code == expected["status"], case
            if "message" in body:
                said, wanted = (
                    CUT.sub("", each["message"]).replace("genericflow source: ", "")
                    for each in (answer.json(), body)
                )
                assert wanted.startswith(said.rstrip()), case
                assert len(said) > 9, case
            elif "type" in body:
                shown = answer.json()
                assert shown.keys() == body.keys(), case
                assert without_times(shown) == without_times(body), case


# What is not imitated, or comes after exchanges that were not kept.
OTHER_FILES = re.compile(
    r"nsf_(revisions|get_rev|rev_|move_rev|get_noslash|get_slash|get_emoji|search_|s_(many|z"
    r"|a|star|space|plus|get)|mkdir|zip$|zip_(search|bad|corrupt)|flow_upload|stats_big)"
)
OTHER_FLOWS = re.compile(r"flow_(create_missingprop|create_2mb|m3|delete_query|exec_dis|search_)")
FILES = [case for case in RECORDED if case.startswith("nsf_") and not OTHER_FILES.match(case)]
FLOWS = [case for case in RECORDED if case.startswith("flow_") and not OTHER_FLOWS.match(case)]
YAML = {"method": "POST", "path": "/api/v1/main/flows", "content_type": "application/x-yaml"}
B1 = "id: b1\nnamespace: company.flows\ntasks:\n  - {id: l, type: x.Log}\n"


def sent(request):
    body = request.get("body")
    if not isinstance(body, dict) or "multipart" not in body:
        as_text = json.dumps(body) if isinstance(body, dict | list) else body
        return send({**request, "body": as_text})
    path, _, query = request["path"].partition("?")
    files = [(name, (part["filename"], b"x" * part["bytes"])) for name, part in body["multipart"]]
    url = f"{HOST}{path}?{query.replace(' ', '%20')}"
    return requests.request(request["method"], url, files=files, timeout=9)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cases", [FILES, FLOWS], ids=["files", "flows"])
def test_files_and_flows_answer_as_recorded(engine, cases):
    with FakeKestra(version=engine) as fake:
        fake.missing("company.flows", "dr")
        sent({**YAML, "body": B1})
        for case in cases:
            exchange = RECORDED[case].get(engine)
            if exchange is None:
                continue
            answer, expected = sent(exchange["request"]), exchange["response"]
            assert answer.status_code == expected["status"], case
            if case in {"flow_put_exact", "flow_put_bom", "flow_put_crlf", "flow_get_after_enable"}:
                for name in ("id", "namespace", "source"):
                    assert answer.json()[name] == expected["body"][name], case
            if case.startswith("flow_validate") and answer.ok:
                for shown, recorded in zip(answer.json(), expected["body"], strict=False):
                    assert shown["index"] == recorded["index"], case
        fake.mistakes.clear()


@pytest.fixture(params=("0.21", *ENGINES))
def version(request):
    return request.param


@pytest.fixture
def fake(version):
    with FakeKestra(version=version) as fake:
        yield fake


@pytest.fixture
def ns(fake):
    return Namespace("company.team")


# --- key-value store -------------------------------------------------------------------------

VALUES = {
    "text": "grün",
    "empty": "",
    "number": 7,
    "big": 10**30,
    "float": 0.1,
    "yes": True,
    "list": [1, None, {"a": "PT5S"}],
    "dict": {},
    "day": date(2026, 1, 31),
    "moment": datetime(2026, 1, 31, 12, 0, 0, 123000, timezone.utc),
    "duration": timedelta(days=1, seconds=5),
}


@pytest.mark.parametrize("key", VALUES)
def test_what_is_put_comes_back(ns, key):
    ns.kv[key] = VALUES[key]
    assert ns.kv[key] == VALUES[key]
    assert type(ns.kv[key]) is type(VALUES[key])


def test_the_store_is_a_mapping(ns):
    ns.kv.update(VALUES)
    assert dict(ns.kv) == VALUES
    assert ns.kv.pop("number") == 7
    assert "number" not in ns.kv
    assert ns.kv.setdefault("number", 8) == 8
    assert len(ns.kv) == len(VALUES)
    ns.kv.clear()
    assert list(ns.kv) == []
    assert ns.kv.get("day") is None


def test_a_value_expires(fake, ns, version):
    ns.kv.set("lock", 1, ttl=timedelta(hours=1), description="mine")
    info = ns.kv.info("lock")
    is_old = version == "0.21"  # which keeps neither, or does not show it
    expected = (None, None) if is_old else (1, "mine")
    assert (info.type, info.revision, info.description) == ("NUMBER", *expected)
    assert info.expires - info.updated == timedelta(hours=1)
    ns.kv.set("other", 1, ttl=5)
    ns.kv["other"] = 2
    fake.sleep(3600)
    assert "lock" not in ns.kv
    assert list(ns.kv) == ["other"]
    with pytest.raises(KeyError):
        del ns.kv["lock"]
    with pytest.raises(KeyError):
        ns.kv.info("lock")
    assert ns.kv.info("other").revision == (None if is_old else 2)
    assert ns.kv.info("other").expires is None


def stored(key, body, engine="2.0", **headers):
    """What a GET shows of what a PUT has stored, or the status of the PUT."""
    url = f"{HOST}/api/v1/main/namespaces/company.team/kv/{key}"
    headers = {"Content-Type": "text/plain", **headers}
    answer = requests.put(url, data=body, headers=headers, timeout=9)
    if not answer.ok:
        return answer.status_code
    shown = requests.get(url, timeout=9).json()
    return shown["type"], shown.get("value")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("-inf", ("NUMBER", "-Infinity")),
        ("nan", ("NUMBER", "NaN")),
        ("1d0", ("NUMBER", 1)),
        ("1 2", ("NUMBER", 1)),
        ('"a" "b"', ("STRING", "a")),
        ("2026-02T", ("DATE", "2026-02-01")),
        ('{"d": 2026-01-31, "t": "2026-01-31"}', ("JSON", dict.fromkeys("dt", "2026-01-31"))),
        ("// c\n'q r' x", ("STRING", "q r")),
        ('"PT\u0663S"', ("STRING", "PT\u0663S")),
        ('"P9999999999D"', ("STRING", "P9999999999D")),
        ("12:30", 500),
    ],
)
def test_a_body_is_read_as_ion(body, expected):
    """The first value counts, and what cannot be read is text as a whole."""
    with FakeKestra(version="2.0"):
        assert stored("k", body.encode()) == expected


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [
        *(("PT-1S", 422), ("P-1D", 422), ("-PT1S", 422), ("P1M", 500), ("1", 500), ("P1DT", 500)),
        *((each, ("NUMBER", 1)) for each in ("PT1.5S", "pt1s", "P-1DT48H")),
    ],
)
def test_a_ttl_is_a_duration_of_java(ttl, expected):
    with FakeKestra(version="2.0"):
        assert stored("k", b"1", ttl=ttl) == expected


@pytest.mark.parametrize(
    ("engine", "length", "status"),
    [("2.0", 250, 200), ("2.0", 251, 404), ("1.3", 800, 500), ("0.21", 800, 404)],
)
def test_a_key_is_the_name_of_a_file(engine, length, status):
    """It is too long for that first, and then for the database; that it is missing comes first."""
    root = "/api/v1" if engine == "0.21" else "/api/v1/main"
    url = f"{HOST}{root}/namespaces/company.team/kv/{'k' * length}"
    with FakeKestra(version=engine):
        answer = requests.get(url, timeout=9)
        assert "No value found for key 'kkk" in answer.json()["message"]
        assert requests.put(url, data="1", timeout=9).status_code == status


def test_bytes_are_read_as_they_are_declared():
    """A body by its charset, a description as Latin-1."""
    latin_1 = {"Content-Type": "text/plain; charset=iso-8859-1"}
    with FakeKestra(version="2.0") as fake:
        assert stored("k", '"ü"'.encode("latin-1"), **latin_1) == ("STRING", "ü")
        kv = Namespace("company.team").kv
        stored("k", b"1", description="bücher".encode("latin-1"))
        assert kv.info("k").description == "bücher"
        stored("k", b"1", description="bü".encode())
        assert kv.info("k").description == "bÃ¼"
    assert fake.mistakes == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filters[namespace][STARTS_WITH]=h7", ["h7 a", "h7.x a", "h72 b"]),
        ("filters[namespace][PREFIX]=h7", ["h7 a", "h7.x a"]),
        ("filters[namespace][IN]=h72,x", ["h72 b"]),
        ("filters[q][EQUALS]=B&sort=namespace:desc", ["h72 b", "a b"]),
        ("size=0", "Illegal argument: Size cannot be 0"),
        ("filters[key][EQUALS]=a", "Illegal argument: Unsupported field 'key'"),
        ("filters[state][EQUALS]=a", "Invalid query filters"),
    ],
)
def test_keys_are_searched_for(query, expected):
    with FakeKestra(version="2.0"):
        for namespace, key in [("h7", "a"), ("h7.x", "a"), ("h72", "b"), ("a", "b")]:
            Namespace(namespace).kv[key] = 1
        found = requests.get(f"{HOST}/api/v1/main/kv?{query}", timeout=9).json()
    if isinstance(expected, str):
        assert found["message"].startswith(expected)
    else:
        assert [f"{each['namespace']} {each['key']}" for each in found["results"]] == expected


def test_a_store_does_not_inherit(ns):
    Namespace("company").kv["x"] = 1
    assert "x" not in ns.kv
    assert list(Namespace("company").kv) == ["x"]


def test_more_keys_than_a_page(ns, monkeypatch):
    monkeypatch.setattr("kestra._rules.pages.results.__defaults__", (2,))
    ns.kv.update({f"k{number}": number for number in range(5)})
    assert list(ns.kv) == ["k0", "k1", "k2", "k3", "k4"]


def test_puts_are_repeated(fake, ns):
    fake.fail(2, on="PUT")
    ns.kv["x"] = 1
    assert ns.kv["x"] == 1


# --- files -----------------------------------------------------------------------------------


def test_files_are_written_and_read(ns, tmp_path):
    ns.files.write("etl/a.txt", "ü")
    ns.files.write("/keep.zip", b"PK")
    with ns.files.open("etl/sub/b.txt", "w") as file:
        file.write("b")
    assert ns.files.read("etl/a.txt") == "ü".encode()
    assert ns.files.download("keep.zip", tmp_path / "x").read_bytes() == b"PK"
    assert [str(each) for each in ns.files.list("etl")] == ["etl/a.txt", "etl/sub"]
    assert [each.is_folder for each in ns.files.list("etl")] == [False, True]
    assert [str(each) for each in ns.files.list(recursive=True)] == [
        "etl/a.txt", "etl/sub/b.txt", "keep.zip"]  # fmt: skip
    ns.files.move("etl", "new")
    assert ns.files.exists("new/sub")
    assert not ns.files.exists("etl")
    ns.files.delete("new", recursive=True)
    assert [str(each) for each in ns.files.list()] == ["keep.zip"]
    with pytest.raises(NotFound):
        ns.files.read("new/a.txt")
    ns.files.write("folder/x", "1")
    with pytest.raises(IsADirectoryError):
        ns.files.write("folder", "x")


@pytest.mark.parametrize(
    "name", ["ü[1]#?&+%.txt", "100%41.txt", "☃/𝄞.txt", "{a|b}^`.txt", "売上\u3000表"]
)
def test_a_file_with_any_name_is_written_moved_and_deleted(ns, name):
    ns.files.write(name, "1")
    ns.files.move(name, f"etl/{name}")
    assert ns.files.read(f"etl/{name}") == b"1"
    ns.files.move(f"etl/{name}", name)
    assert [str(each) for each in ns.files.list(recursive=True)] == [name]
    ns.files.delete(name)
    assert not ns.files.exists(name)


@pytest.mark.parametrize(
    ("source", "status", "left"),
    [
        ("/a%23b", 200, ["/a", "/new"]),
        ("/a#b", 200, ["/a#b", "/new"]),
        ("/a[b", 422, ["/a", "/a#b"]),
    ],
)
def test_a_move_reads_paths_as_uris(source, status, left):
    url = f"{HOST}/api/v1/main/namespaces/company.team/files"
    with FakeKestra(version="2.0"):
        ns = Namespace("company.team")
        for name in ("a", "a#b"):
            ns.files.write(name, "")
        query = {"from": source, "to": "/new"}
        assert requests.put(url, params=query, timeout=9).status_code == status
        assert requests.get(f"{url}/search?q=/", timeout=9).json() == left


def test_a_put_moves_a_file_and_takes_no_content():
    """Of another type than JSON, it is refused, as recorded on 2.0."""
    url = f"{HOST}/api/v1/main/namespaces/company.team/files?path=/p.txt"
    with FakeKestra(version="2.0"):
        answer = requests.put(url, b"abc", headers={"Content-Type": "text/plain"}, timeout=9)
    assert answer.status_code == 415


@pytest.mark.parametrize(("version", "status"), [("1.3", 200), ("2.0", 409)])
def test_a_folder_is_no_place_for_a_file(version, status):
    """1.3 accepts it, and the folder stays a folder; nothing is moved onto it either."""
    url = f"{HOST}/api/v1/main/namespaces/company.team/files"
    with FakeKestra(version=version):
        ns = Namespace("company.team")
        for name in ("a/b/c", "d"):
            ns.files.write(name, "1")
        content = {"fileContent": ("x", b"x")}
        query = {"path": "/a/b"}
        answer = requests.post(url, params=query, files=content, timeout=9)
        assert answer.status_code == status
        assert requests.get(url, params=query, timeout=9).status_code == 404
        query = {"from": "/d", "to": "/a/b"}
        assert requests.put(url, params=query, timeout=9).status_code == 500
        assert [str(each) for each in ns.files.list(recursive=True)] == ["a/b/c", "d"]


def test_a_folder_is_synchronized_in_both_directions(ns, tmp_path):
    local = tmp_path / "src"
    (local / "sub").mkdir(parents=True)
    (local / "a.py").write_text("a")
    (local / "sub" / "b.py").write_text("")
    assert len(ns.files.sync(local, to="etl")) == 2
    assert ns.files.sync(local, to="etl") == []
    (local / "a.py").write_text("new")
    assert [str(each) for each in ns.files.sync(local, to="etl")] == ["updated a.py"]
    back = tmp_path / "back"
    assert len(ns.files.sync(back, to="etl", direction="down")) == 2
    assert (back / "a.py").read_text() == "new"
    assert (back / "sub" / "b.py").read_text() == ""


# --- flows -----------------------------------------------------------------------------------

REPORT = "id: report\nnamespace: company.team\ntasks:\n  - {id: render, type: x.Script}\n"
CALLER = (
    "id: all\nnamespace: company.team\ntasks:\n"
    "  - {id: s, type: io.kestra.plugin.core.flow.Subflow, namespace: company.team, "
    "flowId: report}\n"
)


def test_flows_are_deployed_executed_and_deleted(fake, ns, tmp_path):
    fake.flow("company.team", "report", lambda inputs: {"pages": 3})
    (tmp_path / "both.yml").write_text(f"{CALLER}---\n{REPORT}")
    assert [each.is_warning for each in ns.flows.validate(tmp_path)] in ([], [True])
    assert [str(each) for each in ns.flows.deploy(tmp_path, dry_run=True)] == [
        "created report", "created all"]  # fmt: skip
    assert ns.flows.list() == []
    assert [each.revision for each in ns.flows.deploy(tmp_path)] == [1, 1]
    assert [each.action for each in ns.flows.deploy(tmp_path)] == ["unchanged", "unchanged"]
    (tmp_path / "both.yml").write_text(REPORT.replace("render", "other"))
    assert [str(each) for each in ns.flows.deploy(tmp_path, delete=True)] == [
        "updated report", "deleted all"]  # fmt: skip
    assert ns.flows.get("report").revision == 2
    assert ns.flows.get("report", revision=1).source == REPORT
    assert [each.id for each in ns.flows.list()] == ["report"]
    assert len(ns.flows.revisions("report")) == 2
    result = Flow().execute("company.team", "report")
    assert result.outputs == {"pages": 3}
    ns.flows.disable("report")
    with pytest.raises(Conflict):
        Flow().execute("company.team", "report")
    ns.flows.enable("report")
    assert ns.flows.get("report").revision == 4
    assert not ns.flows.get("report").disabled
    ns.flows.delete("report")
    with pytest.raises(NotFound):
        ns.flows.get("report")
    with pytest.raises(NotFound):
        Flow().execute("company.team", "report")


@pytest.mark.parametrize("more", ["", "description: 2026-13-01\n", "labels: {a: !tag b}\n"])
def test_a_flow_without_a_function_does_nothing(ns, tmp_path, more):
    """Values of any kind are text to it."""
    (tmp_path / "report.yml").write_text(REPORT + more)
    ns.flows.deploy(tmp_path)
    assert Flow().execute("company.team", "report").ok
    assert ns.last("report").status == "SUCCESS"


@pytest.mark.parametrize(
    ("source", "said", "line"),
    [
        ("id: [\nnamespace", "YAML parsing error", 2),
        (REPORT.partition("tasks")[0], "tasks: must not be empty", None),
        (REPORT.replace("company.team", "H7"), "namespace: must match", None),
        (REPORT.replace("id: report", "id: bad id!"), "id: must match", None),
        (f"{REPORT}description: {{{{ x }}}}\n", "YAML parsing error", 5),
        (f"{REPORT.partition('tasks')[0]}tasks: none\n", "Cannot deserialize value", None),
    ],
)
def test_what_is_wrong_with_a_source(ns, tmp_path, source, said, line):
    (tmp_path / "bad.yml").write_text(source)
    (found,) = ns.flows.validate(tmp_path)
    assert said in found.message
    assert found.line == line
    assert not found.is_warning


def test_a_source_that_the_server_refuses(ns, tmp_path):
    (tmp_path / "bad.yml").write_text(REPORT.partition("tasks")[0])
    with pytest.raises(InvalidInput, match=r"(?s)tasks: must not be empty.*before: nothing"):
        ns.flows.deploy(tmp_path)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    "place", ["# c\n---\n{}", "%YAML 1.2\n---\n{}", "---\n{}", "{}---\nid: x\n"]
)
def test_the_first_document_of_a_source_counts(version, place):
    """Comments and directives before it are none."""
    source = place.replace("{}", REPORT)
    root = "/api/v1" if version == "0.21" else "/api/v1/main"
    answer = send({**YAML, "path": f"{root}/flows", "body": source})
    assert (answer.status_code, answer.json()["id"]) == (200, "report")
    assert answer.json()["source"] == source


@pytest.mark.parametrize("engine", ENGINES)
def test_a_large_flow_is_more_than_2_0_passes_on(engine):
    with FakeKestra(version=engine):
        source = f"{REPORT}description: {'x' * 600_000}\n"
        answer = send({**YAML, "body": source})
    assert answer.status_code == (500 if engine == "2.0" else 200)
    assert ("exceeded the configured limit" in answer.text) == (engine == "2.0")


def test_a_creation_of_a_flow_that_was_carried_out_is_found(fake, ns, tmp_path):
    (tmp_path / "report.yml").write_text(REPORT)
    fake.fail(1, on="POST /api/v1/flows", status=500)
    assert ns.flows.deploy(tmp_path)[0].revision == 1


# --- webhooks --------------------------------------------------------------------------------


def test_a_webhook_starts_an_execution(fake, ns):
    fake.flow("company.team", "orders", lambda inputs: inputs["trigger"]["body"], webhook="k1")
    answer = ns.webhook("orders", "k1", {"id": 7})
    assert (answer.status, answer.outputs) == ("CREATED", None)
    answer = ns.webhook("orders", "k1", {"id": 7}, wait=True)
    assert (answer.status, answer.outputs, answer.ok) == ("SUCCESS", {"id": 7}, True)
    assert answer.url.endswith(answer.execution_id)
    assert ns.last("orders").id == answer.execution_id
    with pytest.raises(NotFound):
        ns.webhook("orders", "k2")
    fake.flow("company.team", "off", webhook="k1", disabled=True)
    with pytest.raises(Conflict):
        ns.webhook("off", "k1")


def test_a_webhook_needs_its_key_and_no_credentials(version):
    with FakeKestra(version=version, api_token="t0ken") as fake:
        fake.flow("company.team", "orders", webhook="k1")
        ns = Namespace("company.team")
        assert ns.webhook("orders", "k1").http_status == 200
        with pytest.raises(NotFound):
            ns.webhook("orders", "k2")
        with pytest.raises(AuthenticationError):
            ns.flows.list()


@pytest.mark.parametrize("wait", ["true", "false"])
def test_a_source_may_have_a_webhook(fake, ns, tmp_path, wait):
    fake.flow("company.team", "report", lambda inputs: {"id": inputs["trigger"]["body"]["id"]})
    trigger = f"{{id: w, type: x.Webhook, key: k1, wait: {wait}, returnOutputs: true}}"
    (tmp_path / "f.yml").write_text(f"{REPORT}triggers:\n  - {trigger}\n")
    ns.flows.deploy(tmp_path)
    assert ns.webhook("report", "k1", {"id": 7}).outputs == ({"id": 7} if wait == "true" else None)
    with pytest.raises(NotFound):
        ns.webhook("report", "k2")


def test_a_webhook_checks_the_inputs_of_its_flow(fake, ns, version):
    """They come from its body; the response to a wrong or missing one is empty."""
    fake.flow("company.team", "orders", inputs={"n": "INT"}, webhook="k1")
    assert ns.webhook("orders", "k1", {"n": 7, "other": None}).status == "CREATED"
    assert fake.executions[0].inputs["n"] == 7
    assert fake.executions[0].inputs["trigger"]["body"]["n"] == 7
    for body in ({"n": "x"}, {"n": None}, {}, "n", None):
        with pytest.raises(InvalidInput if version == "2.0" else Conflict):
            ns.webhook("orders", "k1", body)
    assert len(fake.executions) == 1


def test_a_webhook_that_waits_answers_with_what_the_flow_says(fake, ns):
    def fail(inputs):
        raise RuntimeError

    hook = {"key": "k1", "wait": True}
    fake.flow("company.team", "orders", lambda inputs: {"n": 5}, webhook=hook)
    answer = ns.webhook("orders", "k1", "text")
    assert (answer.status, answer.outputs) == ("SUCCESS", {"n": 5})
    assert fake.executions[-1].inputs["trigger"]["body"] == "text"
    hook |= {"returnOutputs": True, "responseCode": 202}
    fake.flow("company.team", "orders", lambda inputs: {"n": 5}, webhook=hook)
    answer = ns.webhook("orders", "k1")
    assert (answer.http_status, answer.outputs, answer.execution_id) == (202, {"n": 5}, None)
    fake.flow("company.team", "orders", fail, webhook=hook)
    answer = ns.webhook("orders", "k1")
    assert (answer.http_status, answer.ok) == (500, False)
    with pytest.raises(ExecutionFailed):
        answer.raise_for_status()
    assert len(fake.executions) == 3
