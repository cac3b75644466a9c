"""A Kestra server inside of a test: what `kestra.testing.FakeKestra` is made of.

From the outside in: `server` is what users call; `stand_ins` are what it puts in the place of the
clock and the network; `api` finds the route of a request, which is in one of the modules `*_api`,
with `messages`, `search` and `shown` for what they read and write; `engine` keeps the flows and
executions; `execution` holds the states that one goes through; `inputs` reads what was sent;
`task` calls a flow's function. How servers behave was measured on 0.21.0, 1.3.31 and 2.0.0.
"""
