"""What the reference shows otherwise than the source has it.

Docstrings mark the code in them by two colons: for Markdown, it becomes a fenced block. A
static method that is assigned is shown as what it is.
"""

import re
from textwrap import dedent

from griffe import Extension, Function

_MARKED = re.compile(r"^( *)(.*?)::\n\n((?:\1    .*(?:\n|$)|\n)+)", re.MULTILINE)


class FencedCode(Extension):
    """Puts the code that two colons mark between fences."""

    def on_object(self, *, obj, **_):
        """Change the docstring of each object, modules among them."""
        if obj.docstring is not None:
            obj.docstring.value = _MARKED.sub(_fenced, obj.docstring.value)

    def on_package(self, *, pkg, **_):
        """Show `format = staticmethod(frames.encode)` as the function that it is."""
        shown_as_functions(pkg)


def shown_as_functions(node):
    """Replace the attributes, at any depth, whose value is a function of another module."""
    for name, member in list(node.members.items()):
        if member.is_alias:
            continue
        called = re.fullmatch(r"staticmethod\((\w+)\.(\w+)\)", str(getattr(member, "value", "")))
        if called:
            module, function = node.module[called[1]].final_target, called[2]
            method = Function(
                name, parameters=module[function].parameters, returns=module[function].returns
            )
            method.docstring = member.docstring
            method.labels = {"staticmethod"}
            node.set_member(name, method)
        elif member.is_module or member.is_class:
            shown_as_functions(member)


def _fenced(match):
    indent, words, code = match.groups()
    language = "text" if "──" in code else "python"  # the tree of the errors
    lines = ["```" + language, *dedent(code).strip().split("\n"), "```", ""]
    if words:
        lines = [f"{words}:", "", *lines]
    return "\n".join(f"{indent}{line}".rstrip() for line in lines) + "\n"
