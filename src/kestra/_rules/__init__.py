"""What to do next, as async functions that perform no input or output themselves.

Each takes an `io` (see `io.IO`) that performs them. A test can give it an `io` of a few lines that
returns responses from a list.
"""
