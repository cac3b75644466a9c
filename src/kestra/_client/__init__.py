"""What `Flow` is made of; `parts` says what its parts have in common.

`executions`, `inputs` and `results` say, without I/O, where to send what, and what answers mean.
`waiting` waits for an end, `reading` sees what there is, `steering` acts. `following` goes by the
streams of events: `channels` keeps them open, `seen` tells what is new. `many` executes many:
`schedule` says who is next, `jobs` what is sent, `batch` who is looked at together, `workers` send.
"""
