"""Fuses the plans of a chain into one: every leaf of the last target is computed from leaves of the first source.

Leaves that exist only between two steps are never written. Fused and step-by-step plans compute the same bits, because
`values` simplifies only what moves elements.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from migrate.codes import UnfusableSteps
from migrate.errors import Diagnostic, Span
from migrate.planning.model import AppliedRules, Created, Dropped, Plan, Task
from migrate.planning.planner import with_slots
from migrate.planning.proof import prove
from migrate.planning.relink import choose_modes
from migrate.planning.versions.composition import ChainEffect, DroppedValue, LeafNote, of_last, preceded
from migrate.planning.versions.config_chain import join_configs
from migrate.planning.versions.equality import EqualLeaves, equal_leaves
from migrate.planning.versions.schedule import groups_of, task_of, tasks_of
from migrate.planning.versions.values import (
    CallResult,
    CreatedValue,
    Expressions,
    SourceValue,
    Value,
    below,
    leaves_of,
    results_of,
)
from migrate.rules.model import RuleSet
from migrate.tree import KeyPath, format_path

Moded = Callable[[Iterable[Task]], tuple[Task, ...]]
"""Returns tasks with their modes."""


def fuse(plans: Sequence[Plan], *, link: bool = True) -> Plan:
    """Returns one plan from the source of the first plan to the target of the last.

    Args:
      plans: applicable plans; each but the first is made for the target of the one before (see `chain`).
      link: whether arrays whose bytes do not change may be linked.
    """
    fuser = Fuser()
    *before, last = plans
    chain = of_last(last, fuser.expressions)
    for plan in reversed(before):
        chain = preceded(chain, plan, fuser.expressions)
    return fuser.plan(chain, link=link)


@dataclass(frozen=True, slots=True)
class _MadeTask:
    """A task with the values of its targets and their note, which decide it."""

    values: tuple[Value, ...]
    note: LeafNote
    task: Task


class Fuser:
    """Makes plans of composed chains; the parts that chains have in common are made once.

    Attributes:
      expressions: those with which the chains are composed.
    """

    def __init__(self) -> None:
        self.expressions = Expressions()
        self._made: dict[KeyPath, _MadeTask] = {}

    def plan(self, chain: ChainEffect, *, link: bool = True) -> Plan:
        """Returns the plan of a chain; `link` as in `fuse`."""
        return Fusion(chain, self).plan(link=link)

    def task(self, paths: Sequence[KeyPath], values: tuple[Value, ...], note: LeafNote) -> Task:
        """Returns the task that computes these targets, which share a note."""
        known, targets = self._made.get(paths[0]), tuple(paths)
        if known is None or known.note is not note or known.values != values or known.task.targets != targets:
            task = task_of(dict(zip(paths, values, strict=True)))
            task = task.with_origin(note.rule, self._followed(note), note.state, note.remark)
            known = self._made[paths[0]] = _MadeTask(values, note, task)
        return known.task

    def _followed(self, note: LeafNote) -> KeyPath | None:
        """Returns the leaf of the source that the param of a moment is first computed from."""
        params = map(self.expressions.simplified, note.follows)
        return next((one.path for param in params for one in leaves_of(param)), None)


class Fusion:
    """A chain as one plan.

    Whether the chain can be fused is decided without the plan, whose tasks cost more than all other steps together.

    Args:
      chain: the composed plans.
      fuser: makes the tasks.

    Attributes:
      problems: a diagnostic for each leaf that one plan cannot compute, and for each contradiction between configs.
    """

    def __init__(self, chain: ChainEffect, fuser: Fuser) -> None:
        self._chain = chain
        self._plans = chain.plans
        self._fuser = fuser
        self._last = chain.plans[-1].rules
        self._source = chain.plans[0].source.tree
        self._target = chain.plans[-1].target
        self._config, findings = join_configs(chain.plans)
        alone = len(chain.plans) == 1
        self.problems: tuple[Diagnostic, ...] = () if alone else (*self._lost_assertions(), *self._needed(), *findings)

    def plan(self, *, link: bool = True) -> Plan:
        """Returns the plan; that of a chain of one is the plan itself. `link` as in `fuse`."""
        first, last = self._plans[0], self._plans[-1]
        if len(self._plans) == 1:
            return first
        wanted = {path: value for path, value in self._values.items() if not isinstance(value, CreatedValue)}
        tasks = () if self.problems else tuple(self._tasks(wanted))
        return replace(
            last,
            source=replace(first.source, metadata=last.source.metadata),  # the record as the steps before leave it
            rules=_joined_rules(self._plans),
            tasks=_placed(tasks, wanted, self._plans, link=link),
            dropped=tuple(self._dropped(tasks)),
            created=tuple(self._created()),
            diagnostics=(*(one for plan in self._plans for one in plan.diagnostics), *self.problems),
            extras=tuple(name for name in last.extras if all(name in plan.extras for plan in self._plans)),
            chain=tuple(AppliedRules(plan.rules, plan.source.structure_hash) for plan in self._plans),
            config=self._config,
        )

    @cached_property
    def _values(self) -> Mapping[KeyPath, Value]:
        """The simplified value of each leaf after the last plan."""
        simplified = self._fuser.expressions.simplified
        return {path: simplified(value) for path, value in self._chain.values.items()}

    @cached_property
    def _drops(self) -> Mapping[KeyPath, Dropped]:
        """The leaves of the source that a plan drops, or leaves that are computed from them."""
        drops: dict[KeyPath, Dropped] = {}
        leaves = self._source.leaves
        for dropped in self._chain.drops:
            drop = dropped.drop
            for path in (one.path for one in leaves_of(self._fuser.expressions.simplified(dropped.value))):
                before = drops.get(path)
                asserted = drop.assert_zero or (before is not None and before.assert_zero)
                if before is None or before.equal is None:
                    drops[path] = Dropped(path, leaves[path], asserted, drop.rule)
            for one in self._equal(dropped) or ():
                of_source = drop if any(drop is other for other in self._plans[0].dropped) else None
                drops[one.source] = of_source or Dropped(
                    one.source, leaves[one.source], False, drop.rule, one.twin, one.ops
                )
        return drops

    def _equal(self, dropped: DroppedValue) -> tuple[EqualLeaves, ...] | None:
        """Returns the leaves of the source that have to be equal where a drop asserts it; None where it cannot be
        asserted of them.
        """
        if dropped.twin is None:
            return ()
        value = dropped.value
        for op in dropped.drop.ops:
            (value,) = results_of(op, (value,))
        simplified = self._fuser.expressions.simplified
        return equal_leaves(simplified(value), simplified(dropped.twin))

    def _lost_assertions(self) -> Iterator[Diagnostic]:
        """Yields a diagnostic for each asserted leaf that no leaf of the source can be asserted for."""
        simplified = self._fuser.expressions.simplified
        compared: dict[KeyPath, EqualLeaves | None] = {}  # None: asserted to be zero
        for dropped in self._chain.drops:
            name, rule = format_path(dropped.drop.source), dropped.drop.rule
            if dropped.drop.assert_zero:
                value = simplified(dropped.value)
                clashes = [one for one in leaves_of(value) if compared.setdefault(one.path, None) is not None]
                if clashes or not _zero_with_its_leaves(value):
                    message = f"`{name}` is dropped with `assert: zero`, and it exists only between two steps"
                    yield _unfusable(message, rule)
            equal = self._equal(dropped)
            if equal is None or any(compared.setdefault(one.source, one) != one for one in equal):
                other = format_path(dropped.drop.equal or ())
                message = f"`{name}` is dropped as equal to `{other}`, and the two exist only between two steps"
                yield _unfusable(message, rule)

    def _needed(self) -> Iterator[Diagnostic]:
        """Yields a diagnostic for each leaf that needs a created one whose value one plan cannot know."""
        created = self._chain.created
        for path, written in self._chain.values.items() if created else ():
            if isinstance(written, SourceValue) or created.isdisjoint(written.origins):
                continue
            value = self._fuser.expressions.simplified(written)
            made = [one for one in value.origins if isinstance(one, CreatedValue)]
            drawn = [one for one in made if one.number is None and isinstance(value, CallResult)]
            early = [one for one in made if _is_of_template(one.creation) and one.rules is not self._last]
            alone = isinstance(value, CallResult) and len(made) == len(value.origins)
            for one in (drawn or early or (made if alone else []))[:1]:
                yield self._unfusable(path, one)

    def _unfusable(self, path: KeyPath, value: CreatedValue) -> Diagnostic:
        creation, rules = value.creation, value.rules
        kind = creation.init.kind if creation.init else "no value"
        message = f"`{format_path(path)}` needs `{format_path(creation.target)}`, which {rules.path} creates ({kind})"
        return _unfusable(message, creation.rule, rules.target.version)

    def _tasks(self, wanted: Mapping[KeyPath, Value]) -> Iterator[Task]:
        """Yields the tasks that compute these leaves, with their rule, and for moments with their param."""
        notes = self._chain.notes
        for paths in groups_of(wanted):
            yield self._fuser.task(paths, tuple([wanted[path] for path in paths]), notes[paths[0]])

    def _dropped(self, tasks: Iterable[Task]) -> Iterator[Dropped]:
        """Yields the leaves of the source that no target needs, and those that are asserted to be zero."""
        used = {path for task in tasks for path in task.sources}
        for path, leaf in self._source.leaves.items():
            drop = self._drops.get(path)
            if path not in used or (drop is not None and drop.asserts):
                yield drop or Dropped(path, leaf)

    def _created(self) -> Iterator[Created]:
        """Yields the leaves of the last target that have no source."""
        for path, value in self._values.items():
            if isinstance(value, CreatedValue):
                first = value.creation
                named = first.named or (first.target if first.init and first.init.kind == "rng" else None)
                leaf = self._target.leaves[path]
                yield replace(first, target=path, leaf=leaf, named=None if named == path else named)


def _is_of_template(creation: Created) -> bool:
    return creation.init is not None and creation.init.kind == "template"


def _zero_with_its_leaves(value: Value) -> bool:
    """Whether the value is zero exactly if all leaves that it is computed from are zero."""
    for one in below(value):
        if isinstance(one, CreatedValue) and one.number != 0:
            return False
        if isinstance(one, CallResult):
            op = one.call.op
            if not (op.only_permutes or (op.structural and op.role == "reduce")):
                return False
    return True


def _unfusable(message: str, rule: Span | None, version: int | str | None = None) -> Diagnostic:
    stop = "the version before" if version is None else f"version {version} (`--to {version}`)"
    return UnfusableSteps.at(
        f"the steps cannot be carried out as one plan: {message}",
        span=rule,
        help=f"upgrade to {stop} first, and upgrade the result",
    )


def _joined_rules(plans: Sequence[Plan]) -> RuleSet:
    """Returns the rules of all plans as one rule set, with the guard of the first and the target of the last."""
    sets = [plan.rules for plan in plans]
    first, last = sets[0], sets[-1]
    several = len(plans[0].source.items) > 1
    layout = last.target.layout or (("items" if plans[-1].parts else "state") if several or plans[-1].parts else None)
    return replace(
        last,
        path=f"{first.path} … {last.path}",
        digest=f"sha256:{hashlib.sha256(''.join(one.digest for one in sets).encode()).hexdigest()}",
        rules=tuple(rule for one in sets for rule in one.rules),
        config=tuple(rule for one in sets for rule in one.config),
        name="",
        source=first.source,
        target=replace(last.target, layout=layout),
        files=tuple(dict.fromkeys(file for one in sets for file in one.files)),
        probe=None,  # that of the last file compares with the version before
        probe_span=None,
    )


def _placed(
    tasks: Iterable[Task], values: Mapping[KeyPath, Value], plans: Sequence[Plan], *, link: bool
) -> tuple[Task, ...]:
    """Returns the tasks with proofs and modes."""
    source, target, plain = plans[0].source, plans[-1].target, plans[-1].rules.target.plain_zarr

    def moded(some: Iterable[Task]) -> tuple[Task, ...]:
        if not link or not source.locates_chunks:
            return tuple(some)
        return choose_modes(tuple(some), source.tree, target, zarr3=source.zarr3, plain=plain)

    split = [part for task in moded(tasks) for part in (_linked_apart(task, values, moded) if link else [task])]
    ordered = sorted(split, key=lambda task: target.ranks[task.targets[0]])
    return prove(ordered, with_slots(source.tree), with_slots(target))


def _linked_apart(task: Task, values: Mapping[KeyPath, Value], moded: Moded) -> Iterator[Task]:
    """Yields a streamed task as a smaller one and those of its targets that can be linked: they are not read."""
    if task.mode != "stream" or len(task.targets) == 1:
        yield task
        return
    alone = [part for path in task.targets for part in moded([_like(task, task_of({path: values[path]}))])]
    linked = [part for part in alone if part.mode != "stream"]
    rest = {path: values[path] for part in alone if part.mode == "stream" for path in part.targets}
    if not linked:
        yield task
        return
    yield from linked
    yield from (_like(task, part) for part in tasks_of(rest))


def _like(task: Task, other: Task) -> Task:
    return other.with_origin(task.rule, task.follows, task.state, task.remark)
