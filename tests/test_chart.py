"""The chart of the front page: made from the results, and legible in light, in dark, on a phone."""

import json
import re
import shutil
from importlib import import_module
from xml.etree import ElementTree as ET

import pytest
from pages import ROOT

BENCHMARKS = ROOT / "benchmarks"
CHART = ROOT / "docs" / "chart.svg"
PHONE = 360 - 2 * 16  # CSS pixels between the margins of a narrow phone


@pytest.fixture
def chart(monkeypatch):
    """The module that draws."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.chart")


@pytest.fixture
def rows(chart):
    """The rows of the results that are kept."""
    row = import_module("benchmarks.measure").Row
    document = json.loads((BENCHMARKS / "results.json").read_text("utf-8"))
    kept = [*document["rows"], *document["lost"]]
    return [row(**{name: it for name, it in each.items() if name != "ratio"}) for each in kept]


def test_the_chart_is_that_of_the_results(chart, rows, tmp_path):
    """The same results give the same file, byte for byte."""
    chart.draw(rows, tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_bytes() == CHART.read_bytes()


def test_the_tables_of_the_page_are_those_of_the_results(chart, rows, tmp_path):
    """To write them again changes nothing."""
    page = tmp_path / "speed.md"
    shutil.copy(ROOT / "docs" / "speed.md", page)
    import_module("benchmarks.page").write(rows, page)
    assert page.read_text("utf-8") == (ROOT / "docs" / "speed.md").read_text("utf-8")
    assert page.read_text("utf-8").count("\n| ") > len(rows)


def test_all_four_panels_are_drawn(chart):
    """Each panel has its title and two figures, and the description for screen readers has all."""
    image = ET.fromstring(CHART.read_text("utf-8"))
    texts = ["".join(each.itertext()) for each in image.iter("{http://www.w3.org/2000/svg}text")]
    assert len(chart.PANELS) == 4
    for panel in chart.PANELS:
        assert panel.title in texts
        assert panel.title in image.get("aria-label")
    assert len(texts) == 4 * 6


def test_a_result_that_was_not_measured_is_left_out(chart, rows, tmp_path):
    """A run of some benchmarks only draws what it has."""
    only = [row for row in rows if row.name == "weight, installed"]
    chart.draw(only, tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text("utf-8").count("Installed size") == 2


def test_the_chart_is_legible_on_a_phone_and_in_the_dark(chart):
    """Text is ten pixels high on a narrow phone, and each colour has a second one for the dark."""
    image = CHART.read_text("utf-8")
    assert int(re.search(r"font: (\d+)px", image)[1]) * PHONE / chart.WIDTH >= 10
    light, dark = image.partition("@media (prefers-color-scheme: dark)")[::2]
    coloured = re.compile(r"\.(\w+) \{ fill")
    assert coloured.findall(light) == coloured.findall(dark)
