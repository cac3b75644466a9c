"""The documentation: its snippets run, it names all that is public, and it can be built."""

import ast
import inspect
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import optional
import pytest
from pages import DOCS, INCLUDE, PAGES, ROOT, blocks_of, run

import kestra.exceptions

MODULES = ("kestra", "kestra.exceptions", "kestra.testing")
ELSEWHERE = re.compile(
    r"""(?:src=["']?|<link[^>]+href=["']?|url\(["']?|@import ["'])((?:https?:)?//[^"' )>]+)"""
)
EXAMPLES = {".csv", ".json", ".py", ".yaml"}  # __pycache__ may be there too
REFUSALS = {"RefusedError", "RuntimeError", "TypeError", "ValueError", "_unreadable"}
ERRORS = (DOCS / "errors.md").read_text("utf-8")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


# --- snippets --------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=name_of)
def test_snippets(page, folder, documented):
    """The blocks of a page, one after the other, do what the page says."""
    if page.name == "ion.md":
        optional.require("amazon")
    for block in blocks_of(page):
        print(f"{name_of(page)}:{block.line}: {block.kind}")
        run(block, folder, documented)


CALLING = [page for page in PAGES if any(block.kind == "client" for block in blocks_of(page))]


@pytest.mark.parametrize("page", CALLING, ids=name_of)
@pytest.mark.parametrize("documented", ["1.3"], indirect=True)
def test_snippets_with_an_older_server(page, folder, documented):
    """Blocks that call a server do what the page says with one of 1.3, too."""
    for block in blocks_of(page):
        if block.kind == "client":
            print(f"{name_of(page)}:{block.line}")
            run(block, folder, documented)
        elif "." in block.title:
            (folder / block.title).write_text(block.text)


# --- completeness ----------------------------------------------------------------------------


def public_names():
    """Every public name, and every public method or property of each public class."""
    yield "kestra.context"
    for module in MODULES:
        for name in import_module(module).__all__:
            value = getattr(import_module(module), name)
            home = getattr(value, "__module__", module)  # `kestra` repeats one of `exceptions`
            path = f"{home if home in MODULES else module}.{name}"
            yield path
            if inspect.isclass(value):
                yield from methods(value, path)


def methods(kind, path):
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == "kestra":
            for name, member in vars(base).items():
                is_called = inspect.isroutine(member) or isinstance(member, property)
                if is_called and not name.startswith("_"):
                    yield f"{path}.{name}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `zensical build --strict` builds it, in a copy of what it is made of."""
    pytest.importorskip("zensical", reason="needs the dependency group `docs`")
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "examples", "src"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"


def test_the_reference_has_every_public_name(site):
    """Each name that can be imported, and each method, has its entry, made from its docstring."""
    html = "".join(page.read_text("utf-8") for page in (site / "reference").glob("*.html"))
    entries = set(re.findall(r'id="(kestra\.[\w.]+)"', html))
    assert [path for path in public_names() if path not in entries] == []


def test_the_reference_shows_public_names_only(site):
    """No text of the reference names a private module, or how a method is assigned."""
    private = re.compile(r">[^<]*(?:kestra\._(?!_version__)|staticmethod\()[^<]*<")
    pages = (site / "reference").glob("*.html")
    assert [it for page in pages for it in private.findall(page.read_text("utf-8"))] == []


def test_the_site_loads_nothing_from_elsewhere(site):
    """No page names a script, a style, a font or a picture of another host."""
    loaded = [
        f"{page.name}: {url}"
        for page in [*site.rglob("*.html"), *site.rglob("*.css")]
        for url in ELSEWHERE.findall(page.read_text("utf-8"))
    ]
    assert loaded == []


def test_every_public_function_and_class_has_a_docstring():
    """What a reader looks up, and what an editor shows, is there."""
    without = []
    for path in public_names():
        module = next(m for m in sorted(MODULES, key=len, reverse=True) if path.startswith(f"{m}."))
        if path == "kestra.context":
            continue
        value = import_module(module)
        for name in path.removeprefix(f"{module}.").split("."):
            value = getattr(value, name)
        if (inspect.isroutine(value) or inspect.isclass(value)) and not inspect.getdoc(value):
            without.append(path)
    assert without == []


def test_every_error_is_listed():
    """`What can go wrong` has each class of `kestra.exceptions`, as a heading or in a table."""
    assert [name for name in kestra.exceptions.__all__ if f"`{name}`" not in ERRORS] == []


def tables(page):
    """The tables of a page, each as how many cells its rows have."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        yield [re.sub(r"`[^`]*`|\\\|", "", row).count("|") for row in table.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_are_whole(page):
    """Each row of a table has as many cells as its head: no browser shows others."""
    assert [cells for cells in tables(page) if len(set(cells)) > 1] == []


def refusals():
    """The words of each refusal: the longest piece of its text that never changes."""
    for path in (ROOT / "src" / "kestra").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = getattr(call.func, "id", "")
            if called in REFUSALS:
                pieces = [
                    node.value
                    for argument in call.args
                    for node in ast.walk(argument)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                ]
                if pieces:
                    yield max(pieces, key=len)


@pytest.mark.parametrize("words", sorted(set(refusals())))
def test_every_refusal_is_listed(words):
    """`What can go wrong` quotes the cause that a refusal of a value or an argument names."""
    first, *others = words.strip(" ,.;:").split(": ")
    cause = first if " " in first or not others else others[0]  # an argument's name comes first
    assert cause in ERRORS


def test_every_example_is_shown():
    """Each example is part of a page."""
    shown = {name for page in PAGES for name in INCLUDE.findall(page.read_text("utf-8"))}
    files = {path for path in (ROOT / "examples").rglob("*.*") if path.suffix in EXAMPLES}
    assert {path.relative_to(ROOT).as_posix() for path in files} - shown == set()


def test_environment_variables_are_those_that_the_package_reads():
    """The table has every variable that the source names, and no page names another."""
    page = (DOCS / "reference" / "environment.md").read_text("utf-8")
    listed = set(re.findall(r"`(KESTRA_\w+)`", page))
    assert listed == {
        node.value
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and re.fullmatch(r"KESTRA_\w+", str(node.value))
    }
    named = {name for page in PAGES for name in re.findall(r"KESTRA_\w+", page.read_text("utf-8"))}
    assert named == listed


# --- links -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    """What a link leads to in this tree is there."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_navigation():
    """A page that nobody can reach is no page."""
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = re.findall(r"[\w/-]+\.md", navigation)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES[1:])
    assert len(listed) == len({Path(name) for name in listed})
