"""The tables and plots of growth and of memory."""

from tests.benchmarks.growth import curves, exponent
from tests.benchmarks.memory import BUDGETS, WORK
from tests.benchmarks.plot import draw
from tests.benchmarks.tables import amount, table


def growth_table(figures, cases):
    """Seconds of each case at each size, with the exponents."""
    found = list(curves(figures, cases))
    sizes = sorted({size for curve in found for size, _ in curve.seconds})
    unit = " GB" if cases[0].part == "growth-bytes" else " leaves"
    rows = []
    for curve in found:
        seconds = dict(curve.seconds)
        cells = [f"{seconds[size]:.2f}" if size in seconds else "" for size in sizes]
        exponents = (exponent(points) for points in (curve.seconds, curve.seconds[-2:], curve.cpu))
        memory = amount(curve.memory[-1][1])
        rows.append([curve.case.title, *cells, *(f"{each:.2f}" for each in exponents), memory])
    head = [f"{size:,g}{unit}, s" for size in sizes]
    return table(["case", *head, "exponent", "of the last step", "of CPU seconds", "memory"], rows)


def growth_plot(figures, cases, across):
    """Seconds and memory beyond imports against size; empty without figures."""
    found = list(curves(figures, cases))
    seconds = {curve.case.title: curve.seconds for curve in found}
    memory = {curve.case.title: [(size, nbytes / 1e9) for size, nbytes in curve.memory] for curve in found}
    panels = [("seconds beyond imports", seconds), ("memory beyond imports, GB", memory)]
    return draw(panels, across) if found else ""


def memory_table(figures):
    """The peak beyond imports of each case of `memory` with each budget."""
    by_key, rows = {key: figure for (key, _), figure in figures.items()}, []
    for key, title, *_ in WORK:
        found = [by_key.get(f"{key}-{budget}") for budget in BUDGETS]
        if any(found):
            rows.append([title, *(amount(one.peak - one.marks["memory"]) if one else "" for one in found)])
    return table(["case", *(f"`--max-ram {budget}`" for budget in BUDGETS)], rows)
