"""Verifies a checkpoint by itself: against its own record, against a template, and by reading every leaf."""

from __future__ import annotations

import time

from migrate import dtypes
from migrate.codes import RecordedStructureMismatch, VerificationFailed
from migrate.engine.streaming.evaluate import as_array
from migrate.errors import Diagnostic, VerifyError
from migrate.events import LeafDone, Listener, PhaseDone, PhaseStarted
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.metadata import Metadata
from migrate.planning.diff import diff
from migrate.planning.planner import TemplateLike
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path


def check_record(checkpoint: AbstractCheckpoint) -> str | None:
    """Returns the structure hash that a checkpoint records of itself; None without a record.

    Raises:
      VerifyError: its tree has another structure hash (`RecordedStructureMismatch`).
    """
    metadata = Metadata.from_json(checkpoint.metadata)
    recorded = metadata.structure_hash if metadata else None
    found = checkpoint.structure_hash
    if recorded is not None and recorded != found:
        message = f"{checkpoint.path} records structure {recorded[:19]}… but has {found[:19]}…"
        raise VerifyError(RecordedStructureMismatch.at(message))
    return recorded


def check_template(tree: AbstractTree, template: TemplateLike) -> None:
    """Compares the tree with the template's.

    Raises:
      VerifyError: key paths, shapes or dtypes differ (`VerificationFailed`).
    """
    found = diff(tree, template.tree)
    sides = {
        "is missing": found.missing,
        "is not in the template": found.unexpected,
        "has another shape or dtype": tuple(dict.fromkeys((*found.shape_mismatch, *found.dtype_mismatch))),
    }
    problems = [_mismatch(how, paths, template.spec) for how, paths in sides.items() if paths]
    if problems:
        raise VerifyError(*problems)


def _mismatch(how: str, paths: tuple[KeyPath, ...], spec: str) -> Diagnostic:
    message = f"{len(paths)} of the leaves that `{spec}` and the checkpoint have: each {how}"
    return VerificationFailed.at(
        message, paths=map(format_path, paths), help="`migrate diff DST --template M:F` shows both sides"
    )


def read_all(reader: Reader, listener: Listener) -> None:
    """Reads every leaf and compares its shape and dtype with the metadata.

    Raises:
      VerifyError: they differ (`RecordedStructureMismatch`).
      CheckpointError: a leaf cannot be read.
    """
    start = time.monotonic()
    tree = reader.abstract().tree
    listener(PhaseStarted("verify", len(tree.leaves), tree.nbytes))
    for path, leaf in tree.leaves.items():
        _read_one(reader, path, leaf)
        listener(LeafDone("verify", path, leaf.nbytes))
    listener(PhaseDone("verify", time.monotonic() - start))


def _read_one(reader: Reader, path: KeyPath, leaf: AbstractLeaf) -> None:
    value = reader.read(path)
    if leaf.kind != "array" or leaf.aval is None:
        return
    array = as_array(value)
    if array.shape != leaf.aval.shape or dtypes.from_numpy(array.dtype) != leaf.aval.dtype:
        message = f"`{format_path(path)}` is {leaf}, but its data are {array.dtype}{list(array.shape)}"
        raise VerifyError(RecordedStructureMismatch.at(message, paths=[format_path(path)]))
