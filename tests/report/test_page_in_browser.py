"""The page in a real browser: covers `migrate.report.picture_page` and its script."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from migrate.report.html import draw
from migrate.report.of_checkpoint import checkpoint_report
from migrate.report.picture import LeafLink, Picture, PictureLeaf, PictureTree, RuleText
from migrate.report.view import Report
from tests.report import vit
from tests.report.browser import chromium

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    Show = Callable[..., Chrome]

LEAVES = 10_000
EVIL = "</script><script>document.title='attacked'</script><img src=x onerror=\"document.title='attacked'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator["Chrome"]:
    with chromium() as running:
        yield running


@pytest.fixture
def show(browser: "Chrome", tmp_path: Path) -> "Show":
    def shown(*reports: Report) -> "Chrome":
        (tmp_path / "report.html").write_text(draw(*reports), encoding="utf-8")
        browser.get((tmp_path / "report.html").as_uri())
        assert "yes" == browser.execute_script("return document.documentElement.dataset.ready")
        frame(browser)
        assert [] == browser.get_log("browser")
        return browser

    return shown


def frame(browser: "Chrome") -> None:
    """Waits until the page is drawn."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def a_picture(leaves: int = 6, name: str = "layer") -> Picture:
    """Renamed layers with one slot of an optimizer each, an unproved and a dropped leaf."""
    half = leaves // 2
    paths = [("params", f"{name}_{n}", "kernel") for n in range(half)]
    slots = [("opt", "mu", *path) for path in paths]
    old = [PictureLeaf(path, "float32[8,8]", 256) for path in (*paths, *slots, ("old", "head"))]
    new = [PictureLeaf(("model", *one.path), one.detail, one.nbytes) for one in old[:-1]]
    links = [
        LeafLink("renamed", "rename", (n,), (n,), (("how", "linked"),), "none" if n == 1 else "shape", 0)
        for n in range(half)
    ]
    links += [LeafLink("renamed", "rename", (half + n,), (half + n,), proof="shape", follows=n) for n in range(half)]
    links.append(LeafLink("dropped", "drop", (2 * half,)))
    rules = (RuleText("rules.yaml:3", '  - "params/** -> model/**"'),)
    trees = PictureTree("old", tuple(old)), PictureTree("new", tuple(new))
    return Picture(trees, tuple(links), {"renamed": "renamed", "dropped": "dropped"}, rules)


def report(picture: Picture) -> Report:
    return Report("apply", title="Plan", picture=lambda: picture)


def texts(browser: "Chrome", selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
    return list(browser.execute_script(script, selector))


def do(browser: "Chrome", script: str) -> Any:
    result = browser.execute_script(script)
    frame(browser)
    return result


def test_both_trees_are_drawn_with_slots_below_their_params(show: "Show"):
    browser = show(report(a_picture()))
    assert ["params", "layer_0", "kernel", "layer_1", "kernel", "layer_2", "kernel", "old", "head"] == texts(
        browser, "#tree0 .name"
    )
    assert 4 == len(texts(browser, "#ribbons path"))


def test_a_leaf_that_is_selected_shows_its_rule_its_proof_and_its_slots(show: "Show"):
    browser = show(report(a_picture()))
    do(browser, "document.querySelectorAll('#tree0 .name')[4].click()")
    (details,) = texts(browser, "#details")
    for text in (
        "params/layer_1/kernel",
        "model/params/layer_1/kernel",
        "rules.yaml:3",
        "params/** -> model/**",
        "unproved",
        "1 slot follows",
    ):
        assert text in details


def test_ribbons_of_a_row_light_up_while_the_pointer_is_on_it(show: "Show"):
    browser = show(report(a_picture()))
    event = "new PointerEvent('pointerover', {bubbles: true})"
    do(browser, f"document.querySelectorAll('#tree1 .name')[3].dispatchEvent({event})")
    assert 1 == len(texts(browser, "#ribbons path.hot"))
    assert 1 == len(texts(browser, "#tree0 .row.hot"))


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("search.value = 'layer_1 kernel'; search.dispatchEvent(new Event('input'))", "2 of 7 shown"),
        ("search.value = 'nowhere'; search.dispatchEvent(new Event('input'))", "0 of 7 shown"),
        ("document.querySelector('#filter-kind input').click()", "1 of 7 shown"),
        ("document.querySelector('#filter-proof input').click()", "2 of 7 shown"),
    ],
)
def test_search_and_filters_show_a_part(show: "Show", script: str, shown: str):
    browser = show(report(a_picture()))
    do(browser, f"const search = document.getElementById('search'); {script}")
    assert [shown] == texts(browser, "#count")


