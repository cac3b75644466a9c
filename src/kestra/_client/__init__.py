"""What `Flow` is made of.

`executions`, `inputs` and `results` say, without I/O, where to send what, and what answers mean.
`client` sends it, and is the base of the parts: `reading` sees what there is, `steering` acts,
`lifecycle` creates an execution and says how it ended, for which `waiting` waits. `following` goes
by the streams of events: `channels` keeps them open, `seen` tells what is new. `many` executes
many: `outcomes` has what is asked for and comes of it, `schedule` says who is next, `jobs` what is
sent, `batch` who is looked at together, and `workers` send.
"""
