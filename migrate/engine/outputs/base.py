"""The interface of an output: the kind of DST, such as an Orbax checkpoint or a single file.

An output fits a plan to its format, opens staging stores, assembles the result and reads it back. Everything else (the
budget, the journal, the working directory, publishing) is the same for all outputs.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from migrate.codes import InvalidUsage
from migrate.engine.items import ItemPlan
from migrate.engine.options import ApplyOptions
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.store import Store
from migrate.engine.workspace.directory import Workspace
from migrate.errors import Diagnostic
from migrate.events import Listener
from migrate.formats.base import Value
from migrate.formats.digest_record import Blocks
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.planning.model import Plan
from migrate.tree import KeyPath

if TYPE_CHECKING:
    from migrate.engine.linking.link import Link


@dataclass
class Staged:
    """Staged arrays and all other values, by key path."""

    arrays: dict[KeyPath, StagedArray]
    values: Mapping[KeyPath, Value] = field(default_factory=dict)
    dead_bytes: int = 0

    @property
    def blocks(self) -> dict[KeyPath, Blocks]:
        """The digests of the blocks of every array that was written, or whose digests the source records."""
        return {path: array.blocks for path, array in self.arrays.items() if array.blocks is not None}

    @property
    def digests(self) -> Mapping[KeyPath, str]:
        """The digest of every array."""
        return {path: array.digest for path, array in self.arrays.items()}


class Output(abc.ABC):
    """A kind of DST.

    Attributes:
      is_orbax: whether DST is an Orbax checkpoint: a directory of chunked arrays, which may have items.
      shares_in_place: whether several processes write into one staging store. Otherwise each attempt at a share has a
        store of its own, and `commit` joins them.
    """

    is_orbax: ClassVar[bool] = True
    shares_in_place = False

    @abc.abstractmethod
    def recognizes(self, written: Path) -> bool:
        """Returns whether an existing checkpoint is of this kind."""

    @abc.abstractmethod
    def foreign_entries(self, written: Path) -> Sequence[str]:
        """Returns the entries of an existing checkpoint that are not part of it; opens it.

        Raises:
          CheckpointError: there is no checkpoint of this kind, or it cannot be read.
        """

    @abc.abstractmethod
    def fit(self, plan: Plan) -> Plan:
        """Returns the plan as it is carried out, with errors for leaves that the format cannot hold; idempotent."""

    def beside(self, place: Path) -> Path:
        """Returns the path beside which the working directory is; by default DST itself.

        Args:
          place: DST, absolute.
        """
        return place

    def announce(self, result: Path, place: Path) -> None:  # noqa: B027
        """Prepares the surroundings of DST for the verified result, just before it is published; by default nothing."""

    def shared_items(self, plan: Plan) -> Collection[str]:
        """Returns the names of the items of which several processes can stage arrays; by default none."""
        del plan
        return ()

    def objections(self, options: ApplyOptions) -> Iterator[Diagnostic]:
        """Finds options that are invalid (`InvalidUsage`); by default, those of a folder of Hugging Face."""
        given = {"--max-shard-size": options.max_shard_size, "--files-from": options.files_from}
        for name in (name for name, value in given.items() if value is not None):
            message = f"`{name}` is for a folder of Hugging Face, and DST is of another kind"
            yield InvalidUsage.at(
                message, help=f"remove `{name}`, or set `target: {{layout: huggingface}}` in the rule file"
            )

    def is_written_with(self, found: AbstractCheckpoint, place: Path, options: ApplyOptions) -> bool:
        """Returns whether an existing result of a plan is what the plan would write with these options.

        Args:
          found: the result.
          place: where it is.
          options: the options of the run; by default, only the codec of all arrays is compared.
        """
        del place
        if options.compression is None:
            return True
        stored = [leaf.storage for leaf in found.tree.leaves.values() if leaf.is_numeric and leaf.storage]
        return all((storage.codec or "none") == options.compression for storage in stored)

    def settled(self, plan: Plan, place: Path, options: ApplyOptions) -> ApplyOptions:
        """Returns the options with the defaults that depend on what DST is; by default the options themselves.

        Args:
          plan: the plan.
          place: DST, absolute.
          options: the options of the run.
        """
        del plan, place
        return options

    def remarks(self, plan: Plan, place: Path, options: ApplyOptions) -> Iterator[Diagnostic]:
        """Finds what the user of the result should know; by default nothing. Arguments as in `settled`."""
        del plan, place, options
        yield from ()

    def share_store(self, store: Path, folder: str) -> Path:
        """Returns the directory in which an attempt at a share stages arrays.

        Args:
          store: the staging store of an item.
          folder: the name of the attempt's own directories.
        """
        return store if self.shares_in_place else store / folder

    def prepare_shares(self, plan: Plan, reader: Reader, work: Workspace, options: ApplyOptions) -> None:  # noqa: B027
        """Creates what processes that stage shares must find; by default nothing. The caller holds the lock."""

    def open_share(
        self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions
    ) -> AbstractContextManager[Store]:
        """Opens the store of an attempt at a share (`share_store`), or creates it."""
        return self.open_store(plan, reader, item, store, options)

    @abc.abstractmethod
    def stored_arrays(self, item: ItemPlan, store: Path) -> Collection[str]:
        """Returns the names of the arrays that an earlier run left in a store."""

    @abc.abstractmethod
    def open_store(
        self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions
    ) -> AbstractContextManager[Store]:
        """Opens the staging store of an item, or creates it."""

    def reserved_bytes(self, place: Path, max_ram: int) -> int:
        """Returns the host bytes of the budget that a store holds until its arrays are durable; by default none."""
        del place, max_ram
        return 0

    @abc.abstractmethod
    def commit(self, plan: Plan, staged: Staged, links: Sequence[Link], work: Workspace, *, resumed: bool) -> Staged:
        """Assembles `work.result` from staged and linked arrays; returns the records of all arrays."""

    @abc.abstractmethod
    def check_digests(
        self,
        plan: Plan,
        result: Path,
        digests: Mapping[KeyPath, str],
        links: Sequence[Link],
        options: ApplyOptions,
        listener: Listener,
    ) -> int:
        """Reads arrays back and compares each with the digest of what was written; returns their number.

        Raises:
          VerifyError: arrays differ, or leaves are missing or unexpected (`VerificationFailed`).
          CheckpointError: the result cannot be read.
        """

    def decode_links(
        self,
        plan: Plan,
        result: Path,
        links: Sequence[Link],
        options: ApplyOptions,
        listener: Listener,
    ) -> Mapping[KeyPath, Blocks]:
        """Decodes every linked chunk once; returns the digests of the linked arrays. By default nothing is linked.

        Raises:
          CheckpointError: a chunk cannot be decoded.
        """
        del plan, result, links, options, listener
        return {}

    def record_digests(self, plan: Plan, result: Path, digests: Mapping[KeyPath, Blocks], staged: Staged) -> None:  # noqa: B027
        """Writes the digests of all leaves into the result, where the commit could not."""

    @abc.abstractmethod
    def check_values(
        self,
        plan: Plan,
        reader: Reader,
        result: Path,
        listener: Listener,
        digests: dict[KeyPath, Blocks] | None = None,
        *,
        follow_links: bool = False,
    ) -> int:
        """Reads every leaf back and compares it with the rules applied to the source again; returns their number.

        Args:
          plan: the plan.
          reader: the source.
          result: the written checkpoint.
          listener: receives an event for every leaf.
          digests: receives the digests of the blocks of every array and number.
          follow_links: whether links in the written checkpoint may lead out of it.

        Raises:
          VerifyError: leaves differ, are missing or unexpected (`VerificationFailed`).
          CheckpointError: the result cannot be read.
        """
