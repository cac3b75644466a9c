"""Where requests go, and what responses mean."""

from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest import exchanges

from kestra import Flow
from kestra._api.dialects import BEFORE_2, FROM_2, search_queries
from kestra._api.forms import creation_query
from kestra._api.models import CORRELATION, OTHER_STATES, TERMINAL_STATES
from kestra._api.parsing import labels_on, state_of
from kestra._api.servers import Server, base_url, segment, ui_root, ui_url, under_main
from kestra._rules.creation import Creation, without_correlation
from kestra._rules.io import Request, Settings


def creation_of(method, url):
    return Creation.of(Request(method, url, Settings(), {}))


POST = "http://h/api/v1/executions/company.team/my-flow"


# --- where ---


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("company.team", "company.team"),
        ("a b", "a%20b"),
        ("é", "%C3%A9"),
        ("a?b#c%", "a%3Fb%23c%25"),
        (7, "7"),
        ("...", "..."),
    ],
)
def test_names_are_quoted(value, quoted):
    """A name stays one segment of the path, whatever characters are in it."""
    assert segment("flow", value) == quoted


@pytest.mark.parametrize("value", ["", ".", "..", "../..", "a/b", "a\\b", "a\nb", "\x00", None])
def test_names_that_would_leave_their_place_are_refused(value):
    """No name leads to another path; the error says which argument it was."""
    with pytest.raises(ValueError, match=r"^namespace must "):
        segment("namespace", value)


@given(st.text())
def test_no_name_leads_elsewhere(name):
    """Whatever a name is, it is refused, or the path has as many segments as before."""
    try:
        quoted = segment("flow", name)
    except ValueError:
        return
    parts = urlsplit(f"http://h/a/{quoted}/b")
    assert parts.path.split("/") == ["", "a", quoted, "b"]
    assert not (parts.query)
    assert not (parts.fragment)


