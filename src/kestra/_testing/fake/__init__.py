"""A Kestra server that is none: what `kestra.testing.FakeKestra` is made of.

From the outside in: `server`, which users call; `faults`, what goes wrong on the way; `routes`, the
REST API, with `search`, `labels` and `shown` for its requests and answers; `engine`, the flows and
executions; `executions`, the states that one goes through; `inputs`, what is read from what was
sent; `task`, the call of a flow's function. All of it runs on the time of `clock`.

How a server behaves was measured on 0.21.0 and 1.3.31; for 2.0 it is what its description says.
"""
