"""Proofs of a plan from metadata alone: by name, by shape, or none.

A leaf that keeps key path, shape and dtype is proved *by name*.

A leaf that moves is proved *by shape* when shapes and dtypes rule out every other assignment of leaves to leaves and of
axes to axes. Three conditions must hold:

- None of its sources is interchangeable with another source leaf that does not keep its name (one that a rule moves or
  drops), and none of its targets with another target leaf that is not filled by name. Two leaves are interchangeable
  when they have the same dtype and axes of the same sizes in any order, ignoring axes of size one: a transposition
  could turn one into the other. Among leaves that a rule casts, the dtype is no evidence.
- No array on either side has two axes of the same size, which could be exchanged without a trace.
- Every op on the way keeps axes (`Op.keeps_axes`).

A square matrix is therefore never proved by shape, renamed or transposed. Neither is the order of stacked, joined or
split arrays, nor that of layers with equal shapes: only the rule file determines it.

A quantized weight whose scale is left behind is never proved by name or shape.

Moments that follow a param have its proof. Slots of moments are not interchangeable with the params that they mirror,
but where rules name a slot's leaves themselves, all leaves count. Leaves without data need no proof.

A leaf is proved *by value* when a probe has compared outputs of the old model and the new one: see
`migrate.engine.probing.probe`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from migrate.codes import UnprovedLeaves
from migrate.errors import Diagnostic, Span
from migrate.ops.base import wide
from migrate.planning.model import Plan, Proof, Task
from migrate.tree import AbstractArray, AbstractTree, KeyPath, format_path

Sizes = tuple[int, ...]
"""The sizes of an array's axes in ascending order, without axes of size one."""

_STRING = AbstractArray((), "string")
"""Stands for leaves with data that are not arrays."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The leaves of both sides that could be assigned to one another, counted by sizes and dtype."""

    sources: Counter[tuple[Sizes, str]]
    targets: Counter[tuple[Sizes, str]]
    cast: frozenset[Sizes] = frozenset()
    """Sizes of arrays that change their dtype: among those, the dtype is no evidence."""

    @classmethod
    def of(
        cls,
        sources: Iterable[AbstractArray | None],
        targets: Iterable[AbstractArray | None],
        cast: Iterable[AbstractArray | None] = (),
    ) -> Candidates:
        """Returns the candidates among the abstract arrays of each side; None stands for a leaf that is no array."""
        loose = frozenset(_sizes(aval) for aval in cast if aval)
        return cls(
            Counter(_signature(a, loose) for a in sources), Counter(_signature(a, loose) for a in targets), loose
        )

    def only_fit(self, sources: Iterable[AbstractArray | None], targets: Iterable[AbstractArray | None]) -> bool:
        """Whether these sources fit only these targets, and each axis only the one of its size."""
        return all(
            found[_signature(aval, self.cast)] == 1 and not is_symmetric(aval)
            for found, avals in ((self.sources, sources), (self.targets, targets))
            for aval in avals
        )


def is_symmetric(aval: AbstractArray | None) -> bool:
    """Whether two axes of this array could be exchanged without a change of its shape."""
    sizes = _sizes(aval) if aval else ()
    return len(set(sizes)) < len(sizes)


@dataclass(frozen=True)
class TreeWithSlots:
    """A whole tree, including dropped or created leaves, and those of its nodes that are slots of moments."""

    tree: AbstractTree
    slots: Collection[KeyPath] = ()

    @cached_property
    def moments(self) -> frozenset[KeyPath]:
        """The leaves in slots."""
        depths = {len(slot) for slot in self.slots}
        slots = set(self.slots)
        return frozenset(path for path in self.tree.leaves if any(path[:depth] in slots for depth in depths))


def prove(
    tasks: Iterable[Task], source: TreeWithSlots, target: TreeWithSlots, unscaled: Collection[KeyPath] = ()
) -> tuple[Task, ...]:
    """Returns all tasks of the plan with `proved` filled in.

    Args:
      tasks: the tasks.
      source: the source's tree.
      target: the target's tree.
      unscaled: quantized weights of the source whose scales are left behind; only a probe can prove them.
    """
    tasks = tuple(tasks)
    prover = _Prover.of([task for task in tasks if not task.follows], source, target)
    unproved = [bool(task.follows) or any(path in unscaled for path in task.sources) for task in tasks]
    return _inherited(
        [task if skipped else task.with_proof(prover(task)) for task, skipped in zip(tasks, unproved, strict=True)],
        given={},
    )


def after_probe(plan: Plan, seen: Collection[KeyPath]) -> Plan:
    """Returns the plan after a probe: unproved tasks whose target leaves the probe has seen are proved by value."""
    proved = [
        replace(task, proved="value") if task.proved == "none" and all(path in seen for path in task.targets) else task
        for task in plan.tasks
    ]
    return replace(plan, tasks=_inherited(proved, given={"value"}))


def count_proofs(tasks: Iterable[Task]) -> Mapping[Proof, int]:
    """Returns the number of target leaves by proof; created leaves are not counted."""
    counts: Counter[Proof] = Counter()
    for task in tasks:
        counts[task.proved] += len(task.targets)
    return counts


