"""Compares the leaves of the source that a plan streams with the digests that the source records, while they are read.

A leaf that is read whole, or in consecutive parts, is digested in the memory into which it was read. Leaves that are
read in any other order are digested in a pass of their own. Leaves without a recorded digest cost nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrate.codes import ChangedValues
from migrate.engine.streaming.array_bytes import Digest, value_blocks
from migrate.errors import VerifyError
from migrate.events import LeafDone, Listener, ignore
from migrate.formats.base import Value
from migrate.formats.digest_record import Blocks, unequal_blocks
from migrate.tree import AbstractLeaf, KeyPath, format_path

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

OwnPass = Callable[[Collection[KeyPath], int], Iterable[tuple[KeyPath, Blocks]]]
"""Reads leaves in a pass of its own, within a number of host bytes, and yields the digests of their blocks."""


class Inputs:
    """Compares leaves with their recorded digests, each once; thread-safe.

    A difference is only noted when it is found, so that `refuse_changed` names all leaves that differ by then.

    Attributes:
      recorded: the digests by source key path; empty where nothing is compared.
      compared: the leaves that were compared.
    """

    def __init__(
        self,
        recorded: Mapping[KeyPath, Blocks],
        leaves: Mapping[KeyPath, AbstractLeaf],
        places: Sequence[Path],
        own_pass: OwnPass,
    ) -> None:
        """Begins a comparison.

        Args:
          recorded: the digests by source key path.
          leaves: the leaves of the source.
          places: the sources, for the error message.
          own_pass: reads the leaves that `compare` gets.
        """
        self.recorded = recorded
        self.compared: set[KeyPath] = set()
        self._leaves = leaves
        self._places = places
        self._own_pass = own_pass
        self._changed: set[KeyPath] = set()
        self._lock = threading.Lock()

    def whole(self, path: KeyPath, value: Value) -> Value:
        """Compares a value that was read whole, and returns it."""
        if self._is_due(path):
            self._compare(path, value_blocks(value, self._leaves[path], crc=False))
        return value

    def parts(self, path: KeyPath, parts: Iterable[Array]) -> Iterable[Array]:
        """Returns consecutive parts of an array; it is compared once all were read."""
        return self._digested(path, parts) if self._is_due(path) else parts

    def _digested(self, path: KeyPath, parts: Iterable[Array]) -> Iterator[Array]:
        found = Digest(crc=False, whole=False)
        for part in parts:
            found.update(part)
            yield part
        self._compare(path, found.blocks)

    def compare(self, paths: Iterable[KeyPath], max_ram: int, listener: Listener = ignore) -> None:
        """Compares leaves in a pass of its own, as far as they were not compared yet.

        Args:
          paths: the leaves.
          max_ram: host bytes in memory at once.
          listener: receives an event for every leaf.

        Raises:
          VerifyError: a leaf differs (`ChangedValues`).
          CheckpointError: a leaf cannot be decoded.
        """
        due = [path for path in dict.fromkeys(paths) if self._is_due(path)]
        for path, found in self._own_pass(due, max_ram) if due else ():
            self._compare(path, found)
            listener(LeafDone("source", path, self._leaves[path].nbytes))
        self.refuse_changed()

    def are_compared(self, paths: Iterable[KeyPath]) -> bool:
        """Returns whether any of the leaves has a digest, and all that have one were compared."""
        known = [path for path in paths if path in self.recorded]
        return bool(known) and self.compared.issuperset(known)

    def refuse_changed(self) -> None:
        """Refuses the source if a leaf differs.

        Raises:
          VerifyError: a leaf differs (`ChangedValues`).
        """
        with self._lock:
            changed = [path for path in self.recorded if path in self._changed] if self._changed else []
        refuse_changed_leaves(changed, self._places)

    def _is_due(self, path: KeyPath) -> bool:
        return path in self.recorded and path not in self.compared

    def _compare(self, path: KeyPath, found: Blocks) -> None:
        differs = bool(unequal_blocks(self.recorded[path], found))
        with self._lock:
            self.compared.add(path)
            if differs:
                self._changed.add(path)


UNCOMPARED = Inputs({}, {}, (), lambda _paths, _max_ram: ())
"""Compares nothing: no digest is known."""


def refuse_changed_leaves(changed: Collection[KeyPath], places: Sequence[Path]) -> None:
    """Refuses sources of which leaves differ from the digests that they record.

    Raises:
      VerifyError: there are such leaves (`ChangedValues`).
    """
    if not changed:
        return
    count = f"{len(changed):,} of its arrays differ"
    message = f"{' or '.join(map(str, places))} has changed since its digests were recorded: {count}"
    commands = " and ".join(f"`migrate verify {path}`" for path in places)
    names = [format_path(path) for path in changed]
    raise VerifyError(ChangedValues.at(message, paths=names, help=f"{commands} names the files"))
