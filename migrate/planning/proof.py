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

An axis that is split, or merged from others, is never proved by shape: the factors could be in either order
(`Op.unseen_order`).

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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain

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
        return cls(_counted(sources, loose), _counted(targets, loose), loose)

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
        slots = set(self.slots)
        found = [[path for path in self.tree.leaves if path[:depth] in slots] for depth in {*map(len, slots)}]
        return frozenset(chain.from_iterable(found))


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
    prover = _Prover([task for task in tasks if not task.follows], source, target)

    def proved(task: Task) -> Task:
        if task.follows:
            return task
        if unscaled and any(path in unscaled for path in task.sources):
            return task.with_proof("none")
        return task.with_proof(prover(task))

    return _inherited(map(proved, tasks), given={})


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
    if not any(task.follows for task in tasks):
        return tasks
    of_param: Mapping[KeyPath, Proof] = {path: t.proved for t in tasks if not t.follows for path in t.sources}

    def proof(task: Task, param: KeyPath) -> Proof:
        found = of_param.get(param, "none")
        return found if not given or (task.proved == "none" and found in given) else task.proved

    return tuple(task.with_proof(proof(task, task.follows)) if task.follows else task for task in tasks)


def _kept(task: Task) -> bool:
    return not task.steps and task.sources == task.targets


class _Prover:
    """Proves tasks one by one; the counts are made for the first task that does more than keep its leaf.

    Args:
      tasks: all tasks but those of moments that follow a param.
      source: the source's tree.
      target: the target's tree.
    """

    def __init__(self, tasks: Sequence[Task], source: TreeWithSlots, target: TreeWithSlots) -> None:
        self._tasks = tasks
        self._source = source
        self._target = target

    def __call__(self, task: Task) -> Proof:
        if _kept(task):
            return "name"
        if not any(path in self._source.tree.with_data for path in task.sources):
            return "shape"
        among = self._params if self._source.moments.isdisjoint(task.sources) else self._everything
        return "shape" if among.only_fit(task.in_avals, _distinct(task)) and _keeps_axes(task) else "none"

    @cached_property
    def _everything(self) -> Candidates:
        return self._candidates(*self._open_paths)

    @cached_property
    def _params(self) -> Candidates:
        """All leaves but moments."""
        before, after = self._open_paths
        return self._candidates(before - self._source.moments, after - self._target.moments)

    @cached_property
    def _open_paths(self) -> tuple[Set[KeyPath], Set[KeyPath]]:
        """The leaves with data of both sides that their name alone does not prove."""
        kept = {task.sources[0] for task in self._tasks if _kept(task)}
        tied = {path for task in self._tasks if len(task.targets) > 1 for path in _repeated(task)}
        return self._source.tree.with_data.keys() - kept, self._target.tree.with_data.keys() - kept - tied

    @cached_property
    def _cast(self) -> Sequence[AbstractArray | None]:
        """The arrays that change their dtype."""
        casts = (task for task in self._tasks if task.steps and _casts(task))
        return [aval for task in casts for aval in (*task.in_avals, *task.out_avals)]

    def _candidates(self, before: Iterable[KeyPath], after: Iterable[KeyPath]) -> Candidates:
        sources, targets = self._source.tree.leaves, self._target.tree.leaves
        return Candidates.of(
            [sources[path].aval for path in before], [targets[path].aval for path in after], self._cast
        )


def unseen_order(task: Task) -> str:
    """Returns the split and merged axes of a task, whose order no shape shows; empty if there are none."""
    avals = [aval or _STRING for aval in task.in_avals]
    found: list[str] = []
    for step in task.steps:
        calls = [(op, [avals[index] for index in group]) for op, group in step.calls]
        found += [order for op, group in calls if (order := op.unseen_order(*group))]
        avals = [result for op, group in calls for result in op.infer(*group)]
    return ", ".join(dict.fromkeys(found))


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


def _counted(avals: Iterable[AbstractArray | None], cast: Collection[Sizes]) -> Counter[tuple[Sizes, str]]:
    """Counts arrays by sizes and dtype; a tree has many arrays and few different ones."""
    found: Counter[tuple[Sizes, str]] = Counter()
    for aval, count in Counter(avals).items():
        found[_signature(aval, cast)] += count
    return found


def _signature(aval: AbstractArray | None, cast: Collection[Sizes]) -> tuple[Sizes, str]:
    aval = aval or _STRING
    sizes = _sizes(aval)
    return sizes, "" if sizes in cast else aval.dtype