def refuse_unproved(tasks: Iterable[Task], probe: str | None = None) -> Iterator[Diagnostic]:
    """Yields one `UnprovedLeaves` for each rule that moves unproved leaves; `probe` names the probe that has run."""
    explain = f"`migrate explain {UnprovedLeaves.number}`"
    advice = f"`--probe module:function` compares the outputs of both models: {explain}"
    if probe:
        advice = f"no pair of `{probe}` depends on it; yield one that is named by its key path: {explain}"
    by_rule: defaultdict[Span | None, list[KeyPath]] = defaultdict(list)
    for task in tasks:
        if task.proved == "none":
            by_rule[task.rule] += task.targets
    for rule, paths in sorted(by_rule.items(), key=lambda pair: pair[0].line if pair[0] else 0):
        subject = f"`{format_path(paths[0])}` is" if len(paths) == 1 else f"{len(paths):,} leaves are"
        sources = "its source" if len(paths) == 1 else "their sources"
        yield UnprovedLeaves.at(
            f"{subject} unproved: only {'this rule' if rule else 'the rule file'} determines {sources}",
            span=rule,
            paths=map(format_path, paths),
            help=advice,
        )


def _inherited(tasks: Iterable[Task], given: Collection[Proof]) -> tuple[Task, ...]:
    """Returns the tasks, with each moment's proof taken from its param.

    With `given`, only unproved moments change, and only to one of those proofs.
    """
    tasks = tuple(tasks)
    of_param: Mapping[KeyPath, Proof] = {path: t.proved for t in tasks if not t.follows for path in t.sources}

    def proof(task: Task, param: KeyPath) -> Proof:
        found = of_param.get(param, "none")
        return found if not given or (task.proved == "none" and found in given) else task.proved

    return tuple(task.with_proof(proof(task, task.follows)) if task.follows else task for task in tasks)


def _kept(task: Task) -> bool:
    return not task.steps and task.sources == task.targets


@dataclass(frozen=True, slots=True)
class _Prover:
    """Proves tasks one by one, with all counts made in advance."""

    params: Candidates
    """All leaves but moments."""
    everything: Candidates
    source: AbstractTree
    moments: frozenset[KeyPath]
    """Source leaves in slots."""

    @classmethod
    def of(cls, tasks: Sequence[Task], source: TreeWithSlots, target: TreeWithSlots) -> _Prover:
        kept = {task.sources[0] for task in tasks if _kept(task)}
        tied = {path for task in tasks if len(task.targets) > 1 for path in _repeated(task)}
        cast = [aval for task in tasks if task.steps and _casts(task) for aval in (*task.in_avals, *task.out_avals)]
        before, after = _open_leaves(source.tree, kept), _open_leaves(target.tree, kept | tied)
        old, new = source.moments, target.moments
        everything = Candidates.of(before.values(), after.values(), cast)
        params = Candidates.of(_without(before, old), _without(after, new), cast) if old or new else everything
        return cls(params, everything, source.tree, old)

    def __call__(self, task: Task) -> Proof:
        if _kept(task):
            return "name"
        if not any(self.source.leaves[path].has_data for path in task.sources):
            return "shape"
        among = self.params if self.moments.isdisjoint(task.sources) else self.everything
        return "shape" if among.only_fit(task.in_avals, _distinct(task)) and _keeps_axes(task) else "none"


def _open_leaves(tree: AbstractTree, settled: Collection[KeyPath]) -> Mapping[KeyPath, AbstractArray | None]:
    """Returns the leaves with data that their name alone does not prove."""
    return {path: leaf.aval for path, leaf in tree.leaves.items() if leaf.has_data and path not in settled}


def _without(
    leaves: Mapping[KeyPath, AbstractArray | None], those: Collection[KeyPath]
) -> Iterable[AbstractArray | None]:
    return (aval for path, aval in leaves.items() if path not in those)


def _distinct(task: Task) -> Iterable[AbstractArray | None]:
    """Yields the results of the task, each once, even if several targets receive it."""
    return dict(zip(task.outputs, task.out_avals, strict=True)).values()


def _repeated(task: Task) -> Iterable[KeyPath]:
    """Yields the targets whose array another target of the task also receives: exchanging them changes nothing."""
    first = {output: index for index, output in reversed(list(enumerate(task.outputs)))}
    return (path for index, path in enumerate(task.targets) if first[task.outputs[index]] != index)


def _casts(task: Task) -> bool:
    return any(op.only_casts for step in task.steps for op in step.ops)


def _keeps_axes(task: Task) -> bool:
    """Whether every op on the way keeps the axes of every array."""
    avals = [aval or _STRING for aval in task.in_avals]
    for step in task.steps:
        calls = [(op, [avals[index] for index in group]) for op, group in step.calls]
        if not all(len(group) == 1 and op.keeps_axes(*group) for op, group in calls):
            return False
        avals = [result for op, group in calls for result in op.infer(*group)]
    return True


@lru_cache(maxsize=1 << 12)  # a checkpoint has many arrays and few shapes
def _sizes(aval: AbstractArray) -> Sizes:
    return tuple(sorted(wide(aval.shape)))


def _signature(aval: AbstractArray | None, cast: Collection[Sizes]) -> tuple[Sizes, str]:
    aval = aval or _STRING
    sizes = _sizes(aval)
    return sizes, "" if sizes in cast else aval.dtype
