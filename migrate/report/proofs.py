"""The proofs of a plan and of a probe, as text and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from migrate.planning.model import Proof, Task
from migrate.planning.proof import unseen_order
from migrate.report.amounts import plural
from migrate.report.collapse import Line, column, merge_integers, merge_siblings
from migrate.tree import format_path

if TYPE_CHECKING:
    from migrate.engine.probing.probe import Probed

MOST_PAIRS = 12
"""The most pairs of outputs whose figures are listed."""

_PROVED: tuple[Proof, ...] = ("name", "shape", "value")


def proof_counts(counts: Mapping[Proof, int]) -> str:
    """Returns `Leaves: 20 proved by shape, 2 unproved`; an empty string if there is nothing to prove."""
    parts = [f"{counts[kind]:,} proved by {kind}" for kind in _PROVED if counts.get(kind)]
    parts += [f"{counts['none']:,} unproved"] if counts.get("none") else []
    return f"Leaves: {', '.join(parts)}" if parts else ""


def proof_data(counts: Mapping[Proof, int]) -> dict[str, int]:
    """Returns the counts for programs, zeros included."""
    return {kind: counts.get(kind, 0) for kind in (*_PROVED, "none")}


def unproved_lines(tasks: Iterable[Task]) -> Iterable[str]:
    """Yields the unproved tasks, layers merged; moments are only counted, as their proof is that of their params."""
    unproved = [task for task in tasks if task.proved == "none"]
    lines = [Line((column(task.sources), column(task.targets)), (), (task,)) for task in unproved if not task.follows]
    if unproved:
        yield "Unproved (assigned by the rule file alone):"
    yield from (f"  {' → '.join(line.texts)}" for line in merge_siblings(merge_integers(lines)))
    moments = sum(len(task.targets) for task in unproved if task.follows)
    if moments:
        yield f"  and {plural(moments, 'moment')} that follow{'s' if moments == 1 else ''} them"


def unseen_orders(tasks: Iterable[Task]) -> Iterable[str]:
    """Yields the unproved tasks that split or merge axes: no shape shows the order of the factors."""
    lines = [
        Line((column(task.sources), column(task.targets)), (order,), (task,))
        for task in tasks
        if task.proved == "none" and not task.follows and (order := unseen_order(task))
    ]
    if lines:
        yield "Split or merged axes, whose order only a probe shows:"
    for line in merge_siblings(merge_integers(lines)):
        yield f"  {' → '.join(line.texts)}  {line.key[0]}"


def left_to_probe(tasks: Iterable[Task], probe: str) -> Iterable[str]:
    """Yields a sentence on the leaves that a plan leaves to a probe that has not run yet."""
    paths = [path for task in tasks if task.proved == "none" for path in task.targets]
    if paths:
        what = "1 unproved leaf" if len(paths) == 1 else f"{len(paths):,} unproved leaves"
        shown = ", ".join(f"`{format_path(path)}`" for path in paths[:3])
        more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
        yield f"The probe `{probe}` has not run yet; it must prove {what}: {shown}{more}."


def probe_sentence(probed: Probed) -> str:
    """Returns a sentence on the comparisons of a probe that passed."""
    return (
        f"Proved by value: `{probed.spec}` compared {plural(probed.pairs, 'pair')} of outputs; the largest "
        f"difference is {probed.largest:.2g} (tolerance {probed.tolerance})."
    )


def pair_lines(probed: Probed) -> Iterable[str]:
    """Yields the figures of each pair; of many pairs, of those that differ most, in the order of the probe."""
    ranked = sorted(probed.figures, key=lambda pair: pair.difference.absolute, reverse=True)
    shown = set(map(id, ranked[:MOST_PAIRS]))
    yield from (f"  {pair}" for pair in probed.figures if id(pair) in shown)
    if len(ranked) > MOST_PAIRS:
        yield f"  … {len(ranked) - MOST_PAIRS:,} pairs that differ no more (--json lists all)"


def probe_data(probed: Probed | None) -> dict[str, Any] | None:
    """Returns the result of a probe for programs."""
    if probed is None:
        return None
    return {
        "function": probed.spec,
        "tolerance": probed.tolerance.absolute,
        "rtol": probed.tolerance.relative,
        "pairs": probed.pairs,
        "largest_difference": probed.largest,
        "figures": [
            {
                "name": pair.name,
                "elements": pair.elements,
                "largest_difference": pair.difference.absolute,
                "largest_relative_difference": pair.difference.relative,
            }
            for pair in probed.figures
        ],
    }
