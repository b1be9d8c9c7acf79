"""The sources of a plan in its report: which leaves of each are used, dropped, or neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from migrate.engine.receipt import SourceUsed
from migrate.planning.model import Plan
from migrate.planning.plan_file.read import FORMAT as PLAN_FILE
from migrate.report.amounts import plural
from migrate.source_names import source_of
from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class SourceCount:
    """One source of a plan, with the numbers of its leaves.

    Attributes:
      name: its name; empty for the main source.
      leaves: all leaves.
      used: the leaves that tasks read.
      dropped: the leaves that are left behind.
      items: the JSON items and unread items of a named source, which no new checkpoint gets.
    """

    name: str
    path: str
    format: str
    structure_hash: str
    leaves: int
    used: int
    dropped: int
    items: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its part of the report."""
        left = self.leaves - self.used - self.dropped
        parts = [f"{self.used:,} used", *([f"{self.dropped:,} dropped"] if self.dropped else [])]
        parts += [f"{left:,} neither"] if left else []
        leaves = plural(self.leaves, "leaf")
        where = f" = {self.path} ({self.format}, {leaves})" if self.format != PLAN_FILE else f" ({leaves})"
        rest = f"; not carried over: {', '.join(self.items)}" if self.items else ""
        return f"{self.name or 'SRC'}{where}: {', '.join(parts)}{rest}"


def source_counts(plan: Plan) -> list[SourceCount]:
    """Returns the sources of a plan, the main one first."""
    used = _by_source({path for task in plan.tasks for path in task.sources})
    dropped = _by_source({drop.source for drop in plan.dropped})
    return [
        SourceCount(
            name,
            str(one.path),
            one.format,
            one.structure_hash,
            len(one.tree.leaves),
            used[name],
            dropped[name],
            (*one.extras, *one.unread) if name else (),
        )
        for start, one in plan.source.checkpoints.items()
        for name in (source_of(start),)
    ]


def _by_source(paths: Iterable[KeyPath]) -> Counter[str]:
    return Counter(map(source_of, paths))


def source_sentences(plan: Plan) -> Iterator[str]:
    """Yields a sentence for each source; none where there is only one."""
    if plan.source.sources:
        yield from (f"{one.text}." for one in source_counts(plan))


def sources_data(plan: Plan) -> dict[str, Any]:
    """Returns the named sources and the main one for programs; empty where there is only one."""
    if not plan.source.sources:
        return {}
    return {
        "sources": [
            {
                "name": one.name,
                "path": one.path,
                "format": one.format,
                "structure_hash": one.structure_hash,
                "leaves": one.leaves,
                "used": one.used,
                "dropped": one.dropped,
                "items_left_behind": list(one.items),
            }
            for one in source_counts(plan)
        ]
    }


def used_sources_data(sources: Iterable[SourceUsed]) -> dict[str, Any]:
    """Returns the sources of a receipt for programs; empty where there is only one."""
    found = [
        {"name": one.name, "path": str(one.path), "structure_hash": one.structure_hash, "files": one.files}
        for one in sources
    ]
    return {"sources": found} if found else {}
