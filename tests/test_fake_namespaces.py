"""What `FakeKestra` has of namespaces, against the recordings, and through `Namespace`."""

import json
import re
from datetime import date, datetime, timedelta, timezone
from urllib.parse import quote, unquote

import pytest
import requests
from namespaces import ENGINES, RECORDED

from kestra import Flow, Namespace
from kestra.exceptions import Conflict, ExecutionFailed, InvalidInput, NotFound
from kestra.testing import FakeKestra

HOST = "http://localhost:8080"
# Recorded after exchanges that were not kept, or not imitated.
OTHER = re.compile(
    r"kv_raw_(put|get)_(ionlist|ionts|single|inf|ex1d|bignum|nanion|objts|two|multi|str|true|dto|dur|qdur)"
    r"|kv_raw_get_(qT|qbrace|flexp)|kv_desc_utf8|kv_(desc|put_latin1|get_latin1|noct|get_charset|get_noct)"
    r"|kv_list|kv_inh|kv_ns_search|kv_rev_param|kv_key_get_(dash_in|dot|digit)|kv_size|kv_conc"
    r"|kv_ttl_(expired|get_frac|get_long)|kv_get_rev|kv_del|kv_bulk|kv_put_over|kv_ns_bad|kv_after"
    r"|kv_key_len1000|kv_key_get_len1000"
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


# What is not imitated, or comes after exchanges that were not kept.
OTHER_FILES = re.compile(
    r"nsf_(revisions|get_rev|rev_|move_rev|get_noslash|get_slash|get_emoji|stats_root|search_|s_(many|z"
    r"|a|star|space|plus|get)|mkdir|zip$|zip_(search|bad|corrupt)|flow_upload|stats_big)"
)
OTHER_FLOWS = re.compile(
    r"flow_(create_missingprop|create_2mb|m3|delete_query|exec_dis|validate_.*_ct)"
)
FILES = [case for case in RECORDED if case.startswith("nsf_") and not OTHER_FILES.match(case)]
FLOWS = [case for case in RECORDED if case.startswith("flow_") and not OTHER_FLOWS.match(case)]
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
        sent({"method": "POST", "path": "/api/v1/main/flows", "body": B1})
        for case in cases:
            exchange = RECORDED[case].get(engine)
            if exchange is None:
                continue
            answer, expected = sent(exchange["request"]), exchange["response"]
            assert answer.status_code == expected["status"], case
            if case in {"flow_put_exact", "flow_put_bom", "flow_put_crlf"}:
                for name in ("id", "namespace", "revision", "source"):
                    assert answer.json()[name] == expected["body"][name], case
        fake.mistakes.clear()


@pytest.fixture(params=("0.21", *ENGINES))
def fake(request):
    with FakeKestra(version=request.param) as fake:
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


def test_a_value_expires(fake, ns):
    ns.kv.set("lock", 1, ttl=timedelta(hours=1), description="mine")
    info = ns.kv.info("lock")
    assert (info.type, info.revision, info.description) == ("NUMBER", 1, "mine")
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
    assert ns.kv.info("other").revision == 2
    assert ns.kv.info("other").expires is None


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


def test_a_flow_without_a_function_does_nothing(ns, tmp_path):
    (tmp_path / "report.yml").write_text(REPORT)
    ns.flows.deploy(tmp_path)
    assert Flow().execute("company.team", "report").ok
    assert ns.last("report").status == "SUCCESS"


@pytest.mark.parametrize(
    ("source", "said", "line"),
    [
        ("id: [\nnamespace", "YAML parsing error", 2),
        (REPORT.partition("tasks")[0], "tasks: must not be empty", None),
        (REPORT.replace("company.team", "H7"), "namespace: must match", None),
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
