"""The commands of `python -m kestra`.

`arguments` and `run_arguments` parse the command line. `commands` carries out those that talk to a
server; what they show goes through `display`, or, on a terminal, through `live`. `run` runs a
script, with `files` and `flow_file`, and shows `run_report`.
"""
