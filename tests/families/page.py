"""The table in docs/families.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.families.check import Figures
from tests.families.rows import Row

PAGE = Path(__file__).parents[2] / "docs/families.md"
BEGIN, END = "<!-- written by `make families` -->\n", "<!-- end -->\n"
_HEAD = (
    "| rule file | model | lines | leaves | logits | way back | `from_pretrained` |\n|---|---|---:|---:|---:|---|---|"
)


def line(figures: Figures) -> str:
    """Returns the row of the table."""
    logits = "not run" if figures.logits is None else f"{figures.logits:.1e}"
    changed = f"{figures.rounded:.1e}" if figures.row.rounds else f"{len(figures.changed)} differ"
    back = changed if figures.changed else "bit for bit"
    loading = " / ".join(str(len(names)) for names in figures.loading.values()) or "not run"
    cells = (
        f"`{figures.row.rules}`",
        model_of(figures.row),
        str(figures.lines),
        str(figures.leaves),
        logits,
        back,
        loading,
    )
    return f"| {' | '.join(cells)} |"


def model_of(row: Row) -> str:
    """Returns what distinguishes a row from others of its rule file."""
    return ", ".join(part for part in (row.variant, "tied" if row.tied else "", row.dtype) if part)


def write(figures: Iterable[Figures], versions: Mapping[str, str]) -> None:
    """Replaces the table of the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    table = "\n".join([_HEAD, *map(line, figures)])
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n\nMeasured with {named}.\n\n{END}{after}", encoding="utf-8")
