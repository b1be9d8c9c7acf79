"""Moves one slot of the source to its counterpart in the target: every moment goes where its param goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from migrate.codes import UntransferableMoments
from migrate.errors import Span
from migrate.planning.claims import Claim, Claims
from migrate.planning.gather import gather
from migrate.planning.model import Created, Dropped, Task
from migrate.planning.moments import algebra
from migrate.planning.moments.result import FollowResult, combine
from migrate.planning.moments.slot_group import SlotGroup
from migrate.rules.model import Create, Drop, Init, Move, RuleSet
from migrate.tree import AbstractTree, KeyPath, format_path

COPY = "add `moments: follow` or `moments: reset` to this rule"
RESET = "add `moments: reset` to this rule, or write rules for the slot"


@dataclass(frozen=True)
class FollowContext:
    """The input of all decisions about moments.

    Attributes:
      rules, claims: the rule file, and its claims by name.
      named: the tasks of those claims; a moment goes through the ops of its param's task.
      source, template: the trees; no template where the rules derive the target from the source.
      transforms: the names of the transforms of the template's optimizers; None where they are unknown.
    """

    rules: RuleSet
    claims: Claims
    named: Sequence[Task]
    source: AbstractTree
    template: AbstractTree | None
    transforms: frozenset[str] | None

    @cached_property
    def tasks_of_rule(self) -> Mapping[Span | None, Sequence[Task]]:
        """The tasks of each rule."""
        tasks: defaultdict[Span | None, list[Task]] = defaultdict(list)
        for task in self.named:
            tasks[task.rule].append(task)
        return tasks

    def in_template(self, path: KeyPath) -> bool:
        """Whether the template has a leaf with data at this path; without a template it has every path."""
        return self.template is None or path in self.template.with_data


@dataclass(frozen=True)
class SlotMove:
    """The slots of one field and their counterparts in the target.

    Attributes:
      slot: the slots in the source.
      counterpart: the slots in the target.
      state: optax's name of the transform that the slot belongs to.
      transforms: the names of all known transforms of its optimizer.
      copy: whether the slot is a copy of the params outside all optimizers.
      elsewhere: moments of the slot that are decided elsewhere.
    """

    context: FollowContext
    slot: SlotGroup
    counterpart: SlotGroup
    state: str | None = None
    transforms: Collection[str] = ()
    elsewhere: Collection[KeyPath] = ()
    copy: bool = False

    def place(self, param: KeyPath) -> KeyPath:
        """Returns the target's moment of a param of the target."""
        return self.counterpart.place(param)

    def moment(self, param: KeyPath) -> KeyPath | None:
        """Returns the source's moment of a param, or None if there is none or a rule names it."""
        path = self.slot.moment(param)
        return None if path in self.context.claims.claimed or path in self.elsewhere else path

    def wanted(self, targets: Iterable[KeyPath]) -> Iterator[KeyPath]:
        """Yields those moments of these params that the template has."""
        for param in targets:
            if self.counterpart.covers(param) and self.context.in_template(self.place(param)):
                yield self.place(param)


def move_slot(move: SlotMove) -> FollowResult:
    """Decides about every moment of a slot, whether a rule names its param or the param keeps its key path."""
    parts = [_by_rule(move, index, claims) for index, claims in claims_of(move).items()]
    return combine([*parts, kept(move), fresh(move)])


def claims_of(move: SlotMove) -> dict[int, list[Claim]]:
    """Returns the params' claims by rule, moved into the slot."""
    moved: defaultdict[int, list[Claim]] = defaultdict(list)
    for index, claims in move.context.claims.by_rule.items():
        for claim in claims:
            path = move.moment(claim.path)
            if path is not None:
                moved[index].append(Claim(path, move.context.source.leaves[path], claim.origin, claim.bindings))
    return moved


def _by_rule(move: SlotMove, index: int, claims: Sequence[Claim]) -> FollowResult:
    """Applies one rule to a slot: its moments are moved, dropped, reset or refused."""
    rule = move.context.rules.rules[index]
    if isinstance(rule, Drop):
        return FollowResult(dropped=tuple(Dropped(c.path, c.leaf, rule=rule.span) for c in claims))
    assert isinstance(rule, Move)
    if rule.reset_moments:
        reset = _reset(move, rule, claims)
        return replace(reset, dropped=()) if rule.copy else reset
    tasks = [task for task in move.context.tasks_of_rule.get(rule.span, ()) if _concerns(move, task)]
    reason = _refusal(move, rule, tasks)
    if reason:
        return refuse(move, tasks, [c.path for c in claims], reason)
    whole, parts = _feasible(move, rule, tasks)
    chosen = {move.moment(source) for task in whole for source in task.sources}
    done = {path for part in parts for path in part.failed}
    unmade = tuple(c.path for c in claims if c.path not in chosen and c.path not in done)
    return combine([*parts, _gathered(move, rule, [c for c in claims if c.path in chosen], unmade)])


