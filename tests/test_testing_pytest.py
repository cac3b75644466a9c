"""The pytest plugin, in test runs of its own."""

import subprocess
import sys

import pytest

pytest_plugins = "pytester"

NOT_ALONE = 'text ::{"outputs": {"a": 1}}::'


@pytest.fixture
def pytest_run(pytester, monkeypatch):
    """A function that runs tests with this plugin only; it takes their code and options."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(code, *options, plugins=("kestra._testing.pytest_plugin",)):
        pytester.makepyfile(code)
        arguments = [argument for plugin in plugins for argument in ("-p", plugin)]
        return pytester.runpytest_subprocess(*arguments, *options, timeout=180)

    return run


# --- kestra_messages -------------------------------------------------------------------------


def test_three_lines(pytest_run, pytester):
    """A test of a task script takes three lines, in process and as a process."""
    pytester.makepyfile(
        etl="""
        from kestra import Kestra, load_execution_context

        def main():
            rows = load_execution_context().inputs.rows
            Kestra.outputs({"rows": rows})
            Kestra.counter("rows", rows)

        if __name__ == "__main__":
            main()
        """
    )
    result = pytest_run(
        """
        import etl
        from kestra.testing import run_script

        def test_main(kestra_context, kestra_messages):
            kestra_context({"inputs": {"rows": 3}})
            etl.main()
            assert kestra_messages.outputs == {"rows": 3}

        def test_script():
            messages = run_script("etl.py", context={"inputs": {"rows": 3}})
            assert messages.metrics["rows"] == 3
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_loss_fails_the_test(pytest_run):
    """A loss fails a test at its end, not in its teardown, unless it has looked; and once."""
    result = pytest_run(
        f"""
        import pytest

        def test_lost(kestra_messages):
            print({NOT_ALONE!r})

        def test_looked(kestra_messages):
            print({NOT_ALONE!r})
            assert len(kestra_messages.rejected) == 1

        def test_failed(kestra_messages):
            print({NOT_ALONE!r})
            assert kestra_messages.outputs == {{"a": 2}}

        def test_skipped(kestra_messages):
            print({NOT_ALONE!r})
            pytest.skip("why")

        def test_without():
            print({NOT_ALONE!r})
        """,
    )
    result.assert_outcomes(failed=2, passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*_ test_lost _*",
            "Kestra 2.0 would lose something of what was printed:",
            "  stdout 1  text before the frame: *",
            "(A test that expects this reads .rejected before the end.)",
            "*_ test_failed _*",
            "kestra_messages = Messages(outputs={}, *",
            "*AssertionError: assert {} == {'a': 2}",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


@pytest.mark.parametrize("options", [(), ("-s",), ("--capture=sys",), ("--capture=tee-sys",)])
def test_with_fixtures_of_pytest(pytest_run, options):
    """With `capsys` and the like, in any order, both see what is printed in fixtures and test."""
    result = pytest_run(
        """
        import os
        import pytest
        from kestra import Kestra

        @pytest.fixture
        def ran(kestra_messages):
            Kestra.outputs({"a": 1})

        @pytest.mark.parametrize("number", [1, 2])  # types of metrics do not clash
        def test_alone(number, ran, kestra_messages):
            getattr(Kestra, ["gauge", "counter"][number - 1])("rows", number)
            print("text")
            assert kestra_messages.outputs == {"a": 1}
            assert kestra_messages.metrics["rows"] == number

        def test_capsys_last(ran, kestra_messages, capsys):
            Kestra.outputs({"b": 2})
            assert capsys.readouterr().out.count("::{") == 2
            assert kestra_messages.outputs == {"a": 1, "b": 2}

        def test_capfd_first(capfd, kestra_messages, ran):
            Kestra.outputs({"b": 2})
            os.write(1, b"text")
            out = capfd.readouterr().out
            assert out.count("::{") == 2
            assert "text" in out
            assert kestra_messages.outputs == {"a": 1, "b": 2}

        def test_as_bytes(kestra_messages, capsysbinary):
            Kestra.outputs({"b": 2})
            assert capsysbinary.readouterr().out.startswith(b"::{")
            assert kestra_messages.outputs == {"b": 2}

        def test_late(request):
            Kestra.outputs({"a": 1})
            messages = request.getfixturevalue("kestra_messages")
            Kestra.outputs({"b": 2})
            assert messages.outputs == {"b": 2}

        def test_caplog(kestra_messages, caplog):
            Kestra.logger().warning("message")
            assert [each.level for each in kestra_messages.logs] == ["WARN"]
            assert caplog.messages == ["message"]
        """,
        "-W",
        "error",
        *options,
    )
    result.assert_outcomes(passed=7)


def test_what_is_printed_is_reported(pytest_run):
    """The report of a test that fails shows what it has printed."""
    result = pytest_run(
        """
        from kestra import Kestra

        def test_it(kestra_messages):
            Kestra.outputs({"rows": 3})
            assert kestra_messages.outputs["rows"] == 4
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Captured stdout call*", '::{"outputs": {"rows": 3}}::'])


def test_a_fixture_that_fails(pytest_run):
    """After an error in a fixture the next test begins with nothing."""
    result = pytest_run(
        """
        import sys
        import pytest
        from kestra import Kestra

        @pytest.fixture
        def fails(kestra_messages):
            Kestra.outputs({"a": 1})
            raise ValueError

        def test_it(fails): ...

        def test_next(kestra_messages):
            assert kestra_messages.outputs == {}
        """,
    )
    result.assert_outcomes(passed=1, errors=1)


def test_unittest(pytest_run):
    """A `TestCase` may use the fixtures, and a loss fails its test."""
    result = pytest_run(
        f"""
        import unittest
        import pytest
        from kestra import Kestra

        @pytest.mark.usefixtures("kestra_messages")
        class Test(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def messages(self, kestra_messages):
                self.messages = kestra_messages

            def test_kept(self):
                Kestra.outputs({{"a": 1}})
                self.assertEqual(self.messages.outputs, {{"a": 1}})

            def test_lost(self):
                print({NOT_ALONE!r})
        """,
    )
    result.assert_outcomes(passed=1, failed=1)


# --- kestra_context --------------------------------------------------------------------------


def test_context(pytest_run):
    """A context is there until the test ends; a second one takes the place of the first."""
    result = pytest_run(
        """
        import os
        import pytest
        import kestra

        def test_it(kestra_context):
            kestra_context({"inputs": {"day": "Monday"}})
            assert kestra.context.inputs.day == "Monday"
            kestra_context({"inputs": {"day": "Tuesday"}})
            assert kestra.context.inputs.day == "Tuesday"

        def test_next():
            assert "KESTRA_EXECUTION_CONTEXT_FILE" not in os.environ
            with pytest.raises(FileNotFoundError):
                kestra.context
        """,
    )
    result.assert_outcomes(passed=2)


# --- fake_kestra -----------------------------------------------------------------------------


def test_fake(pytest_run):
    """A test of code that executes flows takes three lines; what has no flow is one failure."""
    result = pytest_run(
        """
        from kestra import Flow

        def test_it(fake_kestra, kestra_messages):
            fake_kestra.flow("company.team", "etl", lambda inputs: {"rows": 3})
            result = Flow().execute("company.team", "etl", {"day": "2026-01-31"})
            assert result.outputs == {"rows": 3}
            assert fake_kestra.executions[0].inputs == {"day": "2026-01-31"}
            assert kestra_messages.outputs == {}

        def test_next(fake_kestra):
            assert fake_kestra.executions == []
            Flow().execute("company.team", "etl")

        def test_swallowed(fake_kestra):
            try:
                Flow().execute("company.team", "etl")
            except AssertionError:
                pass
        """,
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines("*_ ERROR at teardown of test_swallowed _*")


# --- the plugin itself -----------------------------------------------------------------------


def test_fixtures_are_described(pytest_run):
    """`pytest --fixtures` has a sentence about each of them."""
    result = pytest_run("", "--fixtures")
    lines = result.stdout.lines
    for name in ("fake_kestra", "kestra_context", "kestra_messages"):
        (number,) = [i for i, line in enumerate(lines) if line.startswith(f"{name} -- ")]
        assert lines[number + 1].startswith("    ")
        assert lines[number + 1].rstrip()[-1] in ".:"


UNUSED = """
import sys
import pytest
before = set(sys.modules)
import kestra._testing.pytest_plugin
print(*sorted(name for name in set(sys.modules) - before))
"""


def test_its_import_is_cheap():
    """Beside pytest it loads itself only: no requests, no responses, nothing of the package."""
    process = subprocess.run(
        [sys.executable, "-c", UNUSED], capture_output=True, text=True, timeout=180, check=True
    )
    own = ["kestra", "kestra._testing", "kestra._testing.pytest_plugin"]
    assert process.stdout.split() == own


def test_a_run_that_does_not_use_it(pytest_run):
    """After a test that needs none of it, still nothing else is loaded."""
    result = pytest_run(
        """
        import sys

        def test_it():
            loaded = {name for name in sys.modules if name.partition(".")[0] == "kestra"}
            assert loaded == {"kestra", "kestra._testing", "kestra._testing.pytest_plugin"}
            assert not {"requests", "responses", "urllib3"} & set(sys.modules)
        """,
    )
    result.assert_outcomes(passed=1)


# As far as the plugin could see it: no version, no stash, no hooks with `wrapper`.
OLD_PYTEST = """
import pytest

def hookimpl(function=None, *, hookwrapper=False, tryfirst=False, trylast=False): ...

del pytest.version_tuple, pytest.StashKey
pytest.hookimpl, pytest.__version__ = hookimpl, "6.2.5"
"""


def test_an_old_pytest(pytest_run, pytester):
    """Beside an old pytest all goes on as before, and what needs a later one says so."""
    pytester.makepyfile(old_pytest=OLD_PYTEST)
    result = pytest_run(
        """
        def test_context(kestra_context):
            kestra_context({})

        def test_messages(kestra_messages): ...
        """,
        plugins=("old_pytest", "kestra._testing.pytest_plugin"),
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("kestra_messages needs pytest 8.2, not 6.2.5")
