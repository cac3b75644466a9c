"""What the reference shows otherwise than the source has it.

Docstrings mark the code in them by two colons: for Markdown, it becomes a fenced block. A value
that is an expression of private names is left out.
"""

import re
from textwrap import dedent

from griffe import Extension

_MARKED = re.compile(r"^( *)(.*?)::\n\n((?:\1    .*(?:\n|$)|\n)+)", re.MULTILINE)


class FencedCode(Extension):
    """Puts the code that two colons mark between fences."""

    def on_object(self, *, obj, **_):
        """Change the docstring of each object, modules among them."""
        if obj.docstring is not None:
            obj.docstring.value = _MARKED.sub(_fenced, obj.docstring.value)

    def on_attribute_instance(self, *, attr, **_):
        """Leave out a value that is called: `staticmethod(frames.encode)`."""
        if "(" in str(attr.value):
            attr.value = None


def _fenced(match):
    indent, words, code = match.groups()
    language = "text" if "──" in code else "python"  # the tree of the errors
    lines = ["```" + language, *dedent(code).strip().split("\n"), "```", ""]
    if words:
        lines = [f"{words}:", "", *lines]
    return "\n".join(f"{indent}{line}".rstrip() for line in lines) + "\n"
