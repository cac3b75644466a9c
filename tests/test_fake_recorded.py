"""`FakeKestra` against the recorded exchanges: asked the same, it answers the same."""

import json
import math
import re
from urllib.parse import unquote

import pytest
import requests
from rest import CASES, NEWER, exchanges

from kestra import Kestra
from kestra.testing import FakeKestra

HOST = "http://localhost:8080"
# What is not imitated, or not so.
OTHER = {
    "auth_other_tenant": "asks for flows",
    "exec_method_not_allowed": "not imitated: a mistake of the test, and an error",
    "exec_secret": "encryption counts as configured",
    "unknown_endpoint": "not imitated: a mistake of the test, and an error",
}
EXCHANGES = [
    (case, *exchange) for case in sorted(CASES.keys() - OTHER) for exchange in exchanges(case)
]

INPUTS = {
    "s": "STRING",
    **{
        name: {"type": kind, "required": False}
        for name, kind in {
            "i": "INT",
            "f": "FLOAT",
            "b": "BOOLEAN",
            "dt": "DATETIME",
            "d": "DATE",
            "t": "TIME",
            "du": "DURATION",
            "j": "JSON",
            "y": "YAML",
            "uri": "URI",
            "file": "FILE",
            "arr": "ARRAY",
            "sel": "SELECT",
            "sec": "SECRET",
            "mail": "EMAIL",
        }.items()
    },
    "multi": {"type": "MULTISELECT", "values": ["A", "B", "C"], "required": False},
    "def": {"type": "STRING", "defaults": "dflt"},
}


def fail(inputs):
    raise RuntimeError("it fails")


def write(inputs):
    Kestra.counter("c", 1, {"x": "y"})
    return {"out.txt": "héllo\nhéllo\nhéllo\n".encode()}


def populated(engine, case):
    """A fake with the flows of the recordings."""
    credentials = {}
    if case.startswith("auth_") and "notenant" not in case:
        credentials = {"user": "jane", "password": "s3cret"}
    fake = FakeKestra(version=engine, **credentials)
    fake.flow("lab", "noinputs", inputs={}, tasks=["log"])
    fake.flow("lab", "disabledflow", disabled=True)
    fake.flow("lab", "inputs", inputs=INPUTS, revisions=[1, 2], labels={"team": "core2"})
    fake.flow("lab", "failing", fail, tasks=["fail"])
    fake.flow("lab", "sleeper", states=[("RUNNING", math.inf)])
    fake.flow("lab", "pauser", states=["PAUSED"], on_resume={"reason": "STRING"})
    fake.flow("lab", "plainpauser", states=["PAUSED"])
    warns = ["WARNING"] if engine == "0.21" else []  # where something was written to stderr
    fake.flow("lab", "filer", write, tasks=["w"], states=warns)
    for namespace, flow in [("lab", "nope"), ("nons", "nope"), ("lab", "NOINPUTS"), ("a/b", "c")]:
        fake.missing(namespace, flow)
    return fake


def subject_of(case):
    """The flow whose execution a recorded request is about, by the name of its case."""
    by_part = {
        "running": "sleeper",
        "scheduled": "sleeper",
        "resume_after": "plainpauser",
        "resume": "pauser",
        "paused": "pauser",
        "restart": "failing",
        "file": "filer",
        "logs_": "filer",
        "metrics": "filer",
        "exec_get": "filer",
        "exec_search_state": "failing",
        "exec_search": "filer",
    }
    return next((flow for part, flow in by_part.items() if part in case), "noinputs")


def prepared(fake, root, case, path):
    """The path of a request, with an execution of the fake's where one of the server's was."""
    execution = requests.post(f"{HOST}{root}/executions/lab/{subject_of(case)}", timeout=9).json()
    fake.sleep(9)
    new = execution["id"]
    if case == "resume_again":
        requests.post(f"{HOST}{root}/executions/{new}/resume", files={"reason": "ok"}, timeout=9)
    if case == "file_get_rawpath":
        path = re.sub(r"path=.*", f"path={fake.executions[0].outputs['out.txt']}", path)
    elif case == "file_not_found":
        path = re.sub(r"tasks.*", "zzz", unquote(path))
    known = r"[0-9A-Za-z]{20,22}"
    return re.sub(rf"(?<![0-9A-Za-z]){known}(?![0-9A-Za-z])", new, path)


def asked(fake, engine, case, request):
    root = "/api/v1" if engine == "0.21" else "/api/v1/main"
    path = request["path"]
    if not case.startswith("auth_"):
        path = prepared(fake, root, case, path)
    body = request.get("body")
    if isinstance(body, (list, dict)):
        body = json.dumps(body)
    headers = {"Content-Type": request["content_type"]} if "content_type" in request else {}
    return requests.request(
        request["method"],
        HOST + path,
        data=body.encode() if body else None,
        headers=headers,
        allow_redirects=False,
        timeout=9,
    )