@pytest.mark.parametrize(
    ("hostname", "base"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://kestra.example.com/", "https://kestra.example.com"),
        ("https://example.com/kestra/", "https://example.com/kestra"),
        (" http://h\n", "http://h"),
        ("http://user:pass@h", "http://user:pass@h"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_hostname_may_end_in_a_slash_or_a_path(hostname, base):
    """An address is taken as people write it."""
    assert base_url(hostname) == base


@pytest.mark.parametrize(
    ("hostname", "error", "message"),
    [
        ("localhost:8080", ValueError, "must begin with .*, as in 'https://localhost:8080'"),
        ("kestra.example.com", ValueError, "must begin with http://"),
        ("ftp://h", ValueError, "must begin with http://"),
        ("user:secret@host", ValueError, "must begin with .*, as in 'https://host'"),
        ("http://", ValueError, "must name a host"),
        ("http://[oops", ValueError, "must be a URL"),
        ("http://h/?token=secret", ValueError, "must not contain '\\?' or '#'"),
        (None, TypeError, "must be a string"),
        (b"http://user:secret@host", TypeError, "not bytes"),
    ],
)
def test_a_hostname_that_is_none_is_refused(hostname, error, message):
    """The error says what is missing, and shows no credentials."""
    with pytest.raises(error, match=message) as caught:
        base_url(hostname)
    assert "secret" not in str(caught.value)


def test_paths_with_and_without_a_tenant(environment):
    """A tenant comes right after the version, quoted."""
    flow = Flow()
    assert flow.API_ENDPOINT_EXECUTION_CREATE == "/api/v1/executions/{namespace}/{flow_id}"
    assert flow.API_ENDPOINT_EXECUTION_STATUS == "/api/v1/executions/{execution_id}"
    assert flow.API_ENDPOINT_EXECUTION_LOG == "/api/v1/logs/{execution_id}/download"
    flow.tenant = "my tenant"
    assert flow.API_ENDPOINT_EXECUTION_LOG == "/api/v1/my%20tenant/logs/{execution_id}/download"
    with pytest.raises(ValueError, match=r"^tenant must "):
        flow.tenant = "../x"


def test_a_path_without_a_tenant_has_a_counterpart_under_main():
    """Only a path of the API has one, and only if it is not there already."""
    assert under_main("http://h/k/api/v1/executions/x", "http://h/k") == (
        "http://h/k/api/v1/main/executions/x"
    )
    assert under_main("http://h/api/v1/main/executions/x", "http://h") is None
    assert under_main("http://h/other", "http://h") is None
    assert under_main("http://elsewhere/api/v1/x", "http://h") is None


def test_the_address_in_the_user_interface():
    """The address is the one that the server itself gives, with and without a tenant."""
    for _, _, response in exchanges("labels_system_correlation"):
        execution = response["body"]
        base, _, rest = execution["url"].partition("/ui/")
        tenant = "main" if rest.startswith("main/") else None
        names = (execution["namespace"], execution["flowId"], execution["id"])
        assert ui_url(ui_root(base, tenant), *names) == execution["url"]


# --- what ---


def test_labels_are_percent_encoded():
    """No character of a label means anything in the query."""
    query = creation_query({"k": "a&b=c#d e+é", "time": "10:30"}, None, None)
    assert parse_qs(query[1:]) == {"labels": ["k:a&b=c#d e+é", "time:10:30"]}
    assert "#" not in query
    assert "+" not in query


@pytest.mark.parametrize(
    ("given_date", "sent"),
    [
        (datetime(2030, 1, 1, tzinfo=timezone.utc), "2030-01-01T00:00:00%2B00:00"),
        (datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2030-01-01T00:00:00%2B02:00"),
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00%2B00:00"),
        ("2030-01-01T00:00:00+02:00", "2030-01-01T00:00:00%2B02:00"),
    ],
)
def test_a_schedule_date_is_never_ignored(given_date, sent):
    """A raw `+`, or no offset, would make the server run the flow at once."""
    assert creation_query({}, None, given_date) == f"?scheduleDate={sent}"


@pytest.mark.parametrize(
    ("revision", "schedule_date", "error"),
    [
        ("abc", None, TypeError),
        (True, None, TypeError),
        (0, None, ValueError),
        (None, "2030-01-01T00:00:00", ValueError),
        (None, "tomorrow", ValueError),
        (None, 5, TypeError),
    ],
)
def test_what_the_server_would_ignore_is_refused(revision, schedule_date, error):
    """A revision that is no number and a date without an offset are silently ignored there."""
    with pytest.raises(error, match=r"^(revision|schedule_date) must "):
        creation_query({}, revision, schedule_date)


def test_nothing_to_say_means_no_query():
    """Without labels, revision and date, the URL ends with the path."""
    assert creation_query({}, None, None) == ""
    assert creation_query({}, 3, None) == "?revision=3"


# --- finding an execution again ---


def test_a_creation_is_recognised_by_its_url():
    """Namespace, flow, correlation id and the address of the search are all in the URL."""
    url = "http://h/k/api/v1/main/executions/company.team/my%20flow?revision=1&labels="
    creation = creation_of("post", f"{url}{CORRELATION}%3Aabc&labels=a:b")
    assert creation == Creation(
        "company.team", "my flow", "abc", "http://h/k/api/v1/main/executions/search"
    )


@pytest.mark.parametrize("root", ["/api/v1", "/api/v1/main", "/executions/api/v1/executions"])
@pytest.mark.parametrize("names", ["executions/f", "n/executions", "executions/executions"])
def test_a_creation_is_recognised_whatever_its_names_are(root, names):
    """A namespace, a flow, a tenant or a path of the server may be called `executions`."""
    url = f"http://h{root}/executions/{names}?labels={CORRELATION}:x"
    namespace, _, flow = names.partition("/")
    search = f"http://h{root}/executions/search"
    assert creation_of("POST", url) == Creation(namespace, flow, "x", search)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", f"{POST}?labels={CORRELATION}:x"),
        ("POST", POST),
        ("POST", f"{POST}?labels=a:b"),
        ("POST", f"http://h/api/v1/executions/x?labels={CORRELATION}:x"),
        ("POST", f"http://h/api/v1/executions/x/y/z?labels={CORRELATION}:x"),
        ("POST", f"http://h/other/x/y?labels={CORRELATION}:x"),
        ("POST", f"http://h/api/v1/executions//y?labels={CORRELATION}:x"),
        ("POST", f"http://h?labels={CORRELATION}:x"),
        *(
            ("POST", f"http://h/api/v1/executions/executions{place}/{action}?revision=2")
            for place in ("", "/actions")
            for action in ("restart", "replay", "kill", "pause", "resume", "labels")
        ),
    ],
)
def test_other_requests_are_no_creations(method, url):
    """What cannot be found again, or creates nothing, is not taken for a creation."""
    assert creation_of(method, url) is None


def test_the_label_can_be_taken_out_again():
    """Only the correlation label goes."""
    assert without_correlation(f"{POST}?labels={CORRELATION}:x") == POST
    assert without_correlation(f"{POST}?labels={CORRELATION}%3Ax&labels=a:b&revision=1") == (
        f"{POST}?labels=a:b&revision=1"
    )


@pytest.mark.parametrize("dialect", [None, BEFORE_2, FROM_2])
def test_a_search_is_asked_in_the_words_that_the_server_may_know(dialect):
    """All from 1.x on know `filters`, and 2.0 knows nothing else; 0.21 knows plain names only."""
    server = Server("http://h", dialect=dialect)
    asked = {"labels": {CORRELATION: "a b"}, "startDate": ("GREATER_THAN", "x"), "flowId": "f"}
    queries = [query for _, query in search_queries(server, asked, size=1)]
    assert queries[0] == {
        f"filters[labels][EQUALS][{CORRELATION}]": "a b",
        "filters[startDate][GREATER_THAN]": "x",
        "filters[flowId][EQUALS]": "f",
        "size": 1,
    }
    plain = {"labels": f"{CORRELATION}:a b", "startDate": "x", "flowId": "f", "size": 1}
    assert queries[1:] == ([] if dialect is FROM_2 else [plain])


def test_a_form_that_was_understood_is_the_only_one():
    """A server of 0.21 is not asked twice each time."""
    server = Server("http://h")
    old, _ = list(search_queries(server, {"flowId": "f"}))[1]
    server.search_form = old
    assert [query for _, query in search_queries(server, {"flowId": "f"})] == [{"flowId": "f"}]


def execution(name, start="2026-01-01T00:00:00Z", flow="f", namespace="n", **labels):
    labels = {CORRELATION: "c", **{k.replace("_", "."): v for k, v in labels.items()}}
    return {
        "id": name,
        "namespace": namespace,
        "flowId": flow,
        "labels": [{"key": k, "value": v} for k, v in labels.items()],
        "state": {"startDate": start},
    }


CREATION = Creation("n", "f", "c", "http://h/executions/search")


def test_only_the_execution_that_was_asked_for_is_found():
    """Subflows, replays, other flows and other labels are passed over."""
    mine = execution("mine", "2026-01-01T00:00:05Z")
    others = [
        execution("subflow", flow="g"),
        execution("elsewhere", namespace="m"),
        execution("replay", system_replay="true"),
        {**execution("unlabelled"), "labels": []},
        {**execution("nameless"), "id": None},
        "nonsense",
    ]
    assert CREATION.found_in([*others, mine]) is mine
    assert CREATION.found_in(others) is None


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.528899545Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"),
        ("2026-01-01T00:00:00.9Z", "2026-01-01T00:00:01Z"),
        ("2026-01-01T00:00:00Z", None),
    ],
)
def test_of_several_the_earliest_is_found(earlier, later):
    """A subflow of the same flow started later; fractions of a second have any number of digits."""
    first, second = execution("first", earlier), execution("second", later)
    assert CREATION.found_in([second, first]) is first


