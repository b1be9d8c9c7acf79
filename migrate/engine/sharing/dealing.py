"""Deals the streamed tasks and the created arrays of a plan into shares of about the same size.

The result depends on the arguments alone, so that processes that never meet deal in the same way.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from migrate.engine.items import item_of, item_plans
from migrate.engine.streaming.budget import LEAF_BYTES
from migrate.planning.model import Created, Plan, Task
from migrate.tree import KeyPath

SHARES_PER_WORKER = 4
"""A worker gets several shares, so that fast workers take more of them and a lost one costs little."""

SHARE_BYTES = 64 << 20
"""Smaller shares are made only to give every worker one."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the work of a plan.

    Attributes:
      number: its number, from 0.
      tasks: the positions of its tasks in the plan.
      created: the positions of its created arrays in the plan.
      nbytes: host bytes that it reads and writes.
    """

    number: int
    tasks: tuple[int, ...]
    created: tuple[int, ...]
    nbytes: int

    def targets(self, plan: Plan) -> Iterator[KeyPath]:
        """Yields the target key paths of its arrays."""
        for position in self.tasks:
            yield from plan.tasks[position].targets
        for position in self.created:
            yield plan.created[position].target

    def to_json(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Share:
        """Returns the share that `to_json` returned."""
        return cls(fields["number"], tuple(fields["tasks"]), tuple(fields["created"]), fields["nbytes"])


@dataclass(frozen=True, slots=True)
class _Unit:
    """A task, or with `is_created` a created array, that one share gets whole."""

    position: int
    is_created: bool
    targets: tuple[KeyPath, ...]
    nbytes: int


def deal(plan: Plan, items: Collection[str], count: int, finished: Collection[KeyPath] = ()) -> tuple[Share, ...]:
    """Returns shares of what a plan streams and creates: the largest unit first, each to the share with the least.

    Args:
      plan: the plan.
      items: the items of which processes can stage arrays (`Output.shared_items`).
      count: the number of shares; the last ones are empty where there are fewer units.
      finished: target key paths that need not be staged; units of which all are finished are left out.
    """
    todo = [unit for unit in _units(plan, items) if not all(path in finished for path in unit.targets)]
    hands: list[list[_Unit]] = [[] for _ in range(count)]
    loads = [(0, number) for number in range(count)]
    for unit in sorted(todo, key=lambda unit: -unit.nbytes):
        load, number = heapq.heappop(loads)
        hands[number].append(unit)
        heapq.heappush(loads, (load + unit.nbytes, number))
    return tuple(_share(number, hand) for number, hand in enumerate(hands))


def share_count(plan: Plan, items: Collection[str], workers: int, finished: Collection[KeyPath] = ()) -> int:
    """Returns the number of shares for some workers; arguments as in `deal`."""
    sizes = [unit.nbytes for unit in _units(plan, items) if not all(path in finished for path in unit.targets)]
    wanted = max(workers, min(workers * SHARES_PER_WORKER, sum(sizes) // SHARE_BYTES))
    return min(wanted, len(sizes))


def _share(number: int, hand: Iterable[_Unit]) -> Share:
    """Returns a share with its units in the order of the plan: neighbors are read together."""
    units = sorted(hand, key=lambda unit: unit.position)
    tasks = tuple(unit.position for unit in units if not unit.is_created)
    created = tuple(unit.position for unit in units if unit.is_created)
    return Share(number, tasks, created, sum(unit.nbytes for unit in units))


def _units(plan: Plan, items: Collection[str]) -> Iterator[_Unit]:
    """Yields what can be dealt: strings and other values, and created values that need JAX, stay with the caller."""
    owner = item_of(item_plans(plan))

    def is_dealt(targets: Iterable[KeyPath]) -> bool:
        return all(owner[path].name in items and plan.target.leaves[path].is_numeric for path in targets)

    for position, task in enumerate(plan.tasks):
        if task.mode == "stream" and is_dealt(task.targets):
            nbytes = task.in_bytes + task.out_bytes + LEAF_BYTES * len(task.targets)
            yield _Unit(position, False, task.targets, nbytes)
    for position, creation in enumerate(plan.created):
        if _is_filled(creation) and is_dealt((creation.target,)):
            yield _Unit(position, True, (creation.target,), creation.leaf.nbytes + LEAF_BYTES)


def _is_filled(creation: Created) -> bool:
    return creation.init is not None and creation.init.kind not in ("rng", "template")


class Dealt:
    """A plan whose parts are staged one by one, each by a plan of its own.

    The plan of a part has every task, because the items of a target depend on them; those of other parts are not
    streamed.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._resting = [_resting(task) for task in plan.tasks]

    def only(self, share: Share) -> Plan:
        """Returns the plan that streams and creates a share."""
        tasks = list(self._resting)
        for position in share.tasks:
            tasks[position] = self.plan.tasks[position]
        created = tuple(self.plan.created[position] for position in share.created)
        return replace(self.plan, tasks=tuple(tasks), created=created)

    def without(self, shares: Iterable[Share]) -> Plan:
        """Returns the plan that streams and creates what is in no share."""
        tasks = list(self.plan.tasks)
        gone: set[int] = set()
        for share in shares:
            gone.update(share.created)
            for position in share.tasks:
                tasks[position] = self._resting[position]
        created = tuple(creation for position, creation in enumerate(self.plan.created) if position not in gone)
        return replace(self.plan, tasks=tuple(tasks), created=created)


def _resting(task: Task) -> Task:
    return replace(task, mode="relink") if task.mode == "stream" else task
