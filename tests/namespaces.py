"""A session that answers from fixed exchanges, and the recordings of data/rest-namespaces.jsonl."""

import io
import json
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from rest import _cases
from urllib3 import HTTPResponse

from kestra import Namespace

RECORDED = _cases("rest-namespaces.jsonl")  # on 1.3 and 2.0
STORES = _cases("rest-stores.jsonl")  # on 0.21 and 1.3, and some on 2.0
ENGINES = ("1.3", "2.0")


@dataclass
class Sent:
    """A request as it was sent."""

    method: str
    path: str
    query: dict
    headers: dict
    body: bytes

    @property
    def line(self):
        return f"{self.method} {self.path}"


class Answers(BaseAdapter):
    """Answers requests in turn, and keeps them."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)
        self.sent = []

    def send(self, request, **_kwargs):
        url = urlsplit(request.url)
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        elif not isinstance(body, str | bytes):
            body = b"".join(body)
        body = body.encode() if isinstance(body, str) else body
        path = unquote(url.path).removeprefix("/api/v1/main/")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.sent.append(Sent(request.method, path, query, dict(request.headers), body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, content, *headers = answer
        if not isinstance(content, bytes):
            content = json.dumps(content).encode() if content is not None else b""
        response = requests.Response()
        response.status_code = status
        response.headers.update({"Content-Type": "application/json", **dict(*headers)})
        response.raw = HTTPResponse(io.BytesIO(content), status=status, preload_content=False)
        response.request = request
        response.url = request.url
        return response

    def close(self):
        pass


def recorded(case, engine):
    """Return the answer of a recorded exchange."""
    response = RECORDED[case][engine]["response"]
    body = response["body"]
    return response["status"], body.encode() if isinstance(body, str) else body


def namespace(*answers, name="company.team", **arguments):
    """Return a namespace whose server gives these answers, and what it keeps of the requests."""
    server = Answers(*answers)
    session = requests.Session()
    session.mount("http://", server)
    return Namespace(name, session=session, **{"tenant": "main", **arguments}), server