def test_recorded_executions_are_found_by_their_label():
    """The execution of a creation's response is recognised in a search."""
    for _, _, response in exchanges("labels_system_correlation"):
        created = response["body"]
        creation = Creation(created["namespace"], created["flowId"], "abc123", "http://h/search")
        assert creation.found_in([created]) is created


def test_recorded_replays_are_not_found():
    """A replay inherits the label of what it replays, and bears one more."""
    for _, _, response in exchanges("replay_success"):
        replay = response["body"]
        correlation_id = labels_on(replay)[CORRELATION]
        creation = Creation(
            replay["namespace"], replay["flowId"], correlation_id, "http://h/search"
        )
        assert creation.bears_label(replay)
        assert creation.found_in([replay]) is None


def test_labels_may_be_an_object():
    """Old servers show labels as an object."""
    assert labels_on({"labels": {"a": "b"}}) == {"a": "b"}
    assert labels_on({}) == {}
    assert labels_on({"labels": ["odd"]}) == {}


# --- answers ---


def test_the_state_of_recorded_executions():
    """The state is where every version has it."""
    states = [state_of(response["body"]) for _, _, response in exchanges("exec_get")]
    assert states == ["WARNING", "SUCCESS"]


@pytest.mark.parametrize("body", [None, [], {}, {"state": "SUCCESS"}, {"state": {"current": None}}])
def test_what_has_no_state_has_none(body):
    """Any other response has no state, and is not an error here."""
    assert state_of(body) is None


def test_a_state_is_terminal_or_not():
    """Eight states end a wait, RESUBMITTED among them."""
    assert len(TERMINAL_STATES) == 8
    assert not TERMINAL_STATES & OTHER_STATES
