"""The table of `docs/suggest.md`: models × leaves × right, unproved, wrong.

    python -m tests.planning.suggest.table

rewrites it between its marks. Checkpoints that are not on this machine keep their rows.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import migrate
from tests.oracle.cases import CASES as FIXTURES
from tests.planning.suggest.models import eras
from tests.planning.suggest.score import CASES, Score, score, truth_plan, write_source

PAGE = Path(__file__).resolve().parents[3] / "docs/suggest.md"
START, END = "<!-- table -->", "<!-- end of the table -->"
HEAD = """\
| model | from | leaves | right | unproved: right as written | an alternative is right | wrong | not placed | rules |
|---|---|---:|---:|---:|---:|---:|---:|---:|
"""


def rows(every: int = 1) -> Iterator[str]:
    """Yields the table's lines, for every checkpoint that is present (default), or for 1 of a number of them."""
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES[::every]:
            write_source(case, Path(folder) / "source.msgpack")
            yield _row(case.model, "Linen", Path(folder) / "source.msgpack", case)
        for case in eras.CASES[::every]:
            source = eras.unpack(case.era, Path(folder)) / case.folder / "ckpt"
            yield _row(case.model, f"NNX, Flax {case.era}", source, case)
    for case in FIXTURES[::every]:
        if case.checkpoint.exists():
            where = (
                "real checkpoint" if case.real else case.checkpoint.relative_to(PAGE.parents[1] / "fixtures").parts[0]
            )
            yield _row(case.name.removeprefix(f"{where}-").removeprefix("real-"), where, case.checkpoint, case)


def _row(name: str, where: str, source: Path, case: object) -> str:
    with migrate.open_checkpoint(source) as checkpoint:
        rules = getattr(case, "rules", None)
        spec = migrate.load_rules(rules).target.template if rules else case.template
        template = migrate.abstract_template(spec)
        truth = migrate.plan(checkpoint, rules, template) if rules else truth_plan(case, checkpoint, template)
        suggestion = migrate.suggest(checkpoint, template)
        return _line(name, where, score(suggestion, truth, checkpoint), suggestion.rules)


def _line(name: str, where: str, found: Score, rules: int) -> str:
    counts = (found.leaves, found.right, found.doubted, found.alternative, len(found.wrong), found.unplaced, rules)
    return f"| {name} | {where} | {' | '.join(map(str, counts))} |\n"


def updated(text: str, lines: list[str]) -> str:
    """Returns the page with these lines in its table; rows of absent checkpoints stay."""
    before, rest = text.split(START)
    table, after = rest.split(END)
    key = {_key(line): line for line in lines}
    kept = [line for line in table.splitlines(keepends=True) if "real checkpoint" in line and _key(line) not in key]
    return f"{before}{START}\n\n{HEAD}{''.join([*lines, *kept])}\n{END}{after}"


def _key(line: str) -> tuple[str, ...]:
    return tuple(line.split(" | ")[:2])


def main() -> int:
    """Writes the page."""
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), list(rows())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
