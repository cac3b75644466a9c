"""The commands of `python -m kestra`.

`arguments` says what they are given, and imports nothing that `run` has no use for. `commands`
carries out those that talk to a server; what they show goes through `lines`, or, on a terminal,
through `live`.
"""
