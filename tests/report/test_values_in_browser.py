"""Statistics of values on the page, in a real browser, after real runs of the command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from migrate.cli.main import migrate
from tests.report.browser import chromium

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

RULES = """migrate: 1
rules:
  - {from: scale, to: scale, ops: [{cast: {to: bfloat16, lossy: true}}]}
  - {from: "layers/{i}", to: layers, ops: [{stack: {axis: 0, over: i}}]}
  - "bad -> damaged"
"""
SCALE = np.linspace(-1, 1.003, 600, dtype=np.float32)


@pytest.fixture(scope="module")
def browser() -> Iterator["Chrome"]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: "Chrome", tmp_path_factory: pytest.TempPathFactory) -> "Chrome":
    """The page of a run that casts, stacks and renames."""
    folder = tmp_path_factory.mktemp("values")
    bad = np.array([1, np.nan, np.inf, -np.inf, np.nan], np.float32)
    layers = {f"layers/{i}": np.full((2, 3), i, np.float32) for i in range(3)}
    save_file({"scale": SCALE, "bad": bad, "ids": np.array([7]), **layers}, folder / "old.safetensors")
    (folder / "rules.yaml").write_text(RULES)
    return opened(browser, folder, "apply")


def opened(browser: "Chrome", folder: Path, command: str, *options: str) -> "Chrome":
    names = (str(folder / name) for name in ("rules.yaml", "old.safetensors", "new.safetensors", "page.html"))
    rules, old, new, report = names
    result = CliRunner().invoke(migrate, [command, rules, old, new, "--report", report, "--quiet", *options])
    assert 0 == result.exit_code, result.output
    browser.get((folder / "page.html").as_uri())
    assert [] == browser.get_log("browser")
    return browser


def select(browser: "Chrome", side: int, name: str) -> None:
    browser.execute_script("document.getElementById('expand').click()")
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    row = "[...document.querySelectorAll(`#tree${arguments[0]} .name`)].find((one) => one.textContent === arguments[1])"
    browser.execute_script(f"{row}.click()", side, name)


def table(browser: "Chrome") -> dict[str, list[str]]:
    """The cells of each line of the table by its head."""
    script = (
        "return [...document.querySelectorAll('#details table.values tr')].map((line) => [...line.cells].map((cell) => "
        "cell.textContent))"
    )
    return {line[0]: line[1:] for line in browser.execute_script(script)}


def attributes(browser: "Chrome", selector: str, name: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.getAttribute(arguments[1]))"
    return list(browser.execute_script(script, selector, name))


def test_a_cast_shows_the_values_before_and_after(page: "Chrome"):
    select(page, 1, "scale")
    values = table(page)
    assert ["before", "after"] == values[""]
    assert ["1.003", "1 ≠"] == values["max"]
    assert ["-1", "-1"] == values["min"]
    assert ["600", "600"] == values["values"]
    assert ["0", "0"] == values["NaN"]
    assert "+∞" not in values
    assert [f"{SCALE.astype(np.float64).std():.6g}", True] == [values["std"][0], values["std"][1].endswith(" ≠")]
    before, after = attributes(page, "#details svg", "aria-label")
    assert before.startswith("Histogram before: values from -1 to 1.125; the tallest bar is from ")
    assert after.startswith("Histogram after: values from -1 to 1.125; ")
    assert ["img", "img"] == attributes(page, "#details svg", "role")
    bars = attributes(page, "#details svg.before rect", "height")
    assert 17 == len(bars)
    assert 36 > int(bars[-1]) > 0


def test_joined_leaves_are_summed_beside_the_selected_one(page: "Chrome"):
    select(page, 0, "2")
    values = table(page)
    assert ["before, 3 leaves", "after", "this leaf"] == values[""]
    assert ["0", "0", "2"] == values["min"]
    assert ["18", "18", "6"] == values["values"]
    assert ["1", "1", "2"] == values["mean"]
    assert 3 == len(attributes(page, "#details svg", "role"))


def test_values_that_are_not_finite_are_marked_and_counted_in_a_sentence(page: "Chrome"):
    select(page, 1, "damaged")
    values = table(page)
    assert ["⚠ 2", "⚠ 2"] == values["NaN"]
    assert ["⚠ 1", "⚠ 1"] == values["−∞"] == values["+∞"]
    assert ["1", "1"] == values["max"]
    assert "1 leaf of " in page.page_source
    assert "has NaN or infinite values: `damaged`." in page.page_source


def test_the_accessibility_tree_has_the_table_and_the_histograms(page: "Chrome"):
    select(page, 1, "scale")
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert ("table", "values") in named
    assert {"max", "std"} <= {name for role, name in named if role == "rowheader"}
    assert {"before", "after"} <= {name for role, name in named if role == "columnheader"}
    assert 2 == sum(role == "image" and name.startswith("Histogram ") for role, name in named)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_bars_stand_out_in_both_themes(page: "Chrome", theme: str):
    select(page, 1, "scale")
    page.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    ground = luminance(page.execute_script(style, "body", "backgroundColor"))
    for side in ("before", "after"):
        bar = luminance(page.execute_script(style, f"#details svg.{side} rect", "fill"))
        assert 3 <= (max(bar, ground) + 0.05) / (min(bar, ground) + 0.05)


def luminance(color: str) -> float:
    """The relative luminance of a color of CSS, as WCAG 2.2 defines it."""
    parts = [int(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(", ")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_dry_run_says_nothing_of_values(browser: "Chrome", tmp_path: Path):
    save_file({"a": SCALE}, tmp_path / "old.safetensors")
    (tmp_path / "rules.yaml").write_text("migrate: 1\nrules: []\n")
    opened(browser, tmp_path, "apply", "--dry-run")
    select(browser, 0, "a")
    assert {} == table(browser)
    assert [] == attributes(browser, "#details svg", "role")
    assert "Measured" not in browser.page_source
