"""Adds the record of its model to a checkpoint that exists: a small JSON file is replaced, no array is written.

The record is written below `custom_metadata`; Orbax refuses a whole root of steps if there is an unknown key beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from migrate.codes import InvalidUsage, TemplateStructureMismatch
from migrate.engine.verification.checkpoint_file import custom_metadata, replace_recorded
from migrate.errors import CheckpointError, PlanError, UsageError, VerifyError
from migrate.formats.digest_record import FILE
from migrate.formats.files import is_file, read_json_object
from migrate.formats.item_kinds import KEYS
from migrate.formats.orbax.metadata import CHECKPOINT_FILE, read_handlers
from migrate.formats.reader import AbstractCheckpoint, CheckpointReader
from migrate.git_commit import git_commit
from migrate.metadata import Metadata, merge, short_kind
from migrate.planning.guards import recorded_structure
from migrate.planning.recorded_leaves import leaf_changes, listed_changes, part_like
from migrate.template.template import Template


@dataclass(frozen=True, slots=True)
class RecordStamped:
    """The record that was written.

    Attributes:
      file: the file that has it.
      record: the record.
      before: the record that the checkpoint had; None where it had none.
    """

    file: Path
    record: Metadata
    before: Metadata | None


def stamp_record(
    reader: CheckpointReader, *, model: str | None, version: int | str | None, template: Template | None = None
) -> RecordStamped:
    """Adds the record to a checkpoint or completes it, by one rename of one small file.

    Where the checkpoint records digests, its record of digests is replaced before and after: killed between the two,
    it accepts the old and the new file.

    Args:
      reader: the checkpoint.
      model: the model's name; None to keep the recorded one.
      version: the model's version; None to keep the recorded one.
      template: the model, which has to be the one that was saved.

    Raises:
      UsageError: the checkpoint has no place for a record, or the model or version is missing (`InvalidUsage`).
      PlanError: leaves of the template differ from those of the checkpoint (`TemplateStructureMismatch`).
      CheckpointError: files lack bytes, or the metadata of the checkpoint is damaged.
      VerifyError: the checkpoint is not the one that its record describes (`RecordedStructureMismatch`), or the file
        differs from its digest (`ChangedValues`).
      OSError: the file cannot be written.
    """
    source, file = reader.abstract(), _place(reader)
    content = read_json_object(file) if is_file(file) else {}
    key, custom = custom_metadata(file, content)
    _refuse_damage(source)
    before = Metadata.from_json(source.metadata)
    if template is not None:
        _refuse_other_model(source, template)
    record = _completed(source, before or Metadata(), model, version, template, file)
    text = json.dumps({**content, key: merge(custom, record)})
    replace_recorded(file, text)
    return RecordStamped(file, record, before)


def _place(reader: CheckpointReader) -> Path:
    """Returns the file for the record.

    Raises:
      UsageError: the format has no place for it.
    """
    source, folder = reader.abstract(), reader.folder
    convert = f"`migrate apply portable {quote(str(source.path))} NEW` writes an Orbax checkpoint, which has one"
    if folder is None:
        message = (
            f"`{source.path}` is a single file ({source.format}); a record cannot be added without writing it again"
        )
        raise UsageError(InvalidUsage.at(message, help=convert))
    if not source.format.startswith("orbax"):
        message = f"`{source.path}` is {source.format}, which has no place for a record"
        raise UsageError(InvalidUsage.at(message, help=convert))
    if source.kinds.get("") in KEYS:
        message = f"`{source.path}` is a single random key; a record is that of a pytree or a step"
        raise UsageError(InvalidUsage.at(message))
    if source.separator is not None:
        message = f"`{source.path}` is a bare database without the files of Orbax, which has no place for a record"
        raise UsageError(InvalidUsage.at(message, help=convert))
    if folder.name in read_handlers(folder.parent) or (is_file(folder.parent / CHECKPOINT_FILE)):
        message = f"`{folder}` is an item of a step; the record is that of the step"
        raise UsageError(InvalidUsage.at(message, help=f"`migrate stamp {quote(str(folder.parent))}`"))
    return folder / CHECKPOINT_FILE


def _refuse_damage(source: AbstractCheckpoint) -> None:
    if source.problems:
        raise CheckpointError(*source.problems)
    changed = list(recorded_structure(source))
    if changed:
        raise VerifyError(*changed)


def _refuse_other_model(source: AbstractCheckpoint, template: Template) -> None:
    wanted = template.tree.signature
    changes = leaf_changes(part_like(wanted, source.tree.signature), wanted)
    if changes:
        found = listed_changes(changes, "is", f"in `{template.spec}`")
        message = f"`{source.path}` is not a checkpoint of `{template.spec}`: {found}"
        command = f"migrate diff {quote(str(source.path))} --template {quote(template.spec)}"
        paths = [change.path for change in changes]
        raise PlanError(TemplateStructureMismatch.at(message, paths=paths, help=f"`{command}` shows all differences"))


def _completed(
    source: AbstractCheckpoint,
    before: Metadata,
    model: str | None,
    version: int | str | None,
    template: Template | None,
    file: Path,
) -> Metadata:
    name = model if model is not None else before.model
    number = version if version is not None else before.version
    if name is None or number is None:
        missing = "model" if name is None else "version"
        command = f"migrate stamp {quote(str(source.path))} --model {quote(name or 'NAME')} --version {number or 'V'}"
        raise UsageError(InvalidUsage.at(f"`{source.path}` records no {missing}", help=f"`{command}`"))
    facts: dict[str, Any] = template.facts.recorded if template else {}
    if facts:
        facts |= {"hyperparameters": {**facts["hyperparameters"], **before.hyperparameters}}
        facts |= {"transforms": before.transforms or facts["transforms"]}
    handlers = sorted({short_kind(handler) for handler in read_handlers(file.parent).values()})
    return replace(
        before,
        model=name,
        version=number,
        structure_hash=source.structure_hash,
        leaves=source.tree.signature,
        digests=FILE if is_file(file.with_name(FILE)) else before.digests,
        code=git_commit() if template else before.code,
        step=source.step if before.step is None else before.step,
        checkpointer=before.checkpointer or ", ".join(handlers) or None,
        **facts,
    )
