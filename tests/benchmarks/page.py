"""The page of figures: tables, a plot, and every requirement with its measurement.

python -m tests.benchmarks.page docs/benchmarks      # writes the page again from the raw figures
"""

import json
import sys
from pathlib import Path

from tests.benchmarks.bars import bars
from tests.benchmarks.cases import CASES, SIZED
from tests.benchmarks.measure import middle, of_json
from tests.benchmarks.plot import draw

TITLES = {case.key: case.title for case in CASES}


def write(folder):
    """Writes README.md and sizes.svg beside figures.json; returns the page's text."""
    raw = json.loads((Path(folder) / "figures.json").read_text())
    figures = medians(raw)
    (Path(folder) / "sizes.svg").write_text(plot(figures))
    text = page(figures, raw["machine"], raw["runs"])
    (Path(folder) / "README.md").write_text(text)
    return text


def medians(raw):
    """The median figure of each case at each size: `{(case, gigabytes): figure}`."""
    return {(row["case"], row["gigabytes"]): middle(of_json(row["figures"])) for row in raw["figures"]}


def page(figures, machine, runs):
    """The whole page in Markdown."""
    parts = [
        "# Time and memory",
        f"Medians of {runs} rounds. Each round ran every case once, sequentially, in separate processes with warm "
        f"caches. `make bench` writes this page and the raw figures in `figures.json`.\n\n{machine}.",
        "## Transformers with Adam state",
        "12 layers in float32 at every size: the number of leaves is constant, the bytes grow. Figures are for whole "
        "processes, imports included, with the default verification.",
        sizes_table(figures),
        "![Time and memory against size](sizes.svg)",
        "## Work of migrate beyond imports",
        "Engine: staging, commit and verification. Memory: the peak beyond the memory after imports. TensorStore: all "
        "bytes that its file driver read and wrote, indexes and array metadata included. System calls: all bytes that "
        "the process read and wrote, Python modules and JSON included.",
        work_table(figures),
        "## Reading",
        "Reading and hashing every leaf of 1 GB as NumPy arrays: seconds beyond imports, and the peak memory of the "
        "whole process.",
        reading_table(figures),
        "## Loading onto eight devices",
        "From the old checkpoint through the rules (migrate), and from the copy that `apply` wrote (Orbax). Seconds "
        "and CPU seconds beyond imports; memory: the peak beyond the loaded arrays.",
        loading_table(figures),
        "## Requirements",
        bars_table(bars(figures)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def sizes_table(figures):
    """Seconds and peak memory of each case at each size."""
    keys = [case.key for case in SIZED if any(key == case.key for key, _ in figures)]
    sizes = sorted({size for key, size in figures if key in keys})
    head = [f"{size:g} GB, {unit}" for unit in ("s", "peak GB") for size in sizes]
    rows = []
    for key in keys:
        found = [figures.get((key, size)) for size in sizes]
        seconds = [f"{figure.seconds:.2f}" if figure else "" for figure in found]
        rows.append([TITLES[key], *seconds, *(f"{figure.peak / 1e9:.2f}" if figure else "" for figure in found)])
    return table(["case", *head], rows)


def work_table(figures):
    """The records of `tests.benchmarks.marked` for each migrate case."""
    rows = []
    for (key, size), figure in figures.items():
        if "imports" in (marks := figure.marks):
            phases = marks.get("phases", {})
            spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in phases.items())
            rows.append(
                [TITLES[key], f"{size:g}", f"{marks['imports']:.2f}", f"{marks['work']:.2f}", spent]
                + [f"{(figure.peak - marks['memory']) / 1e9:.2f}"]
                + [amount(marks[name]) for name in ("store_read", "store_written", "read", "written")]
            )
    head = ["case", "GB", "imports, s", "rest, s", "engine, s", "memory, GB", "TensorStore read", "written"]
    return table([*head, "system calls read", "written"], rows)


def reading_table(figures):
    """The duration and memory of each way of reading."""
    rows = [
        [TITLES[key], f"{figure.marks['reading']:.2f}", f"{figure.peak / 1e9:.2f}"]
        for (key, _), figure in figures.items()
        if "reading" in figure.marks
    ]
    return table(["case", "s", "peak GB"], rows)


def loading_table(figures):
    """The duration, CPU and memory of each load."""
    rows = [
        [TITLES[key], f"{m['loading']:.2f}", f"{m['cpu']:.2f}", amount(m["above"]), amount(m["read"])]
        for (key, _), figure in figures.items()
        if "loading" in (m := figure.marks)
    ]
    return table(["case", "s", "CPU s", "memory", "read"], rows)


def bars_table(found):
    """Every requirement with its measurement."""
    return table(
        ["requirement", "measured", "met"], [[b.what, b.measured, "yes" if b.holds else "**no**"] for b in found]
    )


def amount(count):
    """Bytes with their unit."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def table(head, rows):
    """A Markdown table whose columns after the first are right-aligned; empty without rows."""
    if not rows:
        return ""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def plot(figures):
    """Time and memory against size."""
    panels = []
    for title, value in (("seconds", lambda f: f.seconds), ("peak memory, GB", lambda f: f.peak / 1e9)):
        lines = {}
        for case in SIZED:
            points = sorted((size, value(f)) for (key, size), f in figures.items() if key == case.key)
            if points:
                lines[case.title] = points
        panels.append((title, lines))
    return draw(panels)


if __name__ == "__main__":
    print(write(sys.argv[1]))
