"""The benchmark's page says what was measured and judges it by the bars."""

import json
import sys
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.bars import bars
from tests.benchmarks.case import PARTS
from tests.benchmarks.cases import BY_KEY, CASES, SIZED
from tests.benchmarks.growth import BY_BYTES, BY_LEAVES, LEAVES, exponent, leaves_of
from tests.benchmarks.measure import Figure, as_json, measure, middle
from tests.benchmarks.page import medians, write
from tests.benchmarks.plot import draw
from tests.benchmarks.run import checkpoints, keep
from tests.benchmarks.tables import amount

MARKS = {"imports": 2.0, "work": 0.5, "memory": 200_000_000, "read": 4e6, "written": 1e6}
MARKS |= {"store_read": 1e6, "store_written": 3e5, "verified": "digest", "phases": {"stage": 0.0, "commit": 0.1}}
MARKS |= {"cpu": 12.0}


def figure(case, size, *, seconds=2.0, peak=400_000_000):
    loaded = {"loading": 1.0, "cpu": 1.0, "above": 1e8, "arrays": 5e8, "read": 5e8}
    marks = {"check": MARKS | {"cpu": 4.0}, "read": {"reading": 1.0}, "load": loaded, "orbax": {}, "cp": {}}
    return Figure(seconds, peak, marks.get(case.way, MARKS))


@pytest.fixture
def folder(tmp_path):
    """Raw figures of every case."""
    for part in PARTS:
        pairs = [(case, size) for case in CASES if case.part == part for size in case.sizes or (0.25, 1, 4)]
        rows = [
            {"case": case.key, "gigabytes": size, "bytes": 1, "figures": as_json([figure(case, size)])}
            for case, size in pairs
        ]
        keep(tmp_path, part, {"machine": "2 cores", "date": "2026-11-26", "runs": 1, "figures": rows})
    return tmp_path


def measured(folder):
    return medians(json.loads((folder / "figures.json").read_text())["parts"])


def test_the_page_has_every_case_and_the_machine(folder):
    text = write(folder)
    assert text == (folder / "README.md").read_text()
    assert "2 cores" in text
    titles = {
        case.title.removesuffix(f", `--max-ram {case.options[-1]}`") if case.part == "memory" else case.title
        for case in CASES
    }
    assert [] == [title for title in titles if f"| {title} |" not in text]


def test_every_row_of_a_table_has_as_many_cells_as_its_head(folder):
    blocks = [block.splitlines() for block in write(folder).split("\n\n") if block.startswith("| ")]
    assert 9 == len(blocks)
    for rows in blocks:
        assert {rows[0].count("|")} == {row.count("|") for row in rows}


def test_the_plot_has_a_line_for_every_case_in_each_panel(folder):
    write(folder)
    root = ET.fromstring((folder / "sizes.svg").read_text())
    lines = [node for node in root if node.tag.endswith("polyline")]
    assert 2 * len(SIZED) == len(lines)
    assert {3} == {len(line.get("points").split()) for line in lines}


def test_equal_ratios_are_equal_distances_on_both_axes():
    root = ET.fromstring(draw([("seconds", {"a": [(1, 1), (10, 10), (100, 100)]})]))
    (line,) = (node for node in root if node.tag.endswith("polyline"))
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.get("points").split())
    assert (x2 - x1, y2 - y1) == pytest.approx((x1 - x0, y1 - y0), abs=0.2)
    assert x1 > x0
    assert y1 < y0


def judged(**figures):
    return {bar.what: bar.holds for bar in bars({(key, 1): found for key, found in figures.items()})}


def test_a_bar_is_held_against_the_median(folder):
    migrated = Figure(2.0, 300_000_000, MARKS)
    slow = Figure(2.0, 300_000_000, {**MARKS, "phases": {"commit": 0.31}})
    bar = "d, 1 GB: engine and commit ≤ 0.3 s"
    assert judged(d=migrated)[bar]
    assert not judged(d=slow)[bar]
    assert judged(a=Figure(6.0, 0), d=migrated)["d, 1 GB: 3× as fast as (a)"]
    assert not judged(a=Figure(5.9, 0), d=migrated)["d, 1 GB: 3× as fast as (a)"]


def test_reading_is_held_against_the_other_way_to_read():
    others = {"read": Figure(3.0, 0, {"reading": 2.0}), "read-orbax": Figure(9.0, 0, {"reading": 1.9})}
    assert not judged(**others)["read, 1 GB: not slower than read-orbax"]


def test_all_bars_hold_for_figures_well_within_them(folder):
    failed = [bar.what for bar in bars(measured(folder)) if not bar.holds]
    assert [] == [what for what in failed if "as fast" not in what and "0.8×" not in what]
    assert failed  # all took the same time, so nothing is faster than Orbax


