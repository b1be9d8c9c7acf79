"""The table of `docs/suggest.md` for the kept rows: suggestions without the bundled files, against these files.

    python -m tests.families.suggested

rewrites it between its marks.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import migrate
from migrate.planning.model import Plan
from migrate.planning.suggest.pipeline import Suggestion
from tests.families import golden, trained, ways
from tests.families.page import model_of
from tests.planning.suggest.score import Score, score

PAGE = golden.ROOT / "docs/suggest.md"
START, END = "<!-- table of families -->", "<!-- end of the table of families -->"
HEAD = """\
| rule file | model | leaves | right | unproved: right as written | an alternative right | wrong | not placed | rules |
|---|---|---:|---:|---:|---:|---:|---:|---:|
"""


def scored(kept: golden.Golden, folder: Path) -> tuple[Score, Suggestion, Plan]:
    """Returns the score of the suggestion for a kept row, the suggestion, and the plan of the bundled file.

    What is right are the values that the bundled file gives.
    """
    source = trained.save_state(kept.row, folder / "old") if kept.row.trained else kept.source
    rules = migrate.load_rules(ways.rule_file(kept.row, folder), config=kept.config)
    with migrate.open_checkpoint(source) as checkpoint:
        template = migrate.abstract_template(str(kept.tree))
        suggestion = migrate.suggest(checkpoint, template, families=False)
        plan = migrate.plan(checkpoint, rules, template)
        return score(suggestion, plan, checkpoint), suggestion, plan


def rows() -> Iterator[tuple[str, Score]]:
    """Yields the lines of the table, with their scores."""
    for kept in golden.read():
        with tempfile.TemporaryDirectory() as folder:
            found, suggestion, _ = scored(kept, Path(folder))
        counts = (found.leaves, found.right, found.doubted, found.alternative, len(found.wrong), found.unplaced)
        numbers = " | ".join(map(str, (*counts, suggestion.rules)))
        yield f"| `{kept.row.rules}` | {model_of(kept.row)} | {numbers} |\n", found


def total(scores: Sequence[Score]) -> str:
    """Returns the last line of the table."""
    leaves, right = sum(one.leaves for one in scores), sum(one.right for one in scores)
    doubted, other = sum(one.doubted for one in scores), sum(one.alternative for one in scores)
    wrong, unplaced = sum(len(one.wrong) for one in scores), sum(one.unplaced for one in scores)
    return f"| all | | {leaves} | {right} | {doubted} | {other} | {wrong} | {unplaced} | |\n"


def updated(text: str, lines: Sequence[str]) -> str:
    """Returns the page with these lines in its table."""
    before, rest = text.split(START)
    return f"{before}{START}\n\n{HEAD}{''.join(lines)}\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Writes the page."""
    found = list(rows())
    lines = [line for line, _ in found]
    text = updated(PAGE.read_text(encoding="utf-8"), [*lines, total([one for _, one in found])])
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
