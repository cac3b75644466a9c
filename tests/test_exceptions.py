"""The errors of the package: their tree, their laziness, and what they hold."""

import importlib
import inspect
import pickle
import subprocess
import sys

import pytest
import requests

import exceptions as published
from kestra import FlowExecution, exceptions
from kestra.exceptions import (
    APIError,
    AuthenticationError,
    ConnectionFailed,
    ConnectTimeout,
    ExecutionFailed,
    ExecutionTimeout,
    FailedExponentialBackoff,
    KestraError,
    MalformedResponse,
    NotFound,
    ReadTimeout,
    RequestTimeout,
)

ALL = [getattr(exceptions, name) for name in exceptions.__all__]


def test_every_error_is_a_kestra_error():
    """`except KestraError` catches every error of the package."""
    assert all(issubclass(error, KestraError) for error in ALL)


def test_the_tree_at_the_top_of_the_module_is_complete():
    """The docstring of the module draws every class, and nothing else."""
    drawn = set(inspect.getdoc(exceptions).split("Bad arguments")[0].replace("─", " ").split())
    assert {name for name in exceptions.__all__ if name not in drawn} == set()


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (APIError, requests.HTTPError),
        (AuthenticationError, requests.HTTPError),
        (ConnectionFailed, requests.ConnectionError),
        (ConnectTimeout, requests.ConnectionError),
        (ConnectTimeout, requests.Timeout),
        (ConnectTimeout, requests.ConnectTimeout),
        (ReadTimeout, requests.ReadTimeout),
        (ReadTimeout, RequestTimeout),
        (ConnectTimeout, RequestTimeout),
        (ConnectionFailed, FailedExponentialBackoff),
        (RequestTimeout, FailedExponentialBackoff),
        (MalformedResponse, ValueError),
        (ExecutionTimeout, TimeoutError),
    ],
)
def test_existing_handlers_catch_the_new_errors(error, base):
    """A handler written for what used to be raised catches what is raised now."""
    assert issubclass(error, base)


def test_importing_the_module_does_not_import_requests():
    """`requests` is imported when a class that needs it is first used, and not before."""
    code = (
        "import sys, kestra.exceptions as e\n"
        "assert 'requests' not in sys.modules and 'urllib3' not in sys.modules\n"
        "e.NotFound\n"
        "assert 'requests' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)


def test_the_published_module_holds_the_same_class():
    """`exceptions.FailedExponentialBackoff` is the class that is raised."""
    assert published.FailedExponentialBackoff is FailedExponentialBackoff


def test_every_name_can_be_listed_and_imported():
    """`dir` lists every error, and `import *` brings them."""
    assert set(dir(exceptions)) >= set(exceptions.__all__)
    namespace = {}
    exec("from kestra.exceptions import *", namespace)
    assert set(exceptions.__all__) <= set(namespace)


def test_an_unknown_name_is_an_attribute_error():
    """A name that the module does not have is missing as from any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Nope'"):
        importlib.import_module("kestra.exceptions").Nope  # noqa: B018


def test_the_classes_say_that_they_are_public():
    """A traceback shows `kestra.exceptions.NotFound`, whatever file it is written in."""
    assert {error.__module__ for error in ALL} == {"kestra.exceptions"}


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_can_be_made_with_a_message_only(error):
    """A test of a caller raises any of them with a text."""
    assert str(error("what happened")) == "what happened"


@pytest.mark.parametrize(
    "error",
    [
        FailedExponentialBackoff("f", attempts=5, status=503, message="m", correlation_id="c"),
        ConnectionFailed("c", attempts=5),
        ConnectTimeout("t", attempts=1),
        ExecutionTimeout("e", execution_id="x", state="RUNNING", timeout=3.5, killed=True),
        ExecutionFailed(
            "e",
            execution_id="x",
            status="FAILED",
            error="m",
            result=FlowExecution("x", "y", "", ""),
        ),
        NotFound("n", status=404, message="m", errors=(("i", "m"),), method="GET", path="/p"),
        MalformedResponse("m", status=200, method="GET", path="/p"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling(error):
    """An error that comes from another process tells as much as it did there."""
    error.execution_id = "x"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_pickled_error_leaves_the_request_and_its_credentials_behind():
    """The request behind an error bears the token; it does not travel."""
    response = requests.Response()
    response.request = requests.Request("GET", "http://x", headers={"a": "t0ken"}).prepare()
    error = NotFound("n", status=404, response=response)
    assert error.response is response
    assert error.request is response.request
    pickled = pickle.dumps(error)
    assert b"t0ken" not in pickled
    assert pickle.loads(pickled).response is None