def comparable(text):
    """A text without what differs from run to run, or is the sentence of a library."""
    text = re.sub(r"\b(execution\d+|[0-9A-Za-z]{20,22})\b", "(id)", text)
    text = re.sub(r"(?<=:\d\d)\.\d+Z", "Z", text)  # 0.21 keeps milliseconds
    text = re.sub(r"(?<=/inputs/file/)[^\"]*", "(name)", text)
    text = re.sub(
        r"(?s)(errors:|Cause:|due to:|No enum constant|could not be parsed).*", r"\1", text
    )
    text = re.sub(r"(?s)(Invalid input for `\w+`)(?!.*missing).*", r"\1", text)
    text = re.sub(r"at index \d+: .*", "at index", text)
    text = re.sub(r"(?s)SQL \[.*", "SQL", text)
    return re.sub(r"Not Found: \S+ \(", "Not Found: … (", text)


def summary(body):
    """What of a response's body is compared."""
    if isinstance(body, list):
        return "a list"
    if not isinstance(body, dict):
        return None if "\n" in str(body) else comparable(str(body))
    if "state" in body:
        return described(body)
    if "results" in body:
        return [sorted(each) and "an execution" for each in body["results"]][:1]
    listed = body.get("_embedded", {}).get("errors", [])
    paths = sorted(each["path"] for each in listed)
    return body.get("version"), comparable(body.get("message", "")), paths


def described(execution):
    inputs = {k: v for k, v in execution.get("inputs", {}).items() if v is not None}
    labels = {each["key"]: each["value"] for each in execution["labels"]}
    labels.pop("system.replayed", None)
    return {
        "state": execution["state"]["current"],
        "inputs": comparable(json.dumps(inputs, sort_keys=True)),
        "labels": comparable(json.dumps(labels, sort_keys=True)),
        "scheduleDate": str(execution.get("scheduleDate"))[:16],
    }


@pytest.mark.parametrize(
    ("case", "engine", "request_", "response"),
    EXCHANGES,
    ids=[f"{case}-{engine}" for case, engine, *_ in EXCHANGES],
)
def test_it_answers_as_recorded(case, engine, request_, response, environment):
    """The status is the same, and so are the message, the paths of errors, inputs and labels."""
    with populated(engine, case) as fake:
        answer = asked(fake, engine, case, request_)
    assert answer.status_code == response["status"]
    wanted = response.get("body")
    kind = response["headers"].get("content-type", "")
    if kind == "application/json":
        assert summary(answer.json()) == summary(wanted)
    assert answer.headers.get("content-type", "") == kind
    for name in ("www-authenticate",):
        assert answer.headers.get(name) == response["headers"].get(name)


# --- 2.0, and what of it was repeated on 1.3 ---

# What is not imitated, or not so.
OTHER_NEWER = {
    "auth_notenant_exec": "before there was any execution",
    "search_q_label": "the text was in an id",
    "auth_notenant_exec_post": "of the flow `hello`, as all the others",
    "logs_loop_parent": "1.3 has no loops",
    "search_child": "the fake has no subflows",
    "search_scope_user": "there is no other scope",
    "search_tr": "time ranges are not imitated",
    "search_tr_old": "likewise",
    "search_tr_p": "likewise",
    "search_trigexec": "the fake has no subflows",
    "search_unknown_param": "on 1.3, not imitated",
}
NEWER_EXCHANGES = [
    (case, *exchange)
    for case in sorted(NEWER.keys() - OTHER_NEWER)
    for exchange in exchanges(case, of=NEWER)
]
TYPES = {
    **{
        name: {"type": kind, "required": False}
        for name, kind in {
            "i": "INT",
            "a": "ARRAY",
            "b": "BOOL",
            "d": "DATE",
            "dt": "DATETIME",
            "du": "DURATION",
            "em": "EMAIL",
            "f": "FLOAT",
            "fi": "FILE",
            "j": "JSON",
            "s": "STRING",
            "sec": "SECRET",
            "t": "TIME",
            "u": "URI",
            "y": "YAML",
        }.items()
    },
    "sel": {"type": "SELECT", "values": ["A", "B"], "required": False},
    "mu": {"type": "MULTISELECT", "values": ["A", "B"], "required": False},
}
# States in which an answer may or may not see an execution.
PASSING = {"CREATED": "RUNNING", "PAUSED": "RUNNING", "RESTARTED": "RUNNING"}
MISSING = [("lab.team", "nope"), ("nope", "pause")]


