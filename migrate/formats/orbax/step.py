"""The directory of one step: pytree items, JSON items, and other entries.

`CheckpointManager` wrote `default/` or items by name, Orbax's version 1 writes `pytree/` or `state/`. Names have no
meaning here: the content of each child decides its kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migrate.codes import NoCheckpoint, UnfinishedSave, UnknownItem
from migrate.errors import CheckpointError, Diagnostic, did_you_mean
from migrate.formats import digest_record
from migrate.formats.files import children, is_dir, is_file, read_json, read_json_object, refuse_lost_zarrays
from migrate.formats.orbax.item import OrbaxItem, ignored_files, is_item
from migrate.formats.orbax.metadata import as_metadata, custom_metadata, read_custom_metadata, read_handlers
from migrate.formats.orbax.nested_store import is_nested_store, is_plain_store
from migrate.formats.orbax.random_key import RandomKeyItem, is_random_key
from migrate.formats.unread import arrays_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from migrate.formats.base import Item

_MARKERS = ("_CHECKPOINT_METADATA", "orbax.checkpoint", "commit_success.txt")
_JSON_FILES = ("metadata", "metrics", "data.json")
_ROOT_FILES = ("_ROOT_METADATA", "metadata")


@dataclass(frozen=True)
class StepContents:
    """The content of one step.

    Attributes:
      items: the directories of its pytrees, by name.
      extras: the content of its JSON items, by name.
      handlers: the classes that saved its items, by name, as far as they are recorded.
      metadata: its custom metadata.
      notes: what was ignored.
      others: the entries that were ignored.
      files: the files of its own that are read: markers, metadata and JSON items.
      unread: the directories that hold none of these items.
    """

    items: Mapping[str, Path]
    extras: Mapping[str, Any] = field(default_factory=dict)
    handlers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    others: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    unread: tuple[str, ...] = ()


def is_step(folder: Path) -> bool:
    """Whether a directory holds items."""
    return is_dir(folder) and any(holds_item(child) for child in children(folder))


def holds_item(folder: Path) -> bool:
    """Whether a directory is an item: a pytree, an array or a random key."""
    return is_dir(folder) and (is_item(folder) or is_random_key(folder))


def open_item(folder: Path, handler: str | None = None, separator: str | None = None) -> Item:
    """Opens the item in a directory that holds one; `separator` is where names without a record are split.

    Raises:
      CheckpointError: with the cause and the remedy.
    """
    return (
        RandomKeyItem(folder)
        if is_random_key(folder) and not is_item(folder)
        else OrbaxItem(folder, handler, separator)
    )


def holds_items(folder: Path) -> bool:
    """Whether a directory is a step: it is marked as one, or it holds items or JSON items."""
    return is_dir(folder) and (is_marked(folder) or any(holds_item(c) or holds_json(c) for c in children(folder)))


def is_marked(folder: Path) -> bool:
    """Whether a directory has a file that Orbax writes into steps and never into roots."""
    return any(is_file(folder / marker) for marker in _MARKERS)


def read_step(folder: Path) -> StepContents:
    """Returns the content of a step's directory.

    Raises:
      CheckpointError: an item's save was never finished, or a JSON file is damaged.
    """
    items, extras, others = {}, {}, []
    files = [folder / marker for marker in _MARKERS if is_file(folder / marker)]
    for child in children(folder):
        if ".orbax-checkpoint-tmp" in child.name:
            message = f"`{child}` has one of Orbax's temporary names: the save was never finished"
            raise CheckpointError(UnfinishedSave.at(message, help="take an earlier step"))
        if holds_item(child):
            items[child.name] = child
        elif (content := json_file(child)) is not None:
            extras[child.name] = read_json(content)
            files.append(content)
        elif child.name not in (*_MARKERS, digest_record.FILE):
            others.append(child.name)
    notes = (ignored_files(folder, others),) if others else ()
    unread = tuple(name for name in others if is_dir(folder / name))
    files += [folder / digest_record.FILE] if is_file(folder / digest_record.FILE) else []
    ignored = tuple(folder / name for name in others)
    return StepContents(
        items, extras, read_handlers(folder), read_custom_metadata(folder), notes, ignored, tuple(files), unread
    )


def json_file(folder: Path) -> Path | None:
    """Returns the file of a JSON item: the only one in its directory apart from commit markers."""
    if not is_dir(folder):
        return None
    files = [child for child in children(folder) if child.name not in _MARKERS]
    return files[0] if len(files) == 1 and files[0].name in _JSON_FILES and is_file(files[0]) else None


def is_tree_of_stores(folder: Path) -> bool:
    """Whether a directory is one pytree whose arrays are stored below it at any depth, without a record, and no step.

    A step whose items lost their records has arrays one level below it only, whose names Orbax joined with dots.
    """
    if is_marked(folder) or not is_nested_store(folder):
        return False
    deep = [child for child in arrays_in(children(folder)) if not holds_item(child)]
    return bool(deep) or is_plain_store(folder)


def holds_json(folder: Path) -> bool:
    """Whether a directory is a JSON item."""
    return json_file(folder) is not None


def choose_items(
    folder: Path, contents: StepContents, wanted: str | None, layouts: Collection[str] = ()
) -> Mapping[str, Path]:
    """Returns the wanted pytree item, or all but those that are other layouts; a step with JSON items may have none.

    Raises:
      CheckpointError: there are no items at all (`NoCheckpoint`), or none of this name (`UnknownItem`).
    """
    if wanted is None:
        if not contents.items and not contents.extras:
            refuse_lost_zarrays(folder)
            raise CheckpointError(
                NoCheckpoint.at(f"`{folder}` holds no pytree", help="see what is in it: `migrate inspect`")
            )
        return {name: item for name, item in contents.items.items() if name not in layouts}
    if wanted in contents.items:
        return {wanted: contents.items[wanted]}
    kind = "its item of that name is JSON, which is copied unchanged" if wanted in contents.extras else None
    known = f"it has {', '.join(f'`{name}`' for name in contents.items) or 'none'}"
    hints = [hint for hint in (kind, did_you_mean(wanted, contents.items), known) if hint]
    raise CheckpointError(UnknownItem.at(f"`{folder}` has no pytree item `{wanted}`", help="; ".join(hints)))


def read_root_metadata(root: Path) -> dict[str, Any]:
    """Returns the custom metadata of a root; up to Orbax 0.9 it was a plain JSON file."""
    file = root_metadata_file(root)
    if file is None:
        return {}
    content = read_json_object(file)
    return as_metadata(custom_metadata(content) if file.name == "_ROOT_METADATA" else content)


def root_metadata_file(root: Path) -> Path | None:
    """Returns the file with the custom metadata of a root, or None."""
    files = (root / "metadata" / name for name in _ROOT_FILES)
    return next((file for file in files if is_file(file)), None)
