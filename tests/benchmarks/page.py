"""The page of figures: tables, plots, and every requirement with its measurement.

python -m tests.benchmarks.page docs/benchmarks      # writes the page again from the raw figures
"""

import json
import sys
from pathlib import Path

from tests.benchmarks.bars import bars
from tests.benchmarks.case import PARTS
from tests.benchmarks.cases import BY_KEY, SIZED
from tests.benchmarks.growth import BY_BYTES, BY_LEAVES
from tests.benchmarks.growth_page import growth_plot, growth_table, memory_table
from tests.benchmarks.measure import middle, of_json
from tests.benchmarks.plot import draw
from tests.benchmarks.tables import amount, table


def write(folder):
    """Writes README.md and the plots beside figures.json; returns the page's text."""
    folder = Path(folder)
    parts = json.loads((folder / "figures.json").read_text())["parts"]
    figures = medians(parts)
    for name, drawn in plots(figures).items():
        (folder / name).write_text(drawn)
    text = page(figures, parts)
    (folder / "README.md").write_text(text)
    return text


def medians(parts):
    """The median figure of each case at each size: `{(case, gigabytes): figure}`.

    Args:
      parts: what was measured of each part, as figures.json has it.
    """
    rows = (row for name in PARTS if name in parts for row in parts[name]["figures"])
    return {(row["case"], row["gigabytes"]): middle(of_json(row["figures"])) for row in rows}


def plots(figures):
    """The SVG files by name."""
    made = {
        "sizes.svg": plot(figures),
        "growth-bytes.svg": growth_plot(figures, BY_BYTES, "checkpoint, GB"),
        "growth-leaves.svg": growth_plot(figures, BY_LEAVES, "leaves"),
    }
    return {name: drawn for name, drawn in made.items() if drawn}


def page(figures, parts):
    """The whole page in Markdown."""
    sections = [
        _section("Transformers with Adam state", SIZES, sizes_table(figures), "sizes.svg"),
        _section("Work of migrate beyond imports", WORK, work_table(figures)),
        _section("Growth in bytes", GROWTH_BYTES, growth_table(figures, BY_BYTES), "growth-bytes.svg"),
        _section("Growth in leaves", GROWTH_LEAVES, growth_table(figures, BY_LEAVES), "growth-leaves.svg"),
        _section("Memory against the budget", MEMORY, memory_table(figures)),
        _section("Reading", READING, reading_table(figures)),
        _section("Loading onto eight devices", LOADING, loading_table(figures)),
        _section("Requirements", "", bars_table(bars(figures))),
    ]
    text = ["# Time and memory", HEAD, parts_table(parts), *(part for section in sections for part in section)]
    return "\n\n".join(part for part in text if part) + "\n"


HEAD = (
    "Medians of several rounds. Each round ran every case of a part once, sequentially, in separate processes with "
    "warm caches. `make bench` writes this page and the raw figures in `figures.json`; "
    "`python -m tests.benchmarks.run --only PART` measures one part again."
)
SIZES = (
    "12 layers in float32 at every size: the number of leaves is constant, the bytes grow. Figures are for whole "
    "processes, imports included, with the default verification."
)
WORK = (
    "Engine: staging, commit and verification. Memory: the peak beyond the memory after imports. TensorStore: all "
    "bytes that its file driver read and wrote, indexes and array metadata included. System calls: all bytes that "
    "the process read and wrote, Python modules and JSON included."
)
GROWTH = (
    "Seconds beyond imports. A time that is proportional to the size has the exponent 1, one that does not depend on "
    "it the exponent 0; the exponents are those of least-squares fits over all sizes, and of the last step alone. "
    "Memory is the peak beyond imports at the largest size."
)
GROWTH_BYTES = f"The transformers above, with transposes in float32. {GROWTH}"
GROWTH_LEAVES = f"Matrices of 16×16 float32, 1 KiB each, in 100 layers. {GROWTH}"
MEMORY = (
    "The peak beyond imports for each `--max-ram`. Every array passes through the process: it is larger than the "
    "smaller budgets, or one of very many."
)
READING = (
    "Reading and hashing every leaf of 1 GB as NumPy arrays: seconds beyond imports, and the peak memory of the "
    "whole process."
)
LOADING = (
    "From the old checkpoint through the rules (migrate), and from the copy that `apply` wrote (Orbax). Seconds "
    "and CPU seconds beyond imports; memory: the peak beyond the loaded arrays."
)


