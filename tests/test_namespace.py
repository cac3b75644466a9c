"""How a `Namespace` finds its name, its tenant and its server."""

import json

import pytest
from namespaces import namespace

from kestra import AsyncNamespace, Flow, Namespace
from kestra.exceptions import (
    ConnectionFailed,
    ExecutionContextNotFound,
    InvalidExecutionContext,
    MalformedResponse,
)

CONTEXT = {
    "flow": {"id": "report", "namespace": "company.team", "tenantId": "acme"},
    "kestra": {"url": "https://kestra.example.com/"},
}


@pytest.fixture
def in_task(monkeypatch, tmp_path):
    """Return what writes the execution context of a task."""
    monkeypatch.chdir(tmp_path)
    for name in ("KESTRA_HOSTNAME", "KESTRA_TENANT", "KESTRA_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KESTRA_EXECUTION_CONTEXT_FILE", str(tmp_path / "context.json"))

    def write(context=CONTEXT):
        (tmp_path / "context.json").write_text(json.dumps(context))

    return write


def test_in_a_task_it_is_the_namespace_of_the_flow(in_task):
    in_task()
    ns = Namespace()
    assert repr(ns) == (
        "Namespace('company.team', hostname='https://kestra.example.com/' "
        "(from kestra.url of the execution context), tenant='acme')"
    )


@pytest.mark.parametrize("face", [Namespace, AsyncNamespace])
def test_what_is_said_of_a_wrong_argument(face):
    with pytest.raises(TypeError, match=rf"^{face.__name__}\(\) has no argument 'host': did you m"):
        face("company.team", host="http://x")
    with pytest.raises(TypeError, match=r"'idempotent': the arguments are name, tenant, hostname"):
        face("company.team", idempotent=True)


def test_the_environment_goes_before_the_execution_context(in_task, monkeypatch):
    in_task()
    monkeypatch.setenv("KESTRA_HOSTNAME", "http://kestra:8080")
    assert repr(Namespace()) == (
        "Namespace('company.team', hostname='http://kestra:8080' (from KESTRA_HOSTNAME), "
        "tenant='acme')"
    )
    monkeypatch.setenv("KESTRA_TENANT", "main")
    assert "tenant='main'" in repr(Namespace())
    assert "(from the argument hostname), tenant='x'" in repr(
        Namespace(hostname="http://other", tenant="x")
    )


def test_the_execution_context_counts_only_where_no_name_is_given(in_task):
    in_task()
    assert repr(Namespace("company")) == (
        "Namespace('company', hostname='http://localhost:8080' (from the default), tenant=None)"
    )


@pytest.mark.parametrize(
    "context", [{"flow": {"namespace": "a.b"}}, {"flow": {"namespace": "a.b"}, "kestra": 7}]
)
def test_an_execution_context_may_say_less(in_task, context):
    in_task(context)
    assert "'a.b', hostname='http://localhost:8080' (from the default), tenant=None" in repr(
        Namespace()
    )


def test_without_a_name_and_a_context_there_is_no_namespace(in_task):
    with pytest.raises(ExecutionContextNotFound, match="needs the name of a namespace"):
        Namespace()
    in_task({"flow": {}})
    with pytest.raises(InvalidExecutionContext, match=r"has no flow\.namespace"):
        Namespace()


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "é", "-a"])
def test_what_cannot_be_a_namespace_is_refused(name):
    with pytest.raises(ValueError, match="name must be the name of a namespace"):
        Namespace(name)
    with pytest.raises(ValueError, match="name must be the name of a namespace"):
        Flow().namespace(name)
    with pytest.raises(TypeError, match="not int"):
        Namespace(7)


def test_a_namespace_of_a_flow_shares_its_connections():
    flow = Flow(hostname="http://kestra:8080", api_token="secret")
    ns = flow.namespace("company.team")
    assert ns.name == "company.team"
    assert repr(ns) == (
        "Namespace('company.team', hostname='http://kestra:8080' (from its Flow), tenant=None)"
    )
    assert repr(ns.kv) == f"{ns!r}.kv"
    ns.close()
    flow.tenant = "acme"
    assert "tenant='acme'" in repr(ns)


def test_an_error_says_where_the_address_came_from(in_task, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    in_task()
    with (
        pytest.raises(ConnectionFailed, match=r"from kestra\.url of the execution context"),
        Namespace(proxies={"https": "http://127.0.0.1:9"}, retries=1) as ns,
    ):
        ns.kv["x"]


def test_a_wrong_address_says_where_it_came_from(in_task):
    """Nobody has given the argument that is named."""
    in_task({"flow": {"namespace": "a.b"}, "kestra": {"url": "kestra:8080"}})
    said = (
        r"^hostname must begin with .*; the address is from kestra\.url of the execution context$"
    )
    with pytest.raises(ValueError, match=said):
        Namespace().kv["x"]
    ns, _ = namespace((200, b"<html>Log in</html>"))
    with pytest.raises(MalformedResponse, match=r"; the address is from the default$"):
        ns.kv["x"]
    with pytest.raises(ValueError, match=r"250 characters long: 'a/b'$"):
        ns.kv["a/b"]


def test_the_tenant_is_learned_before_a_404_has_two_meanings():
    ns, server = namespace(
        (200, {"version": "2.0.0", "edition": "OSS"}), (200, {"type": "NUMBER", "value": 1}),
        (404, {"message": "Not Found: No value found for key 'y' in namespace 'company.team'"}),
        tenant=None,
    )  # fmt: skip
    assert ns.kv["x"] == 1
    assert "y" not in ns.kv
    assert [each.line for each in server.sent] == [
        "GET /api/v1/configs",
        "GET namespaces/company.team/kv/x",
        "GET namespaces/company.team/kv/y",
    ]


def test_a_server_of_0_21_has_no_tenant():
    ns, server = namespace((200, {"version": "0.21.0"}), (200, {"value": 1}), tenant=None)
    assert ns.kv["x"] == 1
    assert server.sent[1].path == "/api/v1/namespaces/company.team/kv/x"


def test_a_server_that_does_not_say_its_version_is_asked_in_both_places():
    ns, server = namespace(
        (401, None), (404, {"message": "Not Found"}), (200, {"value": 1}), (200, {"value": 2}),
        tenant=None,
    )  # fmt: skip
    assert ns.kv["x"] == 1
    assert ns.kv["y"] == 2
    assert server.sent[2].path == "namespaces/company.team/kv/x"
    assert server.sent[3].path == "namespaces/company.team/kv/y"


def test_a_name_that_cannot_be_one_is_refused_before_anything_is_sent():
    ns, server = namespace(tenant=None)
    for call in (
        lambda: ns.flows.get("a/b"),
        lambda: ns.flows.delete(".."),
        lambda: ns.webhook("a/b", "k"),
        lambda: ns.webhook("a", ""),
        lambda: ns.kv["a/b"],
    ):
        with pytest.raises(ValueError, match="must"):
            call()
    assert not server.sent
