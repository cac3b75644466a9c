"""What to do next, as async functions that perform no input or output themselves.

Each takes an `io` (see `io.IO`) that does: that of `Flow` blocks, that of `AsyncFlow` awaits. A
test gives them one of a few lines that answers from a list.
"""
