"""The metadata of a step that gains or loses items: handlers, and the list of layouts below migrate's record.

Orbax's `CheckpointManager.restore(step)` without arguments fails for an item without a handler and ignores a handler
without an item. So a handler is recorded before its item appears, and removed after its item is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from migrate.engine.verification.checkpoint_file import custom_metadata, replace_recorded, unchanged_digests
from migrate.formats.digest_record import FILE, RECORD_KEY
from migrate.formats.files import is_file, read_json_object
from migrate.formats.item_kinds import PYTREE
from migrate.formats.orbax.layouts import StepLayout, recorded_layouts, with_layouts
from migrate.formats.orbax.metadata import CHECKPOINT_FILE
from migrate.text_files import draft_of

Json = Mapping[str, Any]

_HANDLERS = "item_handlers"


def require_place(step: Path) -> Json:
    """Returns the custom metadata of a step, whose file can be replaced.

    Raises:
      UsageError: the file has no place for a record (`InvalidUsage`).
      VerifyError: it differs from the digest that the step records (`ChangedValues`).
      CheckpointError: it is damaged.
    """
    content = _content(step)
    unchanged_digests(step / CHECKPOINT_FILE)
    return custom_metadata(step / CHECKPOINT_FILE, content)[1]


def add_layout(step: Path, name: str, layout: StepLayout) -> None:
    """Records a layout and its handler in the metadata of a step, by one rename; an earlier entry is replaced.

    Raises:
      UsageError: the file has no place for a record (`InvalidUsage`).
      VerifyError: the file differs from the digest that the step records (`ChangedValues`).
      CheckpointError: the file is damaged.
      OSError: it cannot be written.
    """

    def changed(custom: Json, handlers: Json) -> tuple[Json, Json]:
        return with_layouts(custom, {**recorded_layouts(custom), name: layout}), {**handlers, name: PYTREE.handler}

    _rewrite(step, changed)


def remove_items(step: Path, names: Collection[str], record: Json | None = None) -> None:
    """Removes items from the metadata of a step, by one rename.

    Args:
      step: the step, which does not have these items any more.
      names: the items.
      record: migrate's record of the step from now on; None to keep the present one.

    Raises:
      OSError: the file cannot be written. Otherwise as `add_layout`.
    """

    def changed(custom: Json, handlers: Json) -> tuple[Json, Json]:
        kept = {name: one for name, one in recorded_layouts(custom).items() if name not in names}
        if record is not None:
            custom = {**custom, RECORD_KEY: record}
        kept = {name: one for name, one in kept.items() if one.item not in names}
        return with_layouts(custom, kept), {name: one for name, one in handlers.items() if name not in names}

    _rewrite(step, changed)


def _rewrite(step: Path, changed: Callable[[Json, Json], tuple[Json, Json]]) -> None:
    file = step / CHECKPOINT_FILE
    with _one_at_a_time(step):
        _remove_drafts(step)
        content = _content(step)
        key, custom = custom_metadata(file, content)
        handlers = content.get(_HANDLERS)
        new_custom, new_handlers = changed(custom, handlers if isinstance(handlers, dict) else {})
        new = {**content, key: new_custom}
        if isinstance(handlers, dict):
            new[_HANDLERS] = new_handlers
        elif not new_custom:
            del new[key]  # Orbax up to 0.11.0 has no handlers in the file, and no custom metadata
        if not new:
            file.unlink(missing_ok=True)
        elif new != content:
            replace_recorded(file, json.dumps(new))


def _remove_drafts(step: Path) -> None:
    """Removes what a run left that was killed while it replaced a file."""
    for name in (CHECKPOINT_FILE, FILE):
        for draft in step.glob(draft_of(name, "*")):
            draft.unlink(missing_ok=True)


def _content(step: Path) -> dict[str, Any]:
    file = step / CHECKPOINT_FILE
    return read_json_object(file) if is_file(file) else {}


@contextmanager
def _one_at_a_time(step: Path) -> Iterator[None]:
    """Keeps two runs on this host from losing each other's entry."""
    descriptor = os.open(step, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no flock
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
