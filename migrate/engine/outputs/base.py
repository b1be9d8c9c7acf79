"""What DST becomes, chosen once: a checkpoint that Orbax restores, or a single file of another format.

An output says what of a plan it can hold, where arrays are staged, how they become the result, and how the result is
read back. Everything else (the budget, the journal, the working directory, publishing) is the same for all.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.engine.items import ItemPlan
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.store import Store
from migrate.engine.workspace.directory import Workspace
from migrate.errors import Diagnostic
from migrate.events import Listener
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.planning.model import Plan
from migrate.tree import KeyPath

if TYPE_CHECKING:
    from migrate.engine.linking.relink import Link


@dataclass
class Staged:
    """What staging leaves behind, by key path."""

    arrays: dict[KeyPath, StagedArray]
    values: Mapping[KeyPath, Value] = field(default_factory=dict)
    dead_bytes: int = 0

    @property
    def digests(self) -> Mapping[KeyPath, str]:
        """The digest of every array."""
        return {path: array.digest for path, array in self.arrays.items()}


@dataclass(frozen=True)
class Effort:
    """How the caller wants it done.

    Attributes:
      max_ram: bytes that array data may take in memory at once.
      jobs: how many leaves are worked on at once.
      compression: `zstd:N` or `none`; None keeps each array's own.
    """

    max_ram: int
    jobs: int
    compression: str | None = None


class Output(abc.ABC):
    """A kind of DST."""

    @abc.abstractmethod
    def fit(self, plan: Plan) -> Plan:
        """The plan as it is carried out, with what has no place as errors; fitting it again changes nothing."""

    @abc.abstractmethod
    def objections(self, compression: str | None) -> Iterator[Diagnostic]:
        """What makes no sense for this output (M412)."""

    @abc.abstractmethod
    def stored_arrays(self, item: ItemPlan, store: Path) -> Collection[str]:
        """The names of the arrays that an earlier run left in a store."""

    @abc.abstractmethod
    def open_store(
        self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, effort: Effort
    ) -> AbstractContextManager[Store]:
        """A store for the arrays of an item, made or found again."""

    @abc.abstractmethod
    def commit(self, plan: Plan, staged: Staged, links: Sequence[Link], work: Workspace, *, resumed: bool) -> Staged:
        """Makes `work.result` of what is staged and what is linked; says what all arrays are."""

    @abc.abstractmethod
    def check_digests(
        self,
        plan: Plan,
        result: Path,
        digests: Mapping[KeyPath, str],
        links: Sequence[Link],
        effort: Effort,
        listener: Listener,
    ) -> int:
        """Reads arrays back and compares each with the digest of what was written; says how many.

        Raises:
          VerifyError: arrays differ, or leaves are missing or were never meant (M505).
          CheckpointError: what was written cannot be read.
        """

    @abc.abstractmethod
    def check_values(self, plan: Plan, reader: Reader, result: Path, listener: Listener) -> int:
        """Reads every leaf back and compares it with the rules applied to the source again; says how many.

        Raises:
          VerifyError: leaves differ, are missing or were never meant (M505).
          CheckpointError: what was written cannot be read.
        """
