"""Measures every row and writes the table.

    python -m tests.families                      every row
    python -m tests.families --only hf/qwen3      the rows of one rule file
    python -m tests.families --write --keep       writes docs/families.md and fixtures/families again

Exit code 1 if a row does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.families import golden, page
from tests.families.check import Figures
from tests.families.rows import ROWS, Row
from tests.families.run import run, versions


def main(words: list[str] | None = None) -> int:
    """Runs the chosen rows; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.families", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="RULES", help="a rule file or a row (repeatable)")
    parser.add_argument("--write", action="store_true", help="write the table to docs/families.md")
    parser.add_argument("--keep", action="store_true", help="write fixtures/families")
    chosen = parser.parse_args(words)
    rows = [row for row in ROWS if not chosen.only or {row.rules, row.name} & set(chosen.only)]
    figures = [one for row in rows if (one := _measured(row, keep=chosen.keep)) is not None]
    if len(figures) < len(rows):
        return 1
    if chosen.keep:
        golden.prune()
    if chosen.write:
        page.write(figures, versions())
    return int(not all(one.passed for one in figures))


def _measured(row: Row, *, keep: bool) -> Figures | None:
    """Returns what a row measured; None where a command failed, whose output is printed."""
    with tempfile.TemporaryDirectory(prefix="migrate-families-") as folder:
        try:
            figures = run(row, Path(folder), keep=keep and row.golden)
        except AssertionError as error:
            print(f"{row.name}: {error}", flush=True)
            return None
    print(page.line(figures), flush=True)
    return figures


sys.exit(main())