def test_the_keyboard_moves_opens_and_selects(show: "Show"):
    from selenium.webdriver.common.keys import Keys

    browser = show(report(a_picture()))
    pane = browser.find_element("id", "tree0")
    pane.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    frame(browser)
    assert "true" == browser.execute_script("return document.querySelectorAll('#tree0 .row')[2].ariaExpanded")
    pane.send_keys(Keys.ENTER)
    frame(browser)
    assert "params/layer_0/kernel" in texts(browser, "#details")[0]
    assert pane.get_attribute("aria-activedescendant") == browser.execute_script(
        "return document.querySelector('#tree0 [aria-selected=true]').id"
    )


def test_a_screen_reader_is_told_what_a_row_is(show: "Show"):
    browser = show(report(a_picture()))
    (row,) = browser.execute_script(
        "return [...document.querySelectorAll('#tree0 [role=treeitem]')].slice(4, 5)"
        ".map((row) => [row.getAttribute('aria-level'), row.textContent])"
    )
    assert "3" == row[0]
    assert row[1].endswith(", renamed, unproved")
    assert "tree" == browser.execute_script("return document.getElementById('tree0').getAttribute('role')")


def test_the_accessibility_tree_of_the_browser_has_names_levels_and_states(show: "Show"):
    browser = show(report(a_picture()))
    do(browser, "document.querySelectorAll('#tree0 .name')[4].click()")
    nodes = [
        node for node in browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"] if not node["ignored"]
    ]
    named: dict[str, list[str]] = {}
    for node in nodes:
        named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert ["old", "new"] == named["tree"]
    assert ["Search key paths"] == named["searchbox"]
    assert ["Expand all", "Collapse", "Dark or light"] == named["button"]
    assert ["The bytes of the leaves as areas"] == named["image"]
    assert "Details" in named["region"]
    assert "kernel float32[8,8] 512 B , renamed, unproved" in [" ".join(name.split()) for name in named["treeitem"]]
    assert [] == [role for role in ("treeitem", "checkbox", "button", "searchbox", "tree") if "" in named[role]]
    (selected,) = (node for node in nodes if is_selected(node))
    assert {"level": 3, "selected": True} == {name: properties(selected)[name] for name in ("level", "selected")}


def properties(node: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one["value"].get("value") for one in node.get("properties", ())}


def is_selected(node: dict[str, Any]) -> bool:
    return node["role"]["value"] == "treeitem" and properties(node).get("selected") is True


def test_the_treemap_divides_the_whole_area_by_bytes(show: "Show"):
    browser = show(report(a_picture()))
    pixels = (
        "const canvas = document.getElementById('treemap');"
        "const copy = document.createElement('canvas').getContext('2d', {willReadFrequently: true});"
        "copy.drawImage(canvas, canvas.width / 2, canvas.height / 2, 1, 1, 0, 0, 1, 1);"
        "return [...copy.getImageData(0, 0, 1, 1).data]"
    )
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 10).until(lambda browser: [0, 0, 0, 0] != browser.execute_script(pixels))


def test_dark_and_light_can_be_chosen(show: "Show"):
    browser = show(report(a_picture()))
    color = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(color)
    do(browser, "document.getElementById('theme').click()")
    assert before != browser.execute_script(color)


def test_names_that_are_markup_are_shown_and_do_nothing(show: "Show"):
    browser = show(report(a_picture(name=EVIL)))
    do(browser, "document.querySelectorAll('#tree0 .name')[2].click()")
    assert "Plan" == browser.title
    assert f"{EVIL}_0" in texts(browser, "#tree0 .name")
    assert [] == browser.find_elements("tag name", "img")


def test_a_print_shows_the_table(show: "Show"):
    browser = show(report(a_picture()))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        display = "return getComputedStyle(document.getElementById(arguments[0])).display"
        assert "none" == browser.execute_script(display, "trees")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_inspect_draws_one_tree(show: "Show"):
    browser = show(checkpoint_report(vit.checkpoint()))
    assert [] == browser.find_elements("id", "ribbons")
    assert "params" in texts(browser, "#tree0 .name")


def test_ten_thousand_leaves_are_filtered_and_scrolled_with_few_elements(show: "Show"):
    browser = show(report(a_picture(LEAVES)))
    do(browser, "document.getElementById('expand').click()")
    assert 300 > len(texts(browser, ".row"))
    do(browser, "document.getElementById('tree1').scrollTop = 100000")
    assert 300 > len(texts(browser, ".row"))
    do(
        browser,
        "const s = document.getElementById('search'); s.value = 'layer_4999'; s.dispatchEvent(new Event('input'))",
    )
    assert ["2 of 10,001 shown"] == texts(browser, "#count")