def _gathered(move: SlotMove, rule: Move, claims: Sequence[Claim], unmade: tuple[KeyPath, ...]) -> FollowResult:
    """Returns the tasks of moments that are all present; `unmade` are moments whose params have no task."""
    template = move.context.template
    parts = []
    for single in (False, True):
        ours = [claim for claim in claims if _one_per_tensor(move, claim) == single]
        power = move.slot.gradient_power
        meant = algebra.for_moments(
            rule, templated=template is not None, one_per_tensor=single, power=power, copy=move.copy
        )
        parts.append(gather(meant, ours, template, move.place))
    failed = (*unmade, *(path for made in parts for path in made.failed))
    return FollowResult(
        tasks=tuple(_labelled(move, task) for made in parts for task in made.tasks),
        failed=failed,
        excused=tuple(move.wanted(_right_hand_side(move, rule))) if failed else (),
        diagnostics=tuple(d for made in parts for d in made.diagnostics),
        cut=(rule,) if algebra.may_treat_tensors_whole(rule, move.state, move.context.transforms) else (),
    )


def _one_per_tensor(move: SlotMove, claim: Claim) -> bool:
    param = move.context.source.leaves[move.slot.param(claim.path)].aval
    return bool(claim.leaf.aval and param and not claim.leaf.aval.shape and param.shape)


def _concerns(move: SlotMove, task: Task) -> bool:
    return any(move.moment(source) is not None for source in task.sources)


def _refusal(move: SlotMove, rule: Move, tasks: Sequence[Task]) -> algebra.Refusal | None:
    leaves = move.context.source.leaves
    copies = [(leaves[path], leaves[s]) for task in tasks for s in task.sources if (path := move.moment(s)) is not None]
    shapes = [(moment.aval, param.aval) for moment, param in copies if moment.aval and param.aval]
    power = move.slot.gradient_power
    return algebra.refusal(rule, move.state, move.transforms, shapes, power=power, copy=move.copy)


def refuse(
    move: SlotMove,
    tasks: Iterable[Task],
    failed: Sequence[KeyPath],
    reason: algebra.Refusal,
    place: KeyPath | None = None,
) -> FollowResult:
    """Refuses moments with the reason; `place` is the node that the message names (default: the slot)."""
    message, span = reason
    named = f" (optax's `{move.state}`)" if move.state else ""
    diagnostic = UntransferableMoments.at(
        f"the moments in `{format_path(place or move.slot.prefix)}`{named} cannot follow: {message}",
        span=span,
        paths=map(format_path, failed),
        help=COPY if algebra.COPIES in message or algebra.SCALED in message else RESET,
    )
    excused = tuple(move.wanted(target for task in tasks for target in task.targets))
    return FollowResult(failed=tuple(failed), excused=excused, diagnostics=(diagnostic,))


def _feasible(move: SlotMove, rule: Move, tasks: Sequence[Task]) -> tuple[list[Task], list[FollowResult]]:
    """Returns the tasks that the slot can carry out, and the results for those with absent or unplaced moments."""
    whole: list[Task] = []
    refused: list[FollowResult] = []
    unplaced: list[tuple[KeyPath, KeyPath]] = []
    reported: list[KeyPath] = []  # their params have no place either, which another diagnostic reports
    for task in tasks:
        copies = [move.moment(source) for source in task.sources]
        there = [path for path in copies if path is not None]
        lacking = [t for t in task.targets if not move.context.in_template(move.place(t))]
        if len(there) < len(copies):
            refused.append(refuse(move, [task], there, (_partly(move, task), rule.span)))
        elif (algebra.is_tied(task) or rule.copy) and rule.moments is None:
            refused.append(refuse(move, [task], there, (algebra.tied(task), rule.span)))
        elif lacking or not all(map(move.counterpart.covers, task.targets)):
            known = [target for target in lacking or task.targets if move.context.in_template(target)]
            unplaced += [(path, known[0]) for path in there if known]
            reported += there if not known else []
        else:
            whole.append(task)
    return whole, [*refused, _unplaced(move, unplaced, rule.span), FollowResult(failed=tuple(reported))]


