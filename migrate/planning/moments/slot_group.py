"""Slots of one field in several states: one optimizer becomes many when its params unstack, and many become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migrate.planning.moments.names import FLAX_OPTIM, GRADIENT_POWERS
from migrate.planning.moments.slots import Slot
from migrate.tree import KeyPath, is_below


@dataclass(frozen=True, slots=True)
class SlotGroup:
    """Slots that together mirror params; most groups have one."""

    slots: tuple[Slot, ...]

    @property
    def prefix(self) -> KeyPath:
        """The node of the first slot, for messages."""
        return self.slots[0].prefix

    @property
    def gradient_power(self) -> int | None:
        """The power of the gradients that the moments are sums or means of; None where it is unknown."""
        slot = self.slots[0]
        field = (*slot.prefix, *slot.suffix)[-1] if slot.prefix or slot.suffix else ""
        return GRADIENT_POWERS.get(FLAX_OPTIM.get(field, field) if slot.suffix else field)

    @property
    def leaves(self) -> Iterator[KeyPath]:
        """The key paths of all moments."""
        return (path for slot in self.slots for path in slot.leaves)

    @property
    def pairs(self) -> Iterator[tuple[KeyPath, KeyPath]]:
        """Each moment with its param."""
        for slot in self.slots:
            start, root, beyond = len(slot.prefix), slot.root, len(slot.suffix)
            yield from ((path, root + path[start : len(path) - beyond]) for path in slot.leaves)

    @property
    def params(self) -> Iterator[KeyPath]:
        """The key paths of all params that the slots mirror."""
        return (slot.root + path for slot in self.slots for path in sorted(slot.paths))

    def param(self, moment: KeyPath) -> KeyPath:
        """Returns the param of a moment."""
        slot = self.slots[0]
        if len(self.slots) > 1:
            slot = next(slot for slot in self.slots if is_below(moment, slot.prefix))
        return slot.param(moment)

    def moment(self, param: KeyPath) -> KeyPath | None:
        """Returns the copy of a param, or None if there is none."""
        for slot in self.slots:
            path = slot.moment(param)
            if path is not None:
                return path
        return None

    def covers(self, param: KeyPath) -> bool:
        """Whether the param is below the root of a slot."""
        return self._above(param) is not None

    def place(self, param: KeyPath) -> KeyPath:
        """Returns the key path that the moment of a param has or would have."""
        slot = self._above(param) or self.slots[0]
        known = self.moment(param) if len(self.slots) > 1 else None
        return known or slot.prefix + param[len(slot.root) :] + slot.suffix

    def _above(self, param: KeyPath) -> Slot | None:
        """Returns the first slot below whose root the param is."""
        for slot in self.slots:
            if param[: len(slot.root)] == slot.root:
                return slot
        return None
