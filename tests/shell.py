"""The command lines that the pages show, run without a shell, which not every machine has."""

import shlex
import subprocess
import sys
from itertools import groupby

DEADLINE = 180


def run(line, folder, environment):
    """Run commands of Python, and `echo`, joined by `;` and `|`, with streams to /dev/null.

    Returns:
        What is left on the standard output of each, then of standard error; and the last status.
    """
    status, shown, errors = 0, "", ""
    for pipeline in _split(_words(line), ";"):
        if pipeline[0] == "echo":
            shown += " ".join(pipeline[1:]).replace("$?", str(status)) + "\n"
            continue
        given = ""
        for command in _split(pipeline, "|"):
            words, dropped = _redirected(command)
            assert words[0] == "python", line
            process = subprocess.run(
                [sys.executable, *words[1:]],
                cwd=folder,
                env=environment,
                input=given,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=DEADLINE,
                check=False,
            )
            status = process.returncode
            given = "" if 1 in dropped else process.stdout
            errors += "" if 2 in dropped else process.stderr
        shown += given
    return shown + errors, status


def _words(line):
    words = shlex.shlex(line, posix=True, punctuation_chars=";|>")
    words.whitespace_split = True
    return list(words)


def _split(words, separator):
    groups = groupby(words, separator.__eq__)
    return [list(group) for is_separator, group in groups if not is_separator]


def _redirected(words):
    """Take what follows `>` or `2>` away; return the rest, and the streams that are dropped."""
    dropped = set()
    while ">" in words:
        at = words.index(">")
        assert words[at + 1] == "/dev/null", words
        is_stderr = words[at - 1] == "2"
        dropped.add(2 if is_stderr else 1)
        words = words[: at - is_stderr] + words[at + 2 :]
    return words, dropped
