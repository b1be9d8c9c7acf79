"""Slots of one field in several states: one optimizer becomes many when its params unstack, and many become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migrate.planning.moments.slots import Slot, in_order
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
    def leaves(self) -> Iterator[KeyPath]:
        """The key paths of all moments."""
        return (path for slot in self.slots for path in slot.leaves)

    @property
    def params(self) -> Iterator[KeyPath]:
        """The key paths of all params that the slots mirror."""
        return (slot.root + path for slot in self.slots for path in in_order(slot.paths))

    def param(self, moment: KeyPath) -> KeyPath:
        """Returns the param of a moment."""
        slot = next(slot for slot in self.slots if is_below(moment, slot.prefix))
        return slot.param(moment)

    def moment(self, param: KeyPath) -> KeyPath | None:
        """Returns the copy of a param, or None if there is none."""
        return next((path for slot in self.slots if (path := slot.moment(param)) is not None), None)

    def covers(self, param: KeyPath) -> bool:
        """Whether the param is below the root of a slot."""
        return any(is_below(param, slot.root) for slot in self.slots)

    def place(self, param: KeyPath) -> KeyPath:
        """Returns the key path that the moment of a param has or would have."""
        slot = next((slot for slot in self.slots if is_below(param, slot.root)), self.slots[0])
        return self.moment(param) or slot.prefix + param[len(slot.root) :] + slot.suffix
