"""What the reference changes: code after two colons becomes a fenced block, and no private name."""

import re
from textwrap import dedent

from griffe import Extension

_MARKED = re.compile(r"^( *)(.*?)::\n\n((?:\1    .*(?:\n|$)|\n)+)", re.MULTILINE)


class FencedCode(Extension):
    """Puts the code that two colons mark between fences."""

    def on_object(self, *, obj, **_):
        """Change the docstring of each object, modules among them."""
        if obj.is_attribute and str(obj.value).startswith("staticmethod("):
            obj.value = None  # it would name a private module
        if obj.docstring is not None:
            obj.docstring.value = _MARKED.sub(_fenced, obj.docstring.value)


def _fenced(match):
    indent, words, code = match.groups()
    language = "text" if "──" in code else "python"  # the tree of the errors
    lines = ["```" + language, *dedent(code).strip().split("\n"), "```", ""]
    if words:
        lines = [f"{words}:", "", *lines]
    return "\n".join(f"{indent}{line}".rstrip() for line in lines) + "\n"