def script(inputs):
    Kestra.logger().info("Wörld")
    Kestra.logger().warning("3 rows had no key ü")
    for _ in range(9):
        Kestra.logger().debug("Command succeed with exit code 0")
    for name in ("g", "load", "rows", "t2"):
        Kestra.gauge(name, 1.5)
    return {"o": {"a": 1, "n": None}, "r.txt": b"report"}


def newer(engine, case):
    """A fake with the flows of the recordings of 2.0, each executed once."""
    credentials = {"user": "jane", "password": "s3cret"} if "none" in case else {}
    fake = FakeKestra(version=engine, **credentials)
    name = {"type": "STRING", "defaults": "Wörld"}
    fake.flow("lab.team", "hello", inputs={"name": name}, tasks=["log", "ret"])
    fake.flow("lab.team", "need", inputs={"day": "DATE", "s": "STRING"})
    fake.flow("lab.team", "off", disabled=True)
    fake.flow("lab.team", "types", inputs=TYPES)
    day = {"type": "DATE", "defaults": "2026-01-31"}
    fake.flow("lab.team", "script", script, inputs={"day": day}, tasks=["py"])
    fake.flow("lab.team", "fail", fail, tasks=["first", "boom"])
    fake.flow("lab.team", "sleep", inputs={"d": "DURATION"}, states=[("RUNNING", math.inf)])
    fake.flow("lab.team", "pausing", states=["PAUSED"], on_resume={"reason": "STRING"})
    loops = {"each": (["a", "b"], "inner", script)} if engine == "2.0" else {}
    fake.flow("lab.team", "each", lambda _: {"o": 1}, tasks=["each", "vals"], loops=loops)
    fake.flow("company.team.deep", "sub")
    for namespace, flow in MISSING:
        fake.missing(namespace, flow)
    return fake


def newer_subject(case):
    by_part = {
        "search_parent": "each",
        "loop_child_outputs": "hello",
        "loop": "each",
        "each": "each",
        "labels_running": "sleep",
        "kill": "sleep",
        "follow_running": "sleep",
        "resume_finished": "hello",
        "resume": "pausing",
        "restart_finished": "hello",
        "restart": "fail",
        "replay_rev99": "fail",
        "replay_bad": "fail",
        "file": "script",
        "logs": "script",
        "metrics": "script",
        "outputs": "script",
        "exec_get_script": "script",
    }
    return next((flow for part, flow in by_part.items() if part in case), "hello")


def started(flow, inputs=(), namespace="lab.team", query=""):
    url = f"{HOST}/api/v1/main/executions/{namespace}/{flow}?{query}"
    files = {name: (None, value) for name, value in dict(inputs).items()}
    return requests.post(url, files=files or None, timeout=9).json()["id"]


def newer_path(fake, case, path):
    """The path of a request, with executions of the fake's where those of the server were."""
    flow = newer_subject(case)
    subject = started(flow, {"d": "PT30S"} if flow == "sleep" else {})
    if case.startswith("search") or case in {"loop_logs_search_parent", "auth_notenant_exec"}:
        started("fail", query="labels=grp:q5&labels=run:a1&labels=team:red")
        started("sleep", {"d": "PT30S"})
        started("sub", namespace="company.team.deep")
        started("hello", query="labels=system.correlationId:correlation-1")
        started("each")
    fake.sleep(9)
    if case == "kill_after":
        requests.delete(f"{HOST}/api/v1/main/executions/{subject}/actions/kill", timeout=9)
        fake.sleep(9)
    if case == "resume_again":
        url = f"{HOST}/api/v1/main/executions/{subject}/actions/resume"
        requests.post(url, files={"reason": (None, "ok")}, timeout=9)
    if case == "file_get":
        path = re.sub(r"path=.*", f"path={fake.executions[0].outputs['r.txt']}", path)
    path = re.sub(r"2026-11-26T[\d:.]+", "2099-01-01T00:00:00", path)
    path = path.replace("company.team.deep", "(deep)").replace("company.team", "lab.team")
    path = path.replace("(deep)", "company.team.deep")
    if "outputs/tasks/" in path:  # the run of a task
        path = re.sub(r"(tasks/[^/]+/)\w{20,}", rf"\1{subject}-py", path)
    if "[taskRunId]" in path:
        path = re.sub(r"=\w{20,}", f"={subject}-py", path)
    if case.startswith("loop_"):
        subject += "-each-0" if case != "loop_child_outputs" else ""
    return re.sub(
        r"(?<![0-9A-Za-z-])(?=[a-z]*[A-Z0-9])[0-9A-Za-z]{20,22}(?![0-9A-Za-z])", subject, path
    )


