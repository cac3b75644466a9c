"""`FakeKestra` against the recorded exchanges: asked the same, it answers the same."""

import json
import math
import re
from urllib.parse import unquote

import pytest
import requests
from rest import CASES, exchanges

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
    text = re.sub(r"(?s)(errors:|Cause:|due to:|No enum constant|could not be parsed).*", r"\1", text)
    text = re.sub(r"(?s)(Invalid input for `\w+`)(?!.*missing).*", r"\1", text)
    text = re.sub(r"at index \d+: .*", "at index", text)
    return re.sub(r"Not Found: \S+ \(", "Not Found: … (", text)


def summary(body):
    """What of an answer's body is compared."""
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