def _partly(move: SlotMove, task: Task) -> str:
    absent = [source for source in task.sources if move.moment(source) is None]
    return (
        f"`{format_path(task.targets[0])}` combines {len(task.sources)} params, but the slot has no moment of "
        f"`{format_path(absent[0])}`" + (f" and {len(absent) - 1} more" if len(absent) > 1 else "")
    )


def _unplaced(move: SlotMove, unplaced: Sequence[tuple[KeyPath, KeyPath]], span: Span | None) -> FollowResult:
    """Refuses moments, given with their params in the target, that the target's slot does not have."""
    if not unplaced:
        return FollowResult()
    (first, param), more = unplaced[0], len(unplaced) - 1
    failed = tuple(moment for moment, _ in unplaced)
    many = f" and {more} more have" if more else " has"
    diagnostic = UntransferableMoments.at(
        f"`{format_path(first)}`{many} no place in the target: its optimizer keeps no moment of `{format_path(param)}` "
        f"in `{format_path(move.counterpart.prefix)}`",
        span=span,
        paths=map(format_path, failed),
        help=f'`- drop: "{format_path(first)}"` leaves it behind' + (", and likewise the others" if more else ""),
    )
    return FollowResult(failed=failed, diagnostics=(diagnostic,))


def _labelled(move: SlotMove, task: Task) -> Task:
    task = algebra.without_idle_casts(task) if move.context.template else task
    return task.with_origin(task.rule, move.slot.param(task.sources[0]), move.state, task.remark)


def _right_hand_side(move: SlotMove, rule: Move | Create) -> Iterator[KeyPath]:
    """Yields the template's params that match a rule's right-hand side, found by their moments."""
    excepts = (*rule.excepts, *rule.left_out) if isinstance(rule, Create) else ()
    for param in move.counterpart.params:
        if any(p.match(param) is not None for p in rule.targets) and not any(p.match(param) for p in excepts):
            yield param


def _reset(move: SlotMove, rule: Move, claims: Sequence[Claim]) -> FollowResult:
    """Applies `moments: reset`: drops the old moments and lets the optimizer initialize the new ones."""
    tree = move.context.template
    if tree is None:
        problem = UntransferableMoments.at(
            "`moments: reset` needs a template, whose optimizer initializes the moments", span=rule.span
        )
        return FollowResult(failed=tuple(c.path for c in claims), diagnostics=(problem,))
    tasks = [task for task in move.context.tasks_of_rule.get(rule.span, ()) if _concerns(move, task)]
    targets = dict.fromkeys(move.wanted(target for task in tasks for target in task.targets))
    return FollowResult(
        dropped=tuple(Dropped(c.path, c.leaf, rule=rule.span) for c in claims),
        created=tuple(Created(path, tree.leaves[path], Init("template"), rule.span) for path in targets),
    )


def kept(move: SlotMove) -> FollowResult:
    """Moves the moments of params that no rule names: the moment keeps its path within the slot."""
    tasks: list[Task] = []
    unplaced: list[tuple[KeyPath, KeyPath]] = []
    unmoved: list[KeyPath] = []
    claimed = move.context.claims.claimed
    for path, param in move.slot.pairs:
        if path in claimed or param in claimed:
            continue
        if not (move.counterpart.covers(param) and move.context.in_template(param)):
            continue
        target = move.place(param)
        if not move.context.in_template(target):
            unplaced.append((path, param))
        elif target == path:
            unmoved.append(path)
        else:
            avals = (move.context.source.leaves[path].aval,)
            tasks.append(Task((path,), (target,), (0,), (), avals, avals, follows=param, state=move.state))
    return combine([FollowResult(tasks=tuple(tasks), unbarred=tuple(unmoved)), _unplaced(move, unplaced, None)])


def fresh(move: SlotMove) -> FollowResult:
    """Creates the moments of created params as the optimizer initializes them."""
    tree = move.context.template
    creates = [rule for rule in move.context.rules.rules if isinstance(rule, Create)]
    if tree is None:
        return FollowResult()
    made = [(m, rule) for rule in creates for m in move.wanted(_right_hand_side(move, rule))]
    return FollowResult(
        created=tuple(Created(path, tree.leaves[path], Init("template"), rule.span) for path, rule in made)
    )
