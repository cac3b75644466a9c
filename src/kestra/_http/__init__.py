"""A request to the server, with all its attempts, and the answer or the error that comes of it.

`transport` makes the attempts: `session` sends one through `adapter`, `retry` says whether and
when there is another, `creation` how an execution is found whose creation was not answered.
`multipart` is what a form sends, `credentials` who sends it. `answers`, `download`, and `stream`
with its `events`, read what comes back; `account` tells what went wrong, as one of `api_errors`.
"""
