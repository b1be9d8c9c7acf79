"""Adds digests to a checkpoint that exists: one small file beside its arrays, which stay as they are."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from migrate.codes import InvalidUsage
from migrate.engine.options import DEFAULT_RAM
from migrate.engine.verification.record_file import write_record
from migrate.engine.verification.record_stamp import RecordStamped
from migrate.engine.verification.recorded import compare_record, sequences_of
from migrate.errors import UsageError
from migrate.events import Listener, PhaseDone, PhaseStarted, ignore
from migrate.formats.digest_record import DigestRecord, LeafDigests, small_files
from migrate.formats.reader import CheckpointReader
from migrate.tree import AbstractLeaf, KeyPath


@dataclass(frozen=True, slots=True)
class Stamped:
    """What was added to a checkpoint: digests, the record of its model, or both.

    Attributes:
      file: the file that records digests; None where none were recorded.
      leaves: the number of leaves.
      added: the number of leaves that had no digest before.
      root: the digest of the whole record of digests.
      record: the record of the model; None where none was added.
    """

    file: Path | None
    leaves: int
    added: int
    root: str | None
    record: RecordStamped | None = None


def stamp_digests(
    reader: CheckpointReader, *, max_ram: int = DEFAULT_RAM, jobs: int | None = None, listener: Listener = ignore
) -> Stamped:
    """Decodes every leaf and records the digests of all of them, by one rename of one small file.

    Args:
      reader: the checkpoint, opened with `unbox="never"`.
      max_ram: host bytes of arrays in memory at once.
      jobs: the most leaves that are read at once (default: the number of CPUs).
      listener: receives an event for every leaf.

    Raises:
      UsageError: the checkpoint is not a directory that Orbax or migrate wrote (`InvalidUsage`).
      VerifyError: a leaf differs from a digest that is recorded already (`ChangedValues`).
      CheckpointError: a leaf cannot be decoded, or the record that the checkpoint has is damaged (`DamagedFile`).
      OSError: the file cannot be written.
    """
    described = reader.abstract()
    file, leaves = reader.digest_file, described.tree.leaves
    if file is None or not described.format.startswith("orbax"):
        message = f"`{described.path}` is {described.format}, which cannot take digests later"
        advice = f"`migrate apply portable {quote(str(described.path))} NEW` writes an Orbax checkpoint with digests"
        raise UsageError(InvalidUsage.at(message, help=advice))
    start = time.monotonic()
    record = reader.digest_record()
    listener(PhaseStarted("verify", len(leaves), described.tree.nbytes))
    done = compare_record(
        reader, record, max_ram=max_ram, jobs=jobs or os.cpu_count() or 1, listener=listener, crc=True
    )
    done.refuse()
    listener(PhaseDone("verify", time.monotonic() - start))
    rows = {
        path: LeafDigests(str(leaf), done.blocks[path], _stored(reader, path, leaf)) for path, leaf in leaves.items()
    }
    new = DigestRecord(rows, sequences_of(described.tree), _items(reader), small_files(file.parent))
    write_record(file.parent, new)
    return Stamped(file, len(leaves), len(done.undigested), new.root)


def _stored(reader: CheckpointReader, path: KeyPath, leaf: AbstractLeaf) -> tuple[str, str] | None:
    location = reader.location(path) if leaf.is_numeric else None
    return (_item(reader, path), location.name) if location else None


def _item(reader: CheckpointReader, path: KeyPath) -> str:
    items = reader.abstract().items
    return next(iter(items)) if len(items) == 1 else path[0]


def _items(reader: CheckpointReader) -> Mapping[str, Mapping[str, Any]]:
    """Returns how the arrays of each item are stored."""
    found: dict[str, Mapping[str, Any]] = {name: {} for name in reader.abstract().items}
    for path, leaf in reader.abstract().tree.leaves.items():
        location = reader.location(path) if leaf.is_numeric else None
        if location:
            form = {"zarr_format": 3 if location.driver == "zarr3" else 2, "ocdbt": location.ocdbt}
            found[_item(reader, path)] = form
    return found
