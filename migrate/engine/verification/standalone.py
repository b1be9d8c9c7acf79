"""Verifies a checkpoint by itself: against its own record, against a template, and by reading every leaf."""

from __future__ import annotations

import os
import time
from shlex import quote

from migrate.codes import MissingPart, RecordedStructureMismatch, VerificationFailed
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.verification.recorded import Comparison, compare_record
from migrate.errors import CheckpointError, Diagnostic, VerifyError
from migrate.events import Listener, PhaseDone, PhaseStarted, ignore
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.metadata import Metadata
from migrate.planning.diff import diff
from migrate.planning.planner import TemplateLike
from migrate.planning.recorded_leaves import changes_since_record
from migrate.tree import AbstractTree, KeyPath, format_path


def check_record(checkpoint: AbstractCheckpoint) -> str | None:
    """Returns the structure hash that a checkpoint records of itself; None without a record.

    Raises:
      VerifyError: its tree has another structure hash (`RecordedStructureMismatch`), and the record is not that of a
        part, as `Metadata.of` makes it of a model that is saved beside other state.
    """
    metadata = Metadata.from_json(checkpoint.metadata)
    recorded = metadata.structure_hash if metadata else None
    found = checkpoint.structure_hash
    if metadata is not None and recorded not in (None, found) and not _is_of_part(checkpoint, metadata):
        assert recorded is not None
        message = f"`{checkpoint.path}` records structure {recorded[:19]}… but has {found[:19]}…"
        raise VerifyError(RecordedStructureMismatch.at(message))
    return recorded


def _is_of_part(checkpoint: AbstractCheckpoint, metadata: Metadata) -> bool:
    is_partial = metadata.leaves and metadata.source_structure_hash is None
    return bool(is_partial) and not changes_since_record(checkpoint, metadata)


def check_template(tree: AbstractTree, template: TemplateLike, path: str = "DST") -> None:
    """Compares the tree of the checkpoint at `path` with the template's.

    Raises:
      VerifyError: key paths, shapes or dtypes differ (`VerificationFailed`).
    """
    found = diff(tree, template.tree)
    sides = {
        "is missing": found.missing,
        "is not in the template": found.unexpected,
        "has another shape or dtype": tuple(dict.fromkeys((*found.shape_mismatch, *found.dtype_mismatch))),
    }
    problems = [_mismatch(how, paths, template.spec, path) for how, paths in sides.items() if paths]
    if problems:
        raise VerifyError(*problems)


def _mismatch(how: str, paths: tuple[KeyPath, ...], spec: str, checkpoint: str) -> Diagnostic:
    message = f"{len(paths)} of the leaves that `{spec}` and the checkpoint have: each {how}"
    return VerificationFailed.at(
        message,
        paths=map(format_path, paths),
        help=f"`migrate diff {quote(checkpoint)} --template {quote(spec)}` shows both sides",
    )


def check_values(
    reader: Reader,
    listener: Listener = ignore,
    *,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
) -> Comparison:
    """Decodes every leaf, in parallel, and compares it with the digest that the checkpoint records.

    Args:
      reader: the checkpoint, opened with `unbox="never"`.
      listener: receives an event for every leaf.
      max_ram: host bytes of arrays in memory at once.
      jobs: the most leaves that are read at once (default: the number of CPUs).

    Raises:
      VerifyError: leaves differ from their digests (`ChangedValues`), or have another shape or dtype than the metadata
        (`RecordedStructureMismatch`).
      CheckpointError: leaves cannot be decoded, or the record is damaged (`DamagedFile`) or lost (`MissingPart`).
    """
    start = time.monotonic()
    tree = reader.abstract().tree
    record = reader.digest_record()
    if record is None:
        _refuse_lost_record(reader.abstract())
    listener(PhaseStarted("verify", len(tree.leaves), tree.nbytes))
    done = compare_record(reader, record, max_ram=max_ram, jobs=jobs or os.cpu_count() or 1, listener=listener)
    done.refuse()
    listener(PhaseDone("verify", time.monotonic() - start))
    return done


def _refuse_lost_record(checkpoint: AbstractCheckpoint) -> None:
    """Refuses a checkpoint that was written with digests of its values and has none now.

    Raises:
      CheckpointError: it is one (`MissingPart`).
    """
    metadata = Metadata.from_json(checkpoint.metadata)
    if metadata is None or metadata.digests is None:
        return
    advice = "copy the checkpoint again, or repeat the migration"
    if checkpoint.format.startswith("orbax"):
        advice += f"; `migrate stamp {quote(str(checkpoint.path))} --digests` records the digests of the present values"
    message = f"`{checkpoint.path}` was written with digests of its values, but `{metadata.digests}` is missing"
    raise CheckpointError(MissingPart.at(message, help=advice))
