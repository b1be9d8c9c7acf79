"""The page of conversions between model families.

python -m tests.benchmarks.converting.page docs/benchmarks      # writes the page again from families.json
"""

import json
import sys
from pathlib import Path
from statistics import median

from tests.benchmarks.bars import Bar
from tests.benchmarks.converting.ways import BACK, BY_KEY, THERE
from tests.benchmarks.tables import amount, table

TITLES = {THERE: "From Hugging Face to tunix", BACK: "From tunix to Hugging Face"}
MOST = 0.7
"""The most time of migrate, as a part of the time of the user's script."""

NUMBERS = ("seconds", "cpu", "system", "peak")


def write(folder):
    """Writes families.md beside families.json; returns its text."""
    folder = Path(folder)
    text = page(json.loads((folder / "families.json").read_text()))
    (folder / "families.md").write_text(text)
    return text


HEAD = """# Conversions between model families

A model of {gigabytes:g} GB in bfloat16, with random params and the names of Qwen 3: {num_hidden_layers} layers of width
{hidden_size:,}, {vocab_size:,} tokens, a head of its own; the folder has files of at most 2 GB. Figures are for whole
processes, imports included, with a warm page cache, and with migrate's default verification, which reads the result
back. The scripts (`tests/benchmarks/converting/by_hand.py`) verify nothing. Each round ran every way once, one after
the other; the figures are medians of {runs}. `families.json` has the raw ones. In the environment of `make families`,
`python -m tests.benchmarks.converting` writes this page.

Measured {date} on {machine}.
"""
COLUMNS = ["way", "wall, s", "CPU, s", "of it system, s", "peak", "wall / script", "CPU / script"]
MEMORY = "The memory of a process is its peak with a model of one layer and a sixteenth of the widths."


def page(found):
    """The whole page in Markdown."""
    middle = {key: _medians(runs) for key, runs in found["figures"].items()}
    named = {name: found[name] for name in ("date", "machine")}
    runs = f"{found['runs']} round{'s'[: found['runs'] > 1]}"
    sections = [HEAD.format(**found["model"], **named, runs=runs)]
    for direction, title in TITLES.items():
        rows = _rows(middle, direction)
        if rows:
            sections.append(f"## {title}\n\n{table(COLUMNS, rows)}\n")
    judged = [[bar.what, bar.measured, "yes" if bar.holds else "**no**"] for bar in bars(middle, found["base"])]
    sections.append(f"## Requirements\n\n{MEMORY}\n\n{table(['requirement', 'measured', 'met'], judged)}\n")
    return "\n".join(sections)


def _medians(runs):
    return {name: median(run[name] for run in runs) for name in NUMBERS}


def _rows(middle, direction):
    script = middle.get(f"{direction}-hand")
    rows = []
    for key in (key for key in middle if BY_KEY[key].direction == direction):
        mine = middle[key]
        parts = [f"{mine[name] / script[name]:.2f}" if script else "" for name in ("seconds", "cpu")]
        times = [f"{mine[name]:.1f}" for name in ("seconds", "cpu", "system")]
        rows.append([BY_KEY[key].title, *times, amount(mine["peak"]), *parts])
    return rows


def bars(middle, base):
    """The requirements that can be judged from the medians, and from the peaks with a tiny model."""
    for direction in TITLES:
        script = middle.get(f"{direction}-hand")
        if script and direction in middle:
            part = middle[direction]["seconds"] / script["seconds"]
            yield Bar(f"{TITLES[direction]}: time ≤ {MOST:g}× that of the script", f"{part:.2f}×", part <= MOST)
    for key in (key for key in middle if BY_KEY[key].is_migrate):
        way, above = BY_KEY[key], middle[key]["peak"] - base[key]
        allowed = way.budget
        what = f"{way.title}: memory above that of the process ≤ `--max-ram` ({amount(allowed)})"
        yield Bar(what, amount(above), above <= allowed)


if __name__ == "__main__":
    print(write(sys.argv[1]))
