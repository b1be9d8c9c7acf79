"""Stages one share of a plan; what earlier attempts at the share made durable is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrate.engine.items import item_of, item_plans
from migrate.engine.options import ApplyOptions
from migrate.engine.outputs.base import Output
from migrate.engine.sharing.dealing import Dealt, Share
from migrate.engine.sharing.order import refuse_unfit
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.memory import explained_memory_failures
from migrate.engine.streaming.pipeline import Stopped, stage
from migrate.engine.streaming.stopping import never
from migrate.engine.streaming.store import Store
from migrate.engine.verification.source_digests import inputs_of
from migrate.engine.workspace.attempts import SHARES, Attempt, new_attempt
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.journal import names_arrays
from migrate.engine.workspace.resume import Shared, SharedArray, shared_arrays
from migrate.engine.workspace.write_failures import explained_failures
from migrate.formats.digest_record import Blocks
from migrate.formats.reader import Reader
from migrate.places.bucket_path import BucketPath
from migrate.places.names import refresh
from migrate.planning.model import Plan
from migrate.tree import KeyPath

STOP = "stop"
"""A file in the directory of the shares that stops their workers between two arrays."""

_LOOK_SECONDS = 0.2
_LOOK_BUCKET_SECONDS = 3.0
"""A file system or a bucket is asked for that file this often."""


@dataclass(frozen=True, slots=True)
class StagedShare:
    """The arrays of a share that are durable.

    Attributes:
      number: the number of the share.
      arrays: the arrays.
      earlier: the number of them that earlier attempts had staged.
      stopped: whether the share was stopped before its last array.
    """

    number: int
    arrays: Shared
    earlier: int
    stopped: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        arrays = [[list(path), found.attempt.name, found.array.to_json()] for path, found in self.arrays.items()]
        return {"number": self.number, "arrays": arrays, "earlier": self.earlier, "stopped": self.stopped}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], workspace: Path) -> StagedShare:
        """Returns the value that `to_json` returned, for a working directory."""
        arrays = {
            tuple(path): SharedArray(Attempt(workspace, name), StagedArray.from_json(array))
            for path, name, array in fields["arrays"]
        }
        return cls(fields["number"], arrays, fields["earlier"], fields["stopped"])


def _ignore(path: KeyPath) -> None:
    del path


def stage_share(
    dealt: Dealt,
    share: Share,
    shares: int,
    reader: Reader,
    output: Output,
    work: Workspace,
    origin: Mapping[str, Any],
    options: ApplyOptions,
    *,
    digests: Mapping[KeyPath, Blocks],
    stopped: Callable[[], bool] = never,
    done: Callable[[KeyPath], None] = _ignore,
) -> StagedShare:
    """Streams and creates the arrays of a share.

    Args:
      dealt: the plan.
      share: the share.
      shares: the number of shares into which the plan was divided.
      reader: the source.
      output: the kind of DST.
      work: the working directory.
      origin: the origin of the arrays (`migrate.engine.workspace.resume.origin`).
      options: the budget, the number of leaves at a time, the compression, and the mode of the verification.
      digests: the digests that the source records (`recorded_digests`).
      stopped: asked between arrays; once it returns true, the arrays in work are finished.
      done: receives the key path of every array that became durable.

    Raises:
      VerifyError: a leaf differs from the digest that the source records (`ChangedValues`).
      RefusedError: a cast would change a value (`LossyCast`).
      CheckpointError: the source cannot be read.
      MigrateError: writing failed (`WriteFailed`) or memory is exhausted (`OutOfMemory`).
    """
    plan = dealt.plan
    mine = frozenset(share.targets(plan))
    staged = shared_arrays(plan, work, origin, output, share=share.number)
    earlier = {path: found for path, found in staged.items() if path in mine}
    if len(earlier) == len(mine):
        return StagedShare(share.number, earlier, len(earlier))
    attempt, found = new_attempt(work.path, share.number), dict(earlier)
    halted = False
    with (
        _leaving_no_empty_attempt(work, attempt),
        explained_failures(work.path, plan.source.path),
        explained_memory_failures(f"an array of share {share.number}", options.max_ram),
        attempt.begin(origin, shares) as journal,
        _scratch(attempt.scratch) as scratch,
    ):

        def durable(path: KeyPath, array: StagedArray) -> None:
            journal.record(path, array)
            found[path] = SharedArray(attempt, array)
            done(path)

        part = dealt.only(share)
        inputs = inputs_of(plan, digests, reader, verify=options.verify, jobs=options.workers)
        with ExitStack() as stack:
            stores = _open_stores(stack, plan, mine, reader, output, work, attempt, options)
            how: dict[str, Any] = {"max_ram": options.max_ram, "jobs": options.workers, "scratch": scratch}
            try:
                stage(part, reader, stores, **how, inputs=inputs, finished=earlier, sink=durable, stopped=stopped)
            except Stopped:
                halted = True
    return StagedShare(share.number, found, len(earlier), halted)


def _open_stores(
    stack: ExitStack,
    plan: Plan,
    targets: frozenset[KeyPath],
    reader: Reader,
    output: Output,
    work: Workspace,
    attempt: Attempt,
    options: ApplyOptions,
) -> Mapping[str, Store]:
    """Opens a store for each item of which the share has arrays.

    Raises:
      MigrateError: the file that the run has created for all processes is missing (`UnfitWorker`).
    """
    items = item_plans(plan)
    owner = item_of(items)
    needed = {owner[path].name for path in targets}
    stores: dict[str, Store] = {}
    for item in items:
        place = output.share_store(work.store(item.place), attempt.folder)
        if item.name in needed:
            lacking = output.shares_in_place and not output.stored_arrays(item, place)
            refuse_unfit(lacking, f"does not see the file in `{place}`")
            stores[item.name] = stack.enter_context(output.open_share(plan, reader, item, place, options))
    return stores


@contextmanager
def _leaving_no_empty_attempt(work: Workspace, attempt: Attempt) -> Iterator[None]:
    """Removes an attempt that ends without an array: nothing would be resumed from it."""
    try:
        yield
    finally:
        if not names_arrays(attempt.journal):
            work.remove_attempt(attempt)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Makes the directory for scratch copies, and removes it; there is none in a bucket."""
    if isinstance(folder, BucketPath):
        yield folder
        return
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class StopFile:
    """Whether a file that stops the workers exists, or their run has ended; asks the file system now and then."""

    def __init__(self, work: Workspace) -> None:
        self._file = work.path / SHARES / STOP
        self._every = _LOOK_BUCKET_SECONDS if isinstance(self._file, BucketPath) else _LOOK_SECONDS
        self._asked, self._found = 0.0, False

    def __call__(self) -> bool:
        """Returns whether the workers should stop."""
        if not self._found and time.monotonic() - self._asked >= self._every:
            refresh(self._file.parent)
            self._asked = time.monotonic()
            self._found = self._file.exists() or not self._file.parent.exists()
        return self._found

    def write(self) -> None:
        """Stops the workers."""
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_bytes(b"")

    def remove(self) -> None:
        """Lets workers work again."""
        self._file.unlink(missing_ok=True)