def _section(title, text, rows, picture=""):
    """A heading with its text, table and plot; empty without figures."""
    if not rows:
        return []
    return [f"## {title}", text, rows, f"![{title}]({picture})" if picture else ""]


def parts_table(parts):
    """When and where each part was measured."""
    found = [(name, parts[name]) for name in PARTS if name in parts]
    return table(
        ["part", "rounds", "measured", "machine"],
        [[f"`{name}`", str(part["runs"]), part["date"], part["machine"]] for name, part in found],
    )


def sizes_table(figures):
    """Seconds and peak memory of each case at each size."""
    cases = [case for case in SIZED if any(key == case.key for key, _ in figures)]
    keys = {case.key for case in cases}
    sizes = sorted({size for key, size in figures if key in keys})
    head = [f"{size:g} GB, {unit}" for unit in ("s", "peak GB") for size in sizes]
    rows = []
    for case in cases:
        found = [figures.get((case.key, size)) for size in sizes]
        seconds = [f"{figure.seconds:.2f}" if figure else "" for figure in found]
        rows.append([case.title, *seconds, *(f"{figure.peak / 1e9:.2f}" if figure else "" for figure in found)])
    return table(["case", *head], rows)


def work_table(figures):
    """The records of `tests.benchmarks.marked` for each case of `orbax` and `single`."""
    rows = []
    for (key, size), figure in figures.items():
        if "imports" in (marks := figure.marks) and BY_KEY[key].part in ("orbax", "single"):
            phases = marks.get("phases", {})
            spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in phases.items())
            rows.append(
                [BY_KEY[key].title, f"{size:g}", f"{marks['imports']:.2f}", f"{marks['work']:.2f}", spent]
                + [f"{(figure.peak - marks['memory']) / 1e9:.2f}"]
                + [amount(marks[name]) for name in ("store_read", "store_written", "read", "written")]
            )
    head = ["case", "GB", "imports, s", "rest, s", "engine, s", "memory, GB", "TensorStore read", "written"]
    return table([*head, "system calls read", "written"], rows)


def reading_table(figures):
    """The duration and memory of each way of reading."""
    rows = [
        [BY_KEY[key].title, f"{figure.marks['reading']:.2f}", f"{figure.peak / 1e9:.2f}"]
        for (key, _), figure in figures.items()
        if "reading" in figure.marks
    ]
    return table(["case", "s", "peak GB"], rows)


def loading_table(figures):
    """The duration, CPU and memory of each load."""
    rows = [
        [BY_KEY[key].title, f"{m['loading']:.2f}", f"{m['cpu']:.2f}", amount(m["above"]), amount(m["read"])]
        for (key, _), figure in figures.items()
        if "loading" in (m := figure.marks)
    ]
    return table(["case", "s", "CPU s", "memory", "read"], rows)


def bars_table(found):
    """Every requirement with its measurement."""
    return table(
        ["requirement", "measured", "met"], [[b.what, b.measured, "yes" if b.holds else "**no**"] for b in found]
    )


def plot(figures):
    """Time and memory against size; empty without figures."""
    panels = []
    for title, value in (("seconds", lambda f: f.seconds), ("peak memory, GB", lambda f: f.peak / 1e9)):
        lines = {}
        for case in SIZED:
            points = sorted((size, value(f)) for (key, size), f in figures.items() if key == case.key)
            if points:
                lines[case.title] = points
        panels.append((title, lines))
    return draw(panels) if any(lines for _, lines in panels) else ""


if __name__ == "__main__":
    print(write(sys.argv[1]))
