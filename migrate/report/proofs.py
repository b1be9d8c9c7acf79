"""What is proved, in words and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from migrate.planning.model import Proof, Task
from migrate.report.amounts import plural
from migrate.report.collapse import Line, column, fold_integers, fold_siblings
from migrate.tree import format_path

if TYPE_CHECKING:
    from migrate.engine.probing.probe import Probed

_PROVED: tuple[Proof, ...] = ("name", "shape", "value")


def proof_words(counts: Mapping[Proof, int]) -> str:
    """`Proved by shape 20, by value 2, unproved 2`; nothing where there is nothing to prove."""
    proved = ", ".join(f"by {kind} {counts[kind]:,}" for kind in _PROVED if counts.get(kind))
    unproved = f"unproved {counts['none']:,}" if counts.get("none") else ""
    words = ", ".join(filter(None, (f"proved {proved}" if proved else "", unproved)))
    return f"{words[:1].upper()}{words[1:]}"


def proof_data(counts: Mapping[Proof, int]) -> dict[str, int]:
    """The same for programs, zeros included."""
    return {kind: counts.get(kind, 0) for kind in (*_PROVED, "none")}


def unproved_lines(tasks: Iterable[Task]) -> Iterable[str]:
    """The unproved tasks, layers collapsed; moments are only counted, as they stand or fall with their params."""
    unproved = [task for task in tasks if task.proved == "none"]
    lines = [Line((column(task.sources), column(task.targets)), (), (task,)) for task in unproved if not task.follows]
    if unproved:
        yield "Unproved (nothing but the rule file says that these belong together):"
    yield from (f"  {' → '.join(line.texts)}" for line in fold_siblings(fold_integers(lines)))
    moments = sum(len(task.targets) for task in unproved if task.follows)
    if moments:
        yield f"  and {plural(moments, 'moment')} that follow{'s' if moments == 1 else ''} them"


def left_to_probe(tasks: Iterable[Task], probe: str) -> Iterable[str]:
    """What a plan leaves to a probe that has not run yet: the unproved leaves, the first of them by name."""
    paths = [path for task in tasks if task.proved == "none" for path in task.targets]
    if paths:
        what = "1 unproved leaf" if len(paths) == 1 else f"{len(paths):,} unproved leaves"
        shown = ", ".join(f"`{format_path(path)}`" for path in paths[:3])
        more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
        yield f"The probe `{probe}` has not run yet; it is to prove {what}: {shown}{more}."


def probe_sentence(probed: Probed) -> str:
    """What a probe that passed has compared."""
    return (
        f"Proved by value: `{probed.spec}` compared {plural(probed.pairs, 'pair')} of outputs; they differ by at most "
        f"{probed.largest:.2g} (tolerance {probed.tolerance:g})."
    )


def probe_data(probed: Probed | None) -> dict[str, Any] | None:
    """The same for programs."""
    if probed is None:
        return None
    return {
        "function": probed.spec,
        "tolerance": probed.tolerance,
        "pairs": probed.pairs,
        "largest_difference": probed.largest,
    }
