"""The top-level module that `kestra` 2.0.0 installed: the same classes as `kestra.exceptions`.

Kept so that `from exceptions import FailedExponentialBackoff` goes on working. Nothing inside
the package imports it: a script may have an `exceptions.py` of its own beside it.
"""

from kestra.exceptions import FailedExponentialBackoff

__all__ = ["FailedExponentialBackoff"]
