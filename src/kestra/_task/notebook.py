"""A notebook that a task runs: frames go to the task, and the cell shows them.

What runs a notebook (papermill, nbconvert, `jupyter execute`) starts a kernel, which sends all that
is printed to it, to be kept in the notebook: no engine ever reads that. But the kernel has its
runner's standard output, and so that of the task. Standard error it has too, but there a progress
bar of papermill leaves its line open, which would swallow a frame.

The cell shows a frame after a space, so that it is none. Else a runner that prints the cells'
output too (`papermill --log-output`) would send it a second time.
"""

from __future__ import annotations

import os
from stat import S_ISCHR

from kestra._task.hooks import Gate, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kestra._task.sink import Sink

_outlets: dict[int, Sink] = {}  # by the descriptor that leads to the task


def deliver(sink: Sink, frame: str, target: Any, stdout: Any) -> bool:
    """Write a frame to the task; return False if the kernel belongs to none.

    `stdout` and `target` are what stands in the place of standard output, and of the sink's stream.
    """
    # A server that people work with names the notebook.
    if "WORKING_DIR" not in os.environ or "JPY_SESSION_NAME" in os.environ:
        return False
    stream = stdout if type(stdout) is type(target) else target
    # The kernel's own; what is printed below Python is led away from it.
    own: int | None = getattr(stream, "_original_stdstream_copy", None)
    descriptor = {"stdout": 1, "stderr": 2}[stream.name] if own is None else own
    if S_ISCHR(os.fstat(descriptor).st_mode):  # a terminal, or nowhere
        return False
    if descriptor not in _outlets:
        _outlets[descriptor] = _outlet(type(sink), descriptor)
    _outlets[descriptor].write_below(frame)
    target.write(f" {frame}\n")
    target.flush()
    return True


def _outlet(kind: type[Sink], descriptor: int) -> Sink:
    outlet = kind("", Gate())
    stream = os.fdopen(os.dup(descriptor), "w", encoding="utf-8")
    outlet.real = Stream(stream, outlet.gate, outlet.pass_on, line_is_open=False)
    if hasattr(os, "register_at_fork"):
        renewed = outlet.gate.lock._at_fork_reinit  # type: ignore[attr-defined]  # noqa: SLF001  # as in `sink`
        os.register_at_fork(after_in_child=renewed)
    return outlet