def newer_request(fake, case, request):
    path = newer_path(fake, case, request["path"]) if "none" not in case else request["path"]
    body, arguments = request.get("body"), {}
    if isinstance(body, dict) and "multipart" in body:
        arguments["files"] = {
            name: (value["filename"], b"x" * value["bytes"])
            if isinstance(value, dict)
            else (None, value.encode())
            for name, value in body["multipart"].items()
        }
    elif isinstance(body, list):
        arguments["json"] = body
    elif body:
        arguments |= {"data": body, "headers": {"Content-Type": request["content_type"]}}
    return requests.request(
        request["method"], HOST + path, allow_redirects=False, timeout=9, **arguments
    )


def newer_summary(body):
    """What of a body is compared: what a client may look at."""
    if isinstance(body, list):
        return "a list", sorted(body[0]) if body else "an empty one"
    if not isinstance(body, dict):
        return comparable(str(body))[:60]
    if "state" in body:
        return execution_summary(body)
    if "results" in body:
        return body["total"] > 0, [execution_keys(each) for each in body["results"][:1]]
    if "message" in body:
        listed = body.get("_embedded", {}).get("errors", [])
        message = comparable(
            re.split(r"\. |, expected| \[DELETE|Field|Label|Operation", body["message"])[0]
        )
        return message, [each["path"] for each in listed]
    return sorted(body.keys() - {"outputFiles"})


def execution_keys(shown):
    told = {"taskRunList", "kind", "parentId", "executionKind", "message", "state"}
    return sorted(told & shown.keys())


def execution_summary(shown):
    inputs = {k: v for k, v in shown.get("inputs", {}).items() if v is not None}
    runs = shown.get("taskRunList") or [{}]
    differing = {"attempts", "parentTaskRunId", "state"}
    return {
        "state": PASSING.get(shown["state"]["current"], shown["state"]["current"]),
        "inputs": {k: v for k, v in inputs.items() if k not in {"fi", "sec", "y"}},
        "keys": sorted(shown.keys() & {"kind", "parentId", "deleted", "outputs", "url"}),
        "scheduleDate": str(shown.get("scheduleDate"))[:10],
        "run": sorted(runs[0].keys() - differing) or None,
    }


@pytest.mark.parametrize(
    ("version", "kind", "value", "message"),
    [
        ("2.0", "DATE", "x", "Cannot convert value 'x' to LocalDate"),
        ("2.0", "INT", "x", "Cannot convert value 'x' to Integer"),
        ("1.3", "INT", "abc", 'For input string: "abc"'),
        ("1.3", "EMAIL", "x", "The input must be a valid email"),
        ("1.3", "MULTISELECT", '["Z"]', "value `Z` doesn't match the values `[A, B, C]`"),
        ("1.3", "DATETIME", "2024-01-02", "Text '2024-01-02' could not be parsed"),
        ("1.3", "DURATION", "90", "Text cannot be parsed to a Duration"),
        ("0.21", "INT", "1.5", 'For input string: "1.5"'),
        ("0.21", "MULTISELECT", '["Z"]', "it must match the values `[A, B, C]`"),
        ("0.21", "DATETIME", "2024-01-02", "Expected `DATETIME` but received `2024-01-02` with"),
    ],
)
def test_the_words_for_bad_values_are_those_that_were_recorded(version, kind, value, message):
    values = {"values": ["A", "B", "C"]} if kind.endswith("SELECT") else {}
    with FakeKestra(version=version) as fake:
        fake.flow("lab", "typed", inputs={"in": {"type": kind, **values}})
        root = "/api/v1" if version == "0.21" else "/api/v1/main"
        url, files = f"{HOST}{root}/executions/lab/typed", {"in": (None, value)}
        answer = requests.post(url, files=files, timeout=9)
    assert answer.status_code == 422
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("case", "engine", "request_", "response"),
    NEWER_EXCHANGES,
    ids=[f"{case}-{engine}" for case, engine, *_ in NEWER_EXCHANGES],
)
def test_it_answers_as_2_0_was_recorded(case, engine, request_, response, environment):
    """The status is the same, and so is what a client may look at in the body."""
    with newer(engine, case) as fake:
        answer = newer_request(fake, case, request_)
    assert answer.status_code == response["status"], answer.text
    kind = response["headers"].get("content-type", "")
    assert answer.headers.get("content-type", "") == kind
    if kind == "application/json":
        wanted, actual = newer_summary(response["body"]), newer_summary(answer.json())
        if "state" in response["body"] and not (actual["run"] and wanted["run"]):
            del actual["run"], wanted["run"]  # before or after the task has begun
        if case == "restart_rev":
            del actual["state"], wanted["state"]  # it had failed again when it was answered
        assert actual == wanted
    for name in ("www-authenticate", "cache-control"):
        if engine == "2.0" and "file" not in case:
            assert answer.headers.get(name) == response["headers"].get(name)
