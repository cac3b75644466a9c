"""Requests over the network: what blocks for `Flow`.

`blocking` does what the rules ask for; `sessions` sends one request through `adapter`; `failures`
says what an exception of `requests` means; `stand_ins` knows what tests put in the network's place.
"""
