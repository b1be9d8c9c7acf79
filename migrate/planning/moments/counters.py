"""Moves the leaves of a state that mirror no params: counts and hyperparameters.

They keep their names within the state. A count whose moments are all fresh is fresh as well: Adam divides its moments
by `1 - decay ** count`, so zeros with an old count would make the first update up to 3.16 times the learning rate.
Counts of schedules belong to other states and continue.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from migrate.codes import UntransferableMoments
from migrate.planning.model import Created, Dropped, Task
from migrate.planning.moments.names import CORRECTED, MAPPING_FIELDS, SCHEDULED
from migrate.planning.moments.pairing import StateGroup
from migrate.planning.moments.result import FollowResult, combine
from migrate.planning.moments.slot_move import FollowContext
from migrate.planning.moments.states import TransformState
from migrate.rules.model import Init, Move
from migrate.tree import KeyPath, format_path

_AGAIN = "starts again with its moments"


def move_counters(
    context: FollowContext, group: StateGroup, moments: FollowResult, taken: Collection[KeyPath]
) -> FollowResult:
    """Decides about the leaves that mirror no params.

    Args:
      context: the input of all decisions.
      group: the states.
      moments: the decisions about their moments.
      taken: the target's leaves that rules write.
    """
    unknown = {one.leaf(path): param for one in group.sources for path, param in _unknown_mirrors(context, one).items()}
    parts = [
        _move(context, group, other, relative, unknown, taken, fresh=_all_fresh(moments))
        for other in group.targets
        for relative in other.leaves
    ]
    whole = combine(parts)
    remark = _remark(group, moments)
    tasks = [replace(task, remark=remark) for task in _merged(whole.tasks)]
    stay = [path for one, other in _same_place(group) for path in _unmoved(one, other, unknown)]
    dropped = tuple({drop.source: drop for drop in whole.dropped}.values())
    done = replace(whole, tasks=tuple(tasks), dropped=dropped, unbarred=tuple(stay))
    return combine([done, _refuse_unknown_mirrors(group, list(unknown))]) if unknown else done


def _all_fresh(moments: FollowResult) -> bool:
    unmoved = {*moments.unbarred} - {creation.target for creation in moments.created}
    return bool(moments.created) and not (moments.tasks or moments.failed or unmoved)


def _restarts(relative: KeyPath) -> bool:
    return relative[0] not in SCHEDULED and relative[0] not in MAPPING_FIELDS


def _move(
    context: FollowContext,
    group: StateGroup,
    other: TransformState,
    relative: KeyPath,
    unknown: Mapping[KeyPath, KeyPath],
    taken: Collection[KeyPath],
    *,
    fresh: bool,
) -> FollowResult:
    """Decides about one leaf of the target."""
    target = other.leaf(relative)
    sources = [one.leaf(relative) for one in group.sources if relative in one.leaves]
    sources = [path for path in sources if path not in unknown and path not in context.claims.claimed]
    if not sources or target in taken:
        return FollowResult()
    if fresh and _restarts(relative) and context.template:
        leaves = context.source.leaves
        return FollowResult(
            dropped=tuple(Dropped(path, leaves[path]) for path in sources),
            created=(Created(target, context.template.leaves[target], Init("template"), remark=_AGAIN),),
        )
    if len(sources) > 1:
        return _several(group, sources, target)
    aval = context.source.leaves[sources[0]].aval
    if sources == [target] and len(group.targets) == 1:
        return FollowResult()
    task = Task((sources[0],), (target,), (0,), (), (aval,), (aval,), state=other.name)
    return FollowResult(tasks=(task,))


def _several(group: StateGroup, sources: Sequence[KeyPath], target: KeyPath) -> FollowResult:
    """Refuses to choose among the counts of several optimizers that become one."""
    others = ", ".join(f'"{format_path(path)}"' for path in sources[1:])
    title = group.targets[0].title
    diagnostic = UntransferableMoments.at(
        f"{len(sources)} states become {title}, and each has a `{sources[0][-1]}`",
        paths=map(format_path, sources),
        help=f'choose one and drop the others: `- "{format_path(sources[0])} -> {format_path(target)}"` and '
        f"`- drop: {others if len(sources) == 2 else f'[{others}]'}`",
    )
    return FollowResult(failed=tuple(sources), excused=(target,), diagnostics=(diagnostic,))


def _merged(tasks: Sequence[Task]) -> Iterator[Task]:
    """Yields one task for each source leaf: a count that several optimizers continue is tied."""
    by_source: dict[tuple[KeyPath, ...], list[Task]] = {}
    for task in tasks:
        by_source.setdefault(task.sources, []).append(task)
    for sources, group in by_source.items():
        targets = tuple(target for task in group for target in task.targets)
        avals = tuple(aval for task in group for aval in task.out_avals)
        yield Task(sources, targets, (0,) * len(targets), (), group[0].in_avals, avals, state=group[0].state)


def _same_place(group: StateGroup) -> Iterator[tuple[TransformState, TransformState]]:
    return ((one, other) for one in group.sources for other in group.targets)


def _unmoved(one: TransformState, other: TransformState, unknown: Collection[KeyPath]) -> Iterator[KeyPath]:
    """Yields the leaves that may keep their key path, since their slot or state stays in place."""
    for relative in one.leaves if one.prefix == other.prefix else ():
        if relative in other.leaves and one.leaf(relative) not in unknown:
            yield one.leaf(relative)
    for name, slot in one.slots.items():
        if name in other.slots and other.slots[name].prefix == slot.prefix:
            yield from slot.leaves


def _remark(group: StateGroup, moments: FollowResult) -> str:
    """Returns the meaning of a count that continues, for the plan."""
    padded = any(op.adds == "fresh" for task in moments.tasks for step in task.steps for op in step.ops)
    effect = CORRECTED.get(group.sources[0].name or "", "")
    return f"continues: {effect}" if effect and (moments.created or padded) else "continues"


def _unknown_mirrors(context: FollowContext, state: TransformState) -> dict[KeyPath, KeyPath]:
    """Returns leaves that belong to a param with ops but do not mirror it in a known way, each with that param."""
    changed = [i for i, rule in enumerate(context.rules.rules) if isinstance(rule, Move) and rule.ops]
    params = {claim.path for index in changed for claim in context.claims.by_rule.get(index, ())}
    ends = {path[depth:]: path for path in params for depth in range(len(path) - 1)}
    found: dict[KeyPath, KeyPath] = {}
    for leaf in state.leaves:
        parts = (leaf[a:b] for a in range(1, len(leaf)) for b in range(a + 2, len(leaf) + 1))
        param = next((ends[part] for part in parts if part in ends), None)
        if param and state.leaf(leaf) not in context.claims.claimed:
            found[leaf] = param
    return found


def _refuse_unknown_mirrors(group: StateGroup, paths: Sequence[KeyPath]) -> FollowResult:
    listed = ", ".join(f'"{format_path(path)}"' for path in paths)
    diagnostic = UntransferableMoments.at(
        f"`{format_path(paths[0])}` belongs to a param that goes through ops, but does not mirror it in a known way",
        paths=map(format_path, paths),
        help="move it by a rule of its own, or leave it behind: "
        f"`- drop: {listed if len(paths) == 1 else f'[{listed}]'}`",
    )
    lost = {relative for one in group.sources for relative in one.leaves if one.leaf(relative) in paths}
    excused = tuple(other.leaf(leaf) for other in group.targets for leaf in other.leaves if leaf in lost)
    return FollowResult(failed=tuple(paths), excused=excused, diagnostics=(diagnostic,))
