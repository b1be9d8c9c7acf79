"""The bars that the figures are held against."""

from dataclasses import dataclass

from tests.benchmarks.case import BUDGET, LEAF_BYTES
from tests.benchmarks.cases import BY_KEY, READS
from tests.benchmarks.growth import BY_BYTES, BY_LEAVES, STREAMED, curves, exponent

MIB = 1 << 20
SLACK = 300 * MIB
"""What the libraries may take beside the budget."""

RELINKED = ("d", "drop", "e")
MANY = ("many", "many-cast", "many-msgpack")
"""The cases with many leaves, whose number their size determines."""


@dataclass(frozen=True)
class Bar:
    """One thing that must hold, what was measured, and whether it does."""

    what: str
    measured: str
    holds: bool


def bars(figures):
    """All bars that can be judged from these medians.

    Args:
      figures: the median figure by case and gigabytes.
    """
    return [
        *_engine(figures),
        *_same_time(figures),
        *_growth(figures),
        *_against_orbax(figures),
        *_bytes(figures),
        *_transposes(figures),
        *_memory(figures),
        *_single(figures),
        *_reading(figures),
        *_loading(figures),
    ]


def _spent(figure):
    return sum(figure.marks["phases"].values())


def _both(figures, *pairs):
    return all(pair in figures for pair in pairs)


def _engine(figures):
    for key in RELINKED:
        if (key, 1) in figures:
            spent = _spent(figures[key, 1])
            yield Bar(f"{key}, 1 GB: engine and commit ≤ 0.3 s", f"{spent:.2f} s", spent <= 0.3)


def _same_time(figures):
    for key in RELINKED:
        if _both(figures, (key, 1), (key, 4)):
            ratio = _spent(figures[key, 4]) / _spent(figures[key, 1])
            yield Bar(f"{key}: engine and commit at 4 GB ≤ 1.3× that at 1 GB", f"{ratio:.2f}×", ratio <= 1.3)


def _growth(figures):
    """The exponents of the curves through the CPU seconds, which other work of the machine affects least."""
    for of, cases in (("bytes", BY_BYTES), ("leaves", BY_LEAVES)):
        for curve in curves(figures, cases):
            most = 1.1 if of == "leaves" or curve.case.key in STREAMED else 0.1
            found = exponent(curve.cpu)
            yield Bar(
                f"{curve.case.key}: CPU time grows with {of} to the power of ≤ {most:g}", f"{found:.2f}", found <= most
            )


def _against_orbax(figures):
    for key in RELINKED:
        for size, least in ((1, 3), (4, 8)):
            if _both(figures, ("a", size), (key, size)):
                ratio = figures["a", size].seconds / figures[key, size].seconds
                yield Bar(f"{key}, {size} GB: {least}× as fast as (a)", f"{ratio:.1f}×", ratio >= least)


def _bytes(figures):
    """A relink may touch indexes and metadata, a few hundred bytes a leaf, but no array."""
    for (key, size), figure in figures.items():
        if key in RELINKED:
            marks = figure.marks
            moved = marks["store_read"] + marks["store_written"]
            what = f"{key}, {size:g} GB: bytes through TensorStore ≤ 5 MB, all of it indexes and metadata"
            yield Bar(what, f"{moved / 1e6:.2f} MB", moved <= 5e6)
            if size == 4 and (key, 1) in figures:
                ratio = moved / sum(figures[key, 1].marks[name] for name in ("store_read", "store_written"))
                yield Bar(f"{key}: bytes through TensorStore at 4 GB are those at 1 GB", f"{ratio:.2f}×", ratio <= 1.05)


def _transposes(figures):
    for (key, size), figure in figures.items():
        if key == "f" and ("a", size) in figures:
            ratio = figure.seconds / figures["a", size].seconds
            yield Bar(f"f, {size:g} GB: ≤ 0.8× the time of (a)", f"{ratio:.2f}×", ratio <= 0.8)


def _memory(figures):
    for (key, size), figure in figures.items():
        if "memory" in figure.marks and key != "full":
            above, allowed = figure.peak - figure.marks["memory"], BY_KEY[key].budget + SLACK
            what = f"{key}, {size:g} GB: memory above imports ≤ `--max-ram` + 300 MB ({allowed / 1e6:.0f} MB)"
            yield Bar(what, f"{above / 1e6:.0f} MB", above <= allowed)


def _single(figures):
    for (key, size), figure in figures.items():
        if key == "dry":
            yield Bar("dry-run on 10,000 leaves ≤ 2 s beyond imports", f"{figure.marks['work']:.2f} s",
                      figure.marks["work"] <= 2)  # fmt: skip
        if key == "check":
            seconds = figure.marks["cpu"]
            yield Bar("check of 50 versions with 2,000 leaves each: ≤ 5 s of CPU", f"{seconds:.2f} s", seconds <= 5)
        if key in MANY and "cpu" in figure.marks:
            each = figure.marks["cpu"] / round(size * 1e9 / LEAF_BYTES) * 1e3
            yield Bar(f"{key}: ≤ 1.5 ms of CPU for each leaf", f"{each:.2f} ms", each <= 1.5)
        if key == "full":
            peak = figure.peak / 1e9
            yield Bar(
                f"full verification of {size:g} GB: peak of the whole process < 1.2 GB", f"{peak:.2f} GB", peak < 1.2
            )


def _reading(figures):
    for (key, size), figure in figures.items():
        if key in READS and (READS[key], size) in figures:
            ratio = figure.marks["reading"] / figures[READS[key], size].marks["reading"]
            yield Bar(f"{key}, {size:g} GB: not slower than {READS[key]}", f"{ratio:.2f}×", ratio <= 1)


def _loading(figures):
    """A load through rules against Orbax's restore of the migrated copy; streamed leaves per encoded byte."""
    for (key, size), figure in figures.items():
        other = figures.get((key.replace("load-migrate", "load-orbax"), size))
        if not key.startswith("load-migrate") or other is None:
            continue
        mine, theirs, name = figure.marks, other.marks, key.removeprefix("load-migrate-")
        streamed = name.startswith("streamed")
        share = mine["read"] / theirs["read"] if streamed else 1
        most = 1.1 if streamed else 1.0
        for unit, what in (("cpu", "CPU"), ("loading", "wall")):
            if name.startswith("small") and unit != "cpu":
                continue
            ratio = mine[unit] / theirs[unit] / share
            each = ", per encoded byte" if streamed else ""
            yield Bar(f"load {name}: {what}{each} ≤ {most:.1f}× Orbax", f"{ratio:.2f}×", ratio <= most)
        if not name.startswith("small"):
            allowed = BUDGET + 150e6
            what = f"load {name}: memory above the arrays ≤ `max_ram` + 150 MB ({allowed / 1e6:.0f} MB)"
            yield Bar(what, f"{mine['above'] / 1e6:.0f} MB", mine["above"] <= allowed)
