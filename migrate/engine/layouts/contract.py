"""Drops the other layouts of a step that `expand` gave several: what is kept is checked first, and stands alone.

The dropped items leave the step by one rename each, into a working directory beside the step; then the step's metadata
is replaced by one rename, and the dropped files are deleted. A run that is killed is completed by the same call.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from stat import S_ISDIR
from typing import Any, Literal

from migrate.codes import DependentLayout, ForeignFiles, NoLayouts, UnknownItem
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.outputs.step_metadata import remove_items, require_place
from migrate.engine.verification import standalone
from migrate.engine.verification.record_file import write_record
from migrate.engine.workspace.directory import clear_needless, open_workspace, workspace_path
from migrate.engine.workspace.write_failures import explained_failures
from migrate.errors import CheckpointError, RefusedError, did_you_mean, listed
from migrate.events import Listener, ignore
from migrate.formats.detect import open_reader
from migrate.formats.digest_record import FILE, read_record
from migrate.formats.files import is_file
from migrate.formats.orbax.entries import foreign_entries
from migrate.formats.orbax.layouts import layouts_of_one_state, recorded_layouts
from migrate.formats.orbax.step import read_step
from migrate.formats.step_item import require_step

ContractVerify = Literal["extents", "decode"]
"""`extents`: every byte range that an array needs is present. `decode`: every array is decoded, and compared with its
digest where one is recorded.
"""


@dataclass(frozen=True, slots=True)
class Contracted:
    """The result of `migrate.contract`.

    Attributes:
      step: the step.
      kept: the layout that was kept.
      dropped: the items that were dropped; none where an earlier run had dropped them.
      freed_bytes: the bytes on disk that no other file uses.
      decoded: the number of leaves that were decoded.
    """

    step: Path
    kept: str
    dropped: tuple[str, ...]
    freed_bytes: int
    decoded: int = 0


@dataclass(frozen=True, slots=True)
class Contraction:
    """What a contraction of a step would do.

    Attributes:
      step: the step.
      kept: the layout that is kept.
      dropped: the items that are dropped.
      gone: the items that are recorded, and that an earlier run dropped.
      is_layout: whether the kept one was added by `expand`.
    """

    step: Path
    kept: str
    dropped: tuple[str, ...]
    gone: tuple[str, ...] = ()
    is_layout: bool = False


def plan_contraction(path: str | os.PathLike[str], keep: str) -> Contraction:
    """Returns which items of a step are dropped.

    Args:
      path: the step.
      keep: the layout that is kept.

    Raises:
      CheckpointError: it is not a step (`NotExpandable`), has no such item (`UnknownItem`), or no other layout of it
        (`NoLayouts`).
      UsageError: it is a URL (`UnsupportedPlace`).
    """
    step = require_step(path)
    custom, items = require_place(step), read_step(step).items
    if keep not in items:
        hints = [hint for hint in (did_you_mean(keep, items), f"it has {', '.join(f'`{n}`' for n in items)}") if hint]
        raise CheckpointError(UnknownItem.at(f"`{step}` has no pytree item `{keep}`", help="; ".join(hints)))
    state = layouts_of_one_state(custom, keep) - {keep}
    if not state:
        known = ", ".join(f"`{name}` (of `{one.item}`)" for name, one in recorded_layouts(custom).items())
        advice = f"its layouts are {known}" if known else "`migrate expand RULES STEP` adds one"
        raise CheckpointError(NoLayouts.at(f"`{step}` has no other layout of `{keep}`", help=advice))
    dropped, gone = sorted(state.intersection(items)), sorted(state.difference(items))
    return Contraction(step, keep, tuple(dropped), tuple(gone), keep in recorded_layouts(custom))


def contract(
    path: str | os.PathLike[str],
    keep: str,
    *,
    verify: ContractVerify = "extents",
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    listener: Listener = ignore,
) -> Contracted:
    """Drops every other layout of a state from a step, after checking that the kept one stands alone.

    Args:
      path: the step.
      keep: the layout that is kept.
      verify: see `ContractVerify`.
      max_ram: host bytes of arrays in memory at once.
      jobs: the number of leaves that are read at once (default: the number of CPUs).
      listener: receives an event for every leaf that is decoded.

    Raises:
      CheckpointError: as in `plan_contraction`; or files of the kept layout lack bytes, or cannot be decoded.
      VerifyError: the kept layout differs from its record (`RecordedStructureMismatch`) or from its digests
        (`ChangedValues`).
      RefusedError: the kept layout needs files of another one (`DependentLayout`), a dropped one has other files
        (`ForeignFiles`), or another run holds the step (`DestinationLocked`).
      MigrateError: a file cannot be written (`WriteFailed`); the same call completes the run.
    """
    step = require_step(path)
    beside = Path(os.path.abspath(step.with_name(f"{step.name}.{keep}")))
    was_killed = workspace_path(beside, _digest(keep)).exists()
    clear_needless(step / keep, beside)
    try:
        plan = plan_contraction(step, keep)
    except CheckpointError as error:
        if was_killed and error.diagnostics[0].code == NoLayouts.number:  # all that was left was its directory
            return Contracted(step, keep, (), 0)
        raise
    for name in (*plan.dropped, *plan.gone):  # what a run left that had added it
        clear_needless(step / name, beside.with_name(f"{step.name}.{name}"))
    with explained_failures(step), open_workspace(step / keep, _digest(keep), beside=beside) as work:
        decoded = _check(plan, verify, max_ram, jobs, listener)
        place = work.path / "dropped"
        place.mkdir()
        for name in plan.dropped:
            os.rename(step / name, place / name)
        _complete(plan)
        freed = freed_bytes(place)
    return Contracted(step, keep, plan.dropped, freed, decoded)


def _digest(keep: str) -> str:
    """Returns a name for the working directory, which the same call finds again."""
    return hashlib.sha256(f"contract {keep}".encode()).hexdigest()


def _check(plan: Contraction, verify: ContractVerify, max_ram: int, jobs: int | None, listener: Listener) -> int:
    """Checks that the kept layout stands alone; returns the number of leaves that were decoded."""
    _refuse_links(plan.step / plan.kept)
    _refuse_foreign(plan)
    item = plan.kept if plan.is_layout else None
    with closing(open_reader(plan.step, item=item)) as reader:
        if problems := reader.problems():
            raise CheckpointError(*problems)
        standalone.check_record(reader.abstract())
    if verify != "decode":
        return 0
    with closing(open_reader(plan.step, item=item, unbox="never")) as reader:
        done = standalone.check_values(reader, listener, max_ram=max_ram, jobs=jobs)
        return done.compared + len(done.undigested)


def _refuse_links(item: Path) -> None:
    root = item.resolve()
    entries = (Path(here) / name for here, folders, files in os.walk(item) for name in (*folders, *files))
    for entry in entries:
        if entry.is_symlink() and not entry.resolve().is_relative_to(root):
            message = f"`{entry}` is a link to `{entry.resolve()}`, outside of the item that would be kept"
            advice = f"`cp --remove-destination {quote(str(entry.resolve()))} {quote(str(entry))}`"
            raise RefusedError(DependentLayout.at(message, help=advice))


def _refuse_foreign(plan: Contraction) -> None:
    items = {plan.step / name: list(foreign_entries(plan.step / name)) for name in plan.dropped}
    for item, foreign in items.items():
        if foreign:
            message = f"`{item}` would be deleted with files that are not part of it: {listed(foreign, 5)}"
            raise RefusedError(
                ForeignFiles.at(message, paths=foreign, help="move them away, and run the command again")
            )


def _complete(plan: Contraction) -> None:
    """Makes digests and metadata of the step those of the items that are left."""
    removed = {*plan.dropped, *plan.gone}
    layout = recorded_layouts(require_place(plan.step)).get(plan.kept)
    if layout is None:
        remove_items(plan.step, removed)
        return
    others = [name for name in read_step(plan.step).items if name not in (*removed, plan.kept)]
    _keep_digests(plan.step, plan.kept, removed, others)
    remove_items(plan.step, removed, _without_structure(layout.record) if others else layout.record)


def _without_structure(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the record of an item as that of a step with other pytrees, whose structure it does not describe."""
    return {**record, "structure_hash": None, "leaves": {}}


def _keep_digests(step: Path, kept: str, removed: Collection[str], others: Collection[str]) -> None:
    """Makes the digests that a step records those of the kept layout and of other pytrees.

    Without other pytrees, those in the directory of the layout remain.
    """
    if not is_file(step / FILE):
        return
    if not others:
        (step / FILE).unlink()
        return
    record, own = read_record(step / FILE), read_record(step / kept / FILE)
    assert record is not None
    left = record.without_items(removed)
    write_record(step, left.joined(own.below(kept)) if own else left)


def freed_bytes(folder: Path) -> int:
    """Returns the bytes on disk of a directory that no link outside it shares."""
    seen: Counter[int] = Counter()
    stats: dict[int, os.stat_result] = {}
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            found = os.lstat(Path(here) / name)
            seen[found.st_ino] += 1
            stats[found.st_ino] = found
    alone = (found for inode, found in stats.items() if S_ISDIR(found.st_mode) or found.st_nlink == seen[inode])
    return 512 * sum(found.st_blocks for found in alone)
