"""The table of the attacks, and the page that `make torture` writes.

The figures are beside the page, in a JSON file: an attack that is run alone replaces its own row.
"""

import json
import os
import platform
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from types import SimpleNamespace

from tests.torture.framework import Outcome, Result, Tally

HEAD = ("attack", "tried", "survived", "found", "skipped", "minutes")


def table(tallies):
    """Returns one row for each attack, in Markdown."""
    rows = [_row(attack, tally) for attack, tally in tallies]
    total = [sum(int(row[column].replace(",", "")) for row in rows) for column in range(1, 5)]
    minutes = sum(tally.seconds for _, tally in tallies) / 60
    rows.append(("all", *(f"{number:,}" for number in total), f"{minutes:.1f}"))
    lines = [_line(HEAD), "| --- | ---: | ---: | ---: | ---: | ---: |", *map(_line, rows)]
    notes = [f"{attack.title}: {_kinds(tally)}." for attack, tally in tallies if tally.kinds]
    notes += [f"{attack.title}: {tally.reason}." for attack, tally in tallies if tally.skipped]
    notes += [f"{attack.title}: its share of the time ended first." for attack, tally in tallies if tally.stopped]
    return "\n".join([*lines, "", *notes]) if notes else "\n".join(lines)


def _kinds(tally):
    return ", ".join(f"{number:,} {kind}" for kind, number in tally.kinds.most_common())


def _row(attack, tally):
    found = len(tally.found)
    numbers = (tally.tried, tally.tried - found, found, tally.skipped)
    return (attack.title, *(f"{number:,}" for number in numbers), f"{tally.seconds / 60:.1f}")


def _line(cells):
    return f"| {' | '.join(cells)} |"


def write(path, tallies, chosen, order):
    """Writes the page, and its figures beside it: the table, and every finding with its reproduction.

    Args:
      path: the page.
      tallies: pairs of an `Attack` and its `Tally`.
      chosen: seed and scale.
      order: the names of all attacks; the rows of those that did not run are those of the last page.
    """
    file = path.with_suffix(".json")
    rows = json.loads(file.read_text("utf-8")) if file.exists() else {}
    rows |= {attack.name: _as_row(attack, tally) for attack, tally in tallies}
    file.write_text(json.dumps({name: rows[name] for name in order if name in rows}, indent=1) + "\n", "utf-8")
    path.write_text(_text([_of_row(rows[name]) for name in order if name in rows], chosen), "utf-8")


def _as_row(attack, tally):
    found = [{"detail": one.detail, "reproduction": one.reproduction} for one in tally.found]
    return {"title": attack.title, "machine": _machine(), **vars(tally), "found": found}


def _of_row(row):
    """Returns an attack, of which only the title is known, and its tally."""
    fields = {name: value for name, value in row.items() if name not in ("title", "machine")}
    found = [Result(Outcome.FOUND, **one) for one in fields.pop("found")]
    return SimpleNamespace(title=row["title"]), Tally(**{**fields, "found": found, "kinds": Counter(fields["kinds"])})


def _text(tallies, chosen):
    found = [finding for _, tally in tallies for finding in tally.found]
    parts = [
        "# Reliability",
        "`make torture` attacks migrate and writes this page; `make test` runs a sample. Each trial runs in processes "
        "of its own. It is *survived* if the command gives the right result or refuses, without a traceback, a hang, a "
        "change of SRC or a file outside DST. Anything else is *found*.",
        f"{datetime.now(UTC):%Y-%m-%d}, seed {chosen.seed}, scale {chosen.scale:g}. {_machine()}.",
        table(tallies),
        _PROMISE,
        "## Findings\n\n" + "\n".join(map(_finding, found)) if found else "Nothing was found.",
    ]
    return "\n\n".join(parts) + "\n"


_PROMISE = """\
*Refused* and *equal* (one flipped byte): the command refuses the checkpoint, or every value is the one that the
reference library reads from the same bytes. In a checkpoint that migrate wrote, `verify` refuses it, or nothing that
is read differs.

Not promised: a data file of SRC that is changed in place during a run, keeps its size and gets its old modification
time back is noticed only if its chunks are decoded and have checksums. The change time of its inode would show it,
but hard links change that time too, and several runs may link the files of one SRC. After a run, linked files still
share their bytes with SRC: a change of one in place is a change of both, which `verify` finds once digests are
recorded."""


def _finding(result):
    detail = " ".join(result.detail.split())[:300].replace("`", "'")
    return f"- `{result.reproduction}`: {detail}"


def _machine():
    packages = ("migrate-jax", "jax", "flax", "orbax-checkpoint", "tensorstore", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {python}, {versions}"
