"""Tasks from values: leaves that share a value form one task, whose steps compute every value once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from migrate.ops.base import Op
from migrate.ops.fill import Fill
from migrate.ops.keep import Keep
from migrate.planning.model import Step, Task
from migrate.planning.versions.values import CallResult, CreatedValue, OpCall, SourceValue, Value, below, leaves_of
from migrate.tree import KeyPath


def tasks_of(targets: Mapping[KeyPath, Value]) -> Iterator[Task]:
    """Yields the tasks that compute these targets; each value has a source leaf among the values below it."""
    return (task_of({path: targets[path] for path in paths}) for paths in groups_of(targets))


def task_of(targets: Mapping[KeyPath, Value]) -> Task:
    """Returns one task that computes these targets."""
    first = next(iter(targets.values()))
    if isinstance(first, SourceValue) and len(targets) == 1:
        avals = (first.aval,)
        return Task((first.path,), tuple(targets), (0,), (), avals, avals)
    values = list(dict.fromkeys(one for value in targets.values() for one in below(value)))
    sources = [one for one in values if isinstance(one, SourceValue)]
    steps, arrays = _steps(sources, values, list(targets.values()))
    places = {value: index for index, value in reversed(list(enumerate(arrays)))}
    return Task(
        sources=tuple(one.path for one in sources),
        targets=tuple(targets),
        outputs=tuple(places[value] for value in targets.values()),
        steps=tuple(steps),
        in_avals=tuple(one.aval for one in sources),
        out_avals=tuple(value.aval for value in targets.values()),
    )


def groups_of(targets: Mapping[KeyPath, Value]) -> list[list[KeyPath]]:
    """Groups targets that share a source leaf, directly or through others."""
    group_of: dict[SourceValue, int] = {}
    groups: dict[int, list[KeyPath]] = {}
    members: dict[int, list[SourceValue]] = {}
    for number, (path, value) in enumerate(targets.items()):
        if isinstance(value, SourceValue) and value not in group_of:
            group_of[value], groups[number], members[number] = number, [path], [value]
            continue
        leaves = list(leaves_of(value))
        joined = sorted({group_of[leaf] for leaf in leaves if leaf in group_of})
        groups[number] = [*(each for old in joined for each in groups.pop(old)), path]
        members[number] = [*dict.fromkeys([*leaves, *(each for old in joined for each in members.pop(old))])]
        group_of.update(dict.fromkeys(members[number], number))
    return list(groups.values())


def _steps(
    sources: Sequence[Value], values: Sequence[Value], ends: Sequence[Value]
) -> tuple[list[Step], Sequence[Value]]:
    """Returns the steps, and the values that the last step returns."""
    pending = list(dict.fromkeys(one.call for one in values if isinstance(one, CallResult)))
    fills = [one for one in values if isinstance(one, CreatedValue)]
    arrays, steps = list(sources), list[Step]()
    if fills:
        steps.append(_step([*((_fill(one), ()) for one in fills), *_kept(range(len(arrays)))]))
        arrays = [*fills, *arrays]
    while pending:
        chosen = _next(pending, arrays)
        pending = [call for call in pending if call not in chosen]
        needed = {*ends, *(one for call in pending for one in call.inputs)}
        made = [(call, index) for call in chosen for index in range(len(call.results))]
        places = {value: index for index, value in reversed(list(enumerate(arrays)))}
        kept = [value for value in dict.fromkeys(arrays) if value in needed]
        calls = [(call.op, tuple(places[one] for one in call.inputs)) for call in chosen]
        steps.append(_step([*calls, *_kept(places[value] for value in kept)]))
        results = {(one.call, one.index): one for one in values if isinstance(one, CallResult)}
        arrays = [*(results.get(key) or CallResult(*key) for key in made), *kept]
    return steps, arrays


def _next(pending: Sequence[OpCall], arrays: Iterable[Value]) -> list[OpCall]:
    """Returns the calls of one op that can be made now: the op of the first call, and as many calls as there are."""
    there = set(arrays)
    ready = [call for call in pending if there.issuperset(call.inputs)]
    return [call for call in ready if call.op == ready[0].op]


def _step(calls: Sequence[tuple[Op, tuple[int, ...]]]) -> Step:
    ops = [op for op, _ in calls]
    alike = all(op == ops[0] for op in ops)
    return Step(ops[0], tuple(group for _, group in calls), None, () if alike else tuple(ops))


def _kept(places: Iterable[int]) -> list[tuple[Op, tuple[int, ...]]]:
    return [(Keep(), (place,)) for place in places]


def _fill(value: CreatedValue) -> Fill:
    assert value.aval is not None
    assert value.number is not None
    return Fill(value.aval, value.number)