def test_the_median_is_taken_of_each_number():
    runs = [Figure(s, p, {"work": w, "phases": {"commit": w}}) for s, p, w in ((1, 30, 5), (3, 10, 4), (2, 20, 9))]
    assert Figure(2, 20, {"work": 5, "phases": {"commit": 5}}) == middle(runs)


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (1234, "1.2 kB"), (5e6, "5.0 MB"), (2.5e9, "2.5 GB")])
def test_amounts_are_short(count, words):
    assert words == amount(count)


def test_a_process_is_measured_whole_and_what_started_it_is_not():
    code = "import time; x = bytearray(b'x') * (100 << 20); time.sleep(0.2)"
    ballast = bytearray(b"x") * (500 << 20)
    found = measure([sys.executable, "-c", code])
    del ballast
    assert found.seconds >= 0.2
    assert 100 << 20 <= found.peak < 400 << 20


def test_a_case_that_fails_stops_the_benchmark_with_its_own_words():
    with pytest.raises(SystemExit, match="no such rule"):
        measure([sys.executable, "-c", "import sys; sys.exit('no such rule')"])


def test_the_cpu_of_many_leaves_is_divided_by_the_leaves_of_that_size():
    figure = Figure(1.0, 10**9, {**MARKS, "cpu": 0.5})
    (found,) = (bar for bar in bars({("many", 1_000 * 256 / 1e9): figure}) if "CPU" in bar.what)
    assert "0.50 ms" == found.measured


def test_the_page_has_the_parts_that_were_measured(folder):
    parts = json.loads((folder / "figures.json").read_text())["parts"]
    (folder / "figures.json").write_text(json.dumps({"parts": {"memory": parts["memory"]}}))
    assert ["## Memory against the budget", "## Requirements"] == [
        line for line in write(folder).splitlines() if line.startswith("## ")
    ]


def test_a_part_that_is_measured_again_replaces_its_own_figures_only(folder):
    before = measured(folder)
    row = {"case": "dry", "gigabytes": 0.002, "bytes": 1, "figures": as_json([Figure(9.0, 1, MARKS)])}
    keep(folder, "single", {"machine": "4 cores", "date": "2026-12-01", "runs": 2, "figures": [row]})
    after = measured(folder)
    assert {pair for pair in before if BY_KEY[pair[0]].part != "single"} | {("dry", 0.002)} == set(after)
    assert "| `single` | 2 | 2026-12-01 | 4 cores |" in write(folder)
    assert "| `memory` | 1 | 2026-11-26 | 2 cores |" in write(folder)


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_the_exponent_of_a_power_is_found(power):
    assert power == pytest.approx(exponent([(x, 3 * x**power) for x in (1, 2, 5, 100)]))


def growing(cases, power, key):
    """Figures of one case whose seconds beyond imports grow with its size."""
    (case,) = (case for case in cases if case.key == key)
    return {(key, size): Figure(1.0, 10**9, {**MARKS, "cpu": size**power}) for size in case.sizes}


@pytest.mark.parametrize(
    ("cases", "key", "power", "holds"),
    [
        (BY_LEAVES, "leaves-rename", 1.05, True),
        (BY_LEAVES, "leaves-rename", 1.15, False),
        (BY_BYTES, "bytes-turn", 1.05, True),
        (BY_BYTES, "bytes-turn", 1.15, False),
        (BY_BYTES, "bytes-rename", 0.05, True),
        (BY_BYTES, "bytes-rename", 0.15, False),
    ],
)
def test_growth_is_held_against_an_exponent(cases, key, power, holds):
    (found,) = (bar for bar in bars(growing(cases, power, key)) if "to the power of" in bar.what)
    assert (f"{power:.2f}", holds) == (found.measured, found.holds)


def test_growth_in_leaves_is_drawn_over_leaves(folder):
    write(folder)
    drawn = (folder / "growth-leaves.svg").read_text()
    assert [f">{leaves:,}<" in drawn for leaves in LEAVES] == [True] * 4
    assert LEAVES == tuple(leaves_of(size) for size in BY_LEAVES[0].sizes)


@pytest.mark.parametrize(("key", "peak", "holds"), [
    ("chunk-64MiB", 363, True), ("chunk-64MiB", 365, False), ("chunk-256MiB", 555, True), ("chunk-256MiB", 557, False),
])  # fmt: skip
def test_memory_is_held_against_the_budget_of_the_case(key, peak, holds):
    used = Figure(1.0, MARKS["memory"] + (peak << 20), MARKS)
    (found,) = (bar for bar in bars({(key, 1): used}) if "memory above imports" in bar.what)
    assert holds == found.holds


class Options:
    scale, sizes = 0.1, [0.5]


def test_a_checkpoint_is_written_once_for_all_cases_of_its_kind_and_size():
    pairs = list(checkpoints([case for case in CASES if case.part in ("orbax", "memory")], Options))
    assert len(set(pairs)) == len(pairs)
    assert ("transformer", 0.5) in pairs
    assert ("one-chunk", 0.1) in pairs
