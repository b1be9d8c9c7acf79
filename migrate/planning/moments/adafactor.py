"""Adafactor's state follows its params: rows and columns move together, since a transpose may exchange them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from migrate.planning.model import Created, Dropped, Task
from migrate.planning.moments import adafactor_algebra as factored
from migrate.planning.moments.result import FollowResult, combine
from migrate.planning.moments.slot_move import SlotMove, refuse
from migrate.rules.model import Init, Move
from migrate.tree import AbstractArray, KeyPath

FIELDS = ("v_row", "v_col", "v")


def move_factors(moves: Mapping[str, SlotMove]) -> FollowResult:
    """Applies rules with ops to rows, columns and placeholders; whole moments follow as in other optimizers.

    Args:
      moves: the slots `v_row`, `v_col` and `v`.
    """
    context = moves["v"].context
    parts = [
        _of_task(moves, rule, task)
        for rule in context.rules.rules
        if isinstance(rule, Move) and not rule.reset_moments and any(not op.op.only_casts for op in rule.ops)
        for task in context.tasks_of_rule.get(rule.span, ())
        if all(move.moment(source) is not None for move in moves.values() for source in task.sources)
    ]
    return combine(parts)


def settled(part: FollowResult) -> frozenset[KeyPath]:
    """Returns the moments that are already decided."""
    moved = (path for task in part.tasks for path in task.sources)
    return frozenset({*moved, *part.failed, *(drop.source for drop in part.dropped)})


def _of_task(moves: Mapping[str, SlotMove], rule: Move, task: Task) -> FollowResult:
    whole = [source for source in task.sources if not _is_factored(moves, source)]
    if len(whole) == len(task.sources):
        return _placeholders(moves, rule, task)
    if whole or len(task.targets) > 1 or len(task.sources) > 1:
        return _refused(
            moves, rule, task, f"`{rule.ops[0].op.name}` has no exact equivalent for means of rows and columns"
        )
    param = task.in_avals[0]
    found = factored.factors(param, task.steps) if param else None
    if found is None:
        return _refused(moves, rule, task, "means of rows and columns follow only a transpose of their param")
    return _means(moves, task, found)


def _avals(moves: Mapping[str, SlotMove], param: KeyPath) -> tuple[AbstractArray | None, ...]:
    leaves = moves["v"].context.source.leaves
    paths = [moves[name].moment(param) for name in FIELDS]
    return tuple(leaves[path].aval if path else None for path in paths)


def _is_factored(moves: Mapping[str, SlotMove], param: KeyPath) -> bool:
    row, column, _ = _avals(moves, param)
    aval = moves["v"].context.source.leaves[param].aval
    return bool(aval and row and column and factored.is_factored(aval, row, column))


def _means(moves: Mapping[str, SlotMove], task: Task, found: factored.Factors) -> FollowResult:
    row, column, _ = _avals(moves, task.sources[0])
    assert row is not None
    assert column is not None
    ends = ("v_col", "v_row") if found.swapped else ("v_row", "v_col")
    orders = (found.rows, found.columns)
    tasks = []
    for name, end, aval, order in zip(("v_row", "v_col"), ends, (row, column), orders, strict=True):
        source, target = moves[name].moment(task.sources[0]), moves[end].place(task.targets[0])
        assert source is not None
        tasks.append(_labelled(moves[name], task, factored.transposed(source, target, aval, order)))
    return combine([FollowResult(tasks=tuple(tasks)), _unused(moves, ("v",), task)])


def _placeholders(moves: Mapping[str, SlotMove], rule: Move, task: Task) -> FollowResult:
    """Decides about params that are not factored: rows and columns stay unused; `v` follows like any slot."""
    template = moves["v"].context.template
    for target in task.targets if template else ():
        leaf = template.leaves.get(moves["v_row"].place(target)) if template else None
        if leaf and leaf.aval and leaf.aval.shape != factored.PLACEHOLDER:
            return _refused(
                moves, rule, task, "the new shape is factored, but a whole moment does not determine rows and columns"
            )
    if template is None and any(len(aval.shape) > 1 for aval in task.out_avals if aval):
        return _refused(moves, rule, task, "without a template it is not known whether the new shape is factored")
    return _unused(moves, ("v_row", "v_col"), task)


def _unused(moves: Mapping[str, SlotMove], names: Sequence[str], task: Task) -> FollowResult:
    """Drops the old placeholders, which must be zero, and creates the new ones with zeros."""
    dropped, created = [], []
    for move in (moves[name] for name in names):
        leaves = move.context.source.leaves
        old = [path for source in task.sources if (path := move.moment(source)) is not None]
        dropped += [Dropped(path, leaves[path], assert_zero=True, rule=task.rule) for path in old]
        tree = move.context.template
        for target in move.wanted(task.targets):
            leaf = tree.leaves[target] if tree else replace(leaves[old[0]], storage=None, sharding=None)
            created.append(Created(target, leaf, Init("zeros"), task.rule))
    return FollowResult(dropped=tuple(dropped), created=tuple(created))


def _labelled(move: SlotMove, param: Task, task: Task) -> Task:
    return replace(task, follows=param.sources[0], state=move.state, rule=param.rule)


def _refused(moves: Mapping[str, SlotMove], rule: Move, task: Task, reason: str) -> FollowResult:
    """Refuses the three fields together: none of them has a meaning alone."""
    copies = (move.moment(source) for move in moves.values() for source in task.sources)
    failed = [path for path in copies if path is not None]
    excused = [path for move in moves.values() for path in move.wanted(task.targets)]
    state = moves["v"].slot.prefix[:-1]
    return replace(refuse(moves["v"], [task], failed, (reason, rule.ops[0].span), state), excused=tuple(excused))
