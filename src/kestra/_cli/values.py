"""What options hold: `KEY=VALUE`, `KEY=@PATH`, `KEY:VALUE`, seconds.

No message repeats a value.
"""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path
from typing import Any


class Pairs(argparse.Action):
    """Collects pairs of a key and a value; no key comes twice."""

    def __call__(self, _parser: Any, namespace: Any, pair: Any, _option: Any = None) -> None:
        key, value = pair
        pairs = getattr(namespace, self.dest) or {}
        if key in pairs:
            raise argparse.ArgumentError(self, f"{key} is given twice")
        setattr(namespace, self.dest, {**pairs, key: value})


def input_pair(text: str) -> tuple[str, str | Path]:
    """Return an input: a text, or the path of a file."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError("must be KEY=VALUE, or KEY=@PATH for a file")
    if value.startswith("@@"):
        return key, value[1:]
    return key, _file(key, value[1:]) if value.startswith("@") else value


def _file(key: str, path: str) -> Path:
    # It is not opened yet: of a pipe, the writer would notice.
    try:
        is_folder = stat.S_ISDIR(Path(path).stat().st_mode)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{key}=@{path}: {error.strerror}") from None
    if is_folder:
        raise argparse.ArgumentTypeError(f"{key}=@{path} must name a file, not a folder")
    if not os.access(path, os.R_OK):
        raise argparse.ArgumentTypeError(f"{key}=@{path} must name a file that can be read")
    return Path(path)


def label_pair(text: str) -> tuple[str, str]:
    """Return a label; the colon that counts is the first one."""
    key, _, value = text.partition(":")
    if not (key and value):
        raise argparse.ArgumentTypeError("must be KEY:VALUE")
    return key, value


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not value >= 0:
        raise argparse.ArgumentTypeError("must be 0 or more seconds, such as 90 or 1.5")
    return value
