"""One request with all its attempts, as `Flow` sends it."""

import math
from types import SimpleNamespace

import requests

from kestra._api.servers import Server
from kestra._http import stand_ins
from kestra._http.blocking import BlockingIO, run
from kestra._http.multipart import Upload
from kestra._rules import attempts
from kestra._rules.io import Request


def request(  # noqa: PLR0913  # what makes up a request
    sessions, method, url, settings, arguments, *, otherwise=None, within=math.inf
):
    """Send a request until there is a response; return it, and whether it was the other's."""
    io = BlockingIO(SimpleNamespace(_sessions=sessions, _server=Server("http://h")))
    files = None if {"data", "json"} & set(arguments) else arguments.get("files")
    asked = Request(method, url, settings, arguments, Upload(files) if files else None)
    asked.is_replaced = requests.request is not stand_ins.original_request
    asked.until = io.clock.now() + within
    if otherwise is None:
        return run(attempts.send(io, asked)), False
    return run(attempts.send_to_either(io, asked, otherwise))
