"""A Kestra server inside of a test: what `kestra.testing.FakeKestra` is made of.

From the outside in: `server` is what users call; `interception` brings the requests of this process
here; `faults` are what goes wrong on the way; `api` finds the route of a request, and
`executions_api` and `results_api` are the routes, with `messages`, `refused`, `labels`, `search`
and `shown` for what they read and write; `engine` and `actions` keep the flows and executions;
`execution` holds the states that one goes through; `inputs` reads what was sent; `task` calls a
flow's function. All of it runs on the time of `clock`.

How servers behave was measured on 0.21.0, 1.3.31 and 2.0.0.
"""
