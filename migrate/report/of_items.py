"""The items of a step in a plan: what becomes of each one, and whether a `CheckpointManager` opens the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from migrate.engine.items import SINGLE, copied_items, item_plans
from migrate.engine.outputs.registry import is_single_file
from migrate.formats.item_kinds import PYTREE
from migrate.places.names import path_of
from migrate.planning.model import Plan

Fate = Literal["item", "pytree", "metadata", "copied", "dropped", "not read"]
"""`item`: it is an item of DST, or its leaves are in some. `pytree`: its leaves are in the one pytree. `metadata`: its
content is in the custom metadata of DST. `copied`: its files are those of an item of DST.
"""


@dataclass(frozen=True, slots=True)
class ItemFate:
    """What becomes of one item of the source.

    `kind` is `pytree`, `random key`, `array`, `JSON`, `layout` (another one of the same state) or `other`.
    """

    name: str
    kind: str
    fate: Fate

    def __str__(self) -> str:
        return self.name if self.kind in ("pytree", "other") else f"{self.name} ({self.kind})"


def item_fates(plan: Plan) -> list[ItemFate]:
    """Returns the fate of every item of the source; none for a source that is not a step of named items."""
    source, whole = plan.source, item_plans(plan)[0].name == SINGLE
    used = {path[0] for task in plan.tasks for path in task.sources if path}
    several = len(source.items) > 1
    trees = [
        ItemFate(name, source.kinds.get(name, PYTREE).name, _fate(whole, used=not several or name in used))
        for name in source.items
        if name
    ]
    extras = [ItemFate(name, "JSON", _fate_of_json(name, plan, whole=whole)) for name in source.extras]
    copied = copied_items(plan)
    others = [ItemFate(name, "other", "copied" if name in copied else "not read") for name in source.unread]
    layouts = [ItemFate(name, "layout", "not read") for name in source.layouts]
    return [*trees, *extras, *others, *layouts]


def _fate(whole: bool, *, used: bool) -> Fate:
    return "dropped" if not used else "pytree" if whole else "item"


def _fate_of_json(name: str, plan: Plan, *, whole: bool) -> Fate:
    return "dropped" if name not in plan.extras else "metadata" if whole else "item"


def items_data(plan: Plan) -> list[dict[str, Any]]:
    """Returns the fates for programs."""
    return [asdict(fate) for fate in item_fates(plan)]


def item_sentences(plan: Plan, destination: str) -> Iterator[str]:
    """Yields a sentence that accounts for every item, and one on what a root or step becomes.

    Args:
      plan: the plan.
      destination: DST as the user wrote it.
    """
    fates = item_fates(plan)
    if len(fates) > 1:
        parts = [_part(fate, [item for item in fates if item.fate == fate]) for fate in _PHRASES]
        yield f"Items: {'; '.join(filter(None, parts))}."
    if plan.source.step is not None or len(fates) > 1:
        yield from _result(plan, destination)


_PHRASES: dict[Fate, str] = {
    "item": "written as {items}",
    "pytree": "in the one pytree",
    "metadata": "not {items} of DST, kept in its metadata under `migrate.items`",
    "copied": "copied as {items}, unread",
    "dropped": "dropped",
    "not read": "not read, so not written",
}


def _part(fate: Fate, items: list[ItemFate]) -> str:
    if not items:
        return ""
    noun = "an item" if len(items) == 1 else "items"
    return f"{', '.join(map(str, items))} {_PHRASES[fate].format(items=noun)}"


def _cure(plan: Plan) -> str:
    """Returns how the same source becomes a step."""
    if len(plan.source.items) > 1:
        return "`target: {layout: items}` writes a step"
    root = "`--step all`" if plan.source.steps else "the root as SRC and `--step all`"
    return f"{root} writes a root of steps"


def _result(plan: Plan, destination: str) -> Iterator[str]:
    """Yields what DST is, for a source that a `CheckpointManager` wrote."""
    source, single = plan.source, is_single_file(destination)
    several = f" (of {len(source.steps)})" if len(source.steps) > 1 else ""
    step = "the step" if source.step is None else f"step {source.step}{several}"
    if plan.as_step:
        return
    if single:
        yield f"DST is {step} as a single file."
    elif plan.rules.target.storage == "huggingface":
        yield f"DST is {step} as a folder of Hugging Face."
    elif item_plans(plan)[0].name == SINGLE:
        yield f"DST is {step} as one pytree, which `CheckpointManager` does not open as a step; {_cure(plan)}."
    elif path_of(destination).name.isdecimal():
        yield f"DST is {step}; `CheckpointManager` opens the root {path_of(destination).parent}."
    else:
        number = 0 if source.step is None else source.step
        more = "; `--step all` writes every step of a root" if source.steps else ""
        yield f"DST is {step}, not a root: `CheckpointManager` opens it as {path_of(destination) / str(number)}{more}."
