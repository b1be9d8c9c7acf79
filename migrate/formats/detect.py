"""Opening a checkpoint of any format: what the files contain decides, never what they are called."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from migrate.codes import NoCheckpoint, UnfinishedSave, UnknownItem
from migrate.errors import CheckpointError, did_you_mean
from migrate.formats.base import Item
from migrate.formats.files import (
    is_dir,
    is_file,
    read_head,
    read_json,
    refuse_lfs_pointer,
    refuse_lfs_pointers_below,
    refuse_lost_zarrays,
)
from migrate.formats.flax.item import BESIDE, FlaxItem
from migrate.formats.flax.msgpack import looks_like_msgpack
from migrate.formats.npz import NpzItem, looks_like_npz
from migrate.formats.orbax.item import ignored_files
from migrate.formats.orbax.step import (
    choose_items,
    holds_item,
    is_marked,
    is_step,
    json_file,
    open_item,
    read_root_metadata,
    read_step,
)
from migrate.formats.reader import CheckpointReader, Surroundings
from migrate.formats.safetensors.item import (
    SafetensorsItem,
    holds_safetensors,
    is_safetensors_index,
    looks_like_safetensors,
)
from migrate.formats.steps import Steps, find_steps, is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrate.formats.canonical import Unbox

_MAGIC = {
    b"PK": "a zip archive without arrays of NumPy (PyTorch or Keras)",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy `.npy` file",
    b"\x1f\x8b": "a gzip file",
}
_READS = "what can be read: Flax msgpack, safetensors and `.npz` files, Orbax items, steps and their roots"
_FILES: tuple[tuple[Callable[[Path], bool], Callable[[Path], Item]], ...] = (
    (looks_like_safetensors, SafetensorsItem),
    (is_safetensors_index, SafetensorsItem),
    (looks_like_npz, NpzItem),
)
"""Files other than Flax's, whose contents say most clearly what they are."""
_EARLIER = "take an earlier step, or a copy that was finished"


def open_reader(
    path: str | os.PathLike[str],
    step: int | Literal["latest"] | None = None,
    item: str | None = None,
    unbox: Unbox = "auto",
) -> CheckpointReader:
    """Open a checkpoint file, an item directory, a step directory or a root with steps.

    Args:
      path: any of them; nothing is written below it, and nothing outside it is read.
      step: which step of a root; the latest that was finished by default.
      item: which pytree of a step; all of them by default.
      unbox: whether key paths are canonical (`auto`) or as stored (`never`).

    Raises:
      CheckpointError: M401 to M411, with the cause and the cure.
    """
    where = Path(path)
    if is_file(where):
        _refuse_choice(where, step, item, "a single file")
        return CheckpointReader(where, {"": _open_file(where)}, unbox=unbox)
    if not is_dir(where):
        raise _no_such_path(where)
    if is_temporary(where.name):
        message = f"`{where}` carries a temporary name: the save was never finished"
        raise CheckpointError(UnfinishedSave.at(message, help=_EARLIER))
    return _open_directory(where, step, item, unbox)


def list_steps(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """The finished steps below a root, in rising order; none where the path is one checkpoint.

    Raises:
      CheckpointError: there is nothing at this path.
    """
    where = Path(path)
    if is_file(where):
        return ()
    if not is_dir(where):
        raise _no_such_path(where)
    steps = _steps_of(where)
    return steps.numbers if steps else ()


def _open_directory(
    where: Path, step: int | Literal["latest"] | None, item: str | None, unbox: Unbox
) -> CheckpointReader:
    if holds_item(where):
        _refuse_choice(where, step, item, "one item")
        return CheckpointReader(where, {"": open_item(where)}, unbox=unbox)
    if (content := json_file(where)) is not None:
        _refuse_choice(where, step, item, "one JSON item")
        return CheckpointReader(where, {}, Surroundings(extras={where.name: read_json(content)}))
    steps = _steps_of(where)
    if steps is not None:
        return _open_root(where, steps, step, item, unbox)
    if is_marked(where) or is_step(where):
        _refuse_choice(where, step, None, "one step")
        items, around = _open_step(where, item)
        return CheckpointReader(where, items, around, unbox)
    if holds_safetensors(where):
        _refuse_choice(where, step, item, "one pytree")
        return CheckpointReader(where, {"": SafetensorsItem(where)}, unbox=unbox)
    refuse_lfs_pointers_below(where)
    refuse_lost_zarrays(where)
    raise _nothing_known(where)


def _steps_of(where: Path) -> Steps | None:
    """The steps of a root; None where the directory is something else.

    Items may be called like steps, so a step's own marks come first.
    """
    if holds_item(where) or is_marked(where):
        return None
    steps = find_steps(where)
    return steps if steps.steps else None


def _open_root(
    root: Path, steps: Steps, wanted: int | Literal["latest"] | None, item: str | None, unbox: Unbox
) -> CheckpointReader:
    chosen = steps.choose(wanted)
    known = {"metadata", "descriptor", *(f"{found.path.name}{BESIDE}" for found in steps.steps)}
    others = [path.name for path in steps.others if path.name not in known]
    notes = [*steps.notes(), *([ignored_files(root, others)] if others else [])]
    items, around = _open_chosen(chosen.path, item)
    around = replace(
        around,
        step=chosen.whole,
        steps=steps.numbers,
        metadata={**read_root_metadata(root), **around.metadata},
        notes=(*notes, *around.notes),
    )
    return CheckpointReader(root, items, around, unbox)


def _open_chosen(where: Path, item: str | None) -> tuple[dict[str, Item], Surroundings]:
    """A step, which may also be one bare item or one file."""
    if is_file(where):
        _refuse_choice(where, None, item, "a single file")
        return {"": _open_file(where)}, Surroundings()
    if holds_item(where):
        _refuse_choice(where, None, item, "one item")
        return {"": open_item(where)}, Surroundings()
    return _open_step(where, item)


def _open_step(where: Path, item: str | None) -> tuple[dict[str, Item], Surroundings]:
    contents = read_step(where)
    items = choose_items(where, contents, item)
    around = Surroundings(extras=contents.extras, metadata=contents.metadata, notes=contents.notes)
    return {name: open_item(folder, contents.handlers.get(name)) for name, folder in items.items()}, around


def _open_file(where: Path) -> Item:
    refuse_lfs_pointer(where)
    for looks_so, opened in _FILES:
        if looks_so(where):
            return opened(where)
    if not looks_like_msgpack(where):
        what = _what_it_is(where)
        raise CheckpointError(NoCheckpoint.at(f"`{where}` is no checkpoint: it is {what}", help=_READS))
    return FlaxItem(where)


def _what_it_is(where: Path) -> str:
    head = read_head(where, 16)
    if not head:
        return "empty"
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle, and nothing is ever unpickled"
    return next((words for magic, words in _MAGIC.items() if head.startswith(magic)), "not msgpack as Flax wrote it")


def _refuse_choice(where: Path, step: object, item: str | None, what: str) -> None:
    if step not in (None, "latest"):
        raise CheckpointError(UnknownItem.at(f"`{where}` has no steps: it is {what}", help="leave `--step` out"))
    if item not in (None, ""):
        raise CheckpointError(
            UnknownItem.at(f"`{where}` has no items by name: it is {what}", help="leave `--item` out")
        )


def _no_such_path(where: Path) -> CheckpointError:
    if os.path.lexists(where):
        message = f"`{where}` is neither a file nor a directory: it is a pipe, a device or a link that leads nowhere"
        return CheckpointError(NoCheckpoint.at(message, help=_READS))
    parent = where.parent
    names = sorted(os.listdir(parent))[:10_000] if is_dir(parent) else []
    return CheckpointError(NoCheckpoint.at(f"`{where}` does not exist", help=did_you_mean(where.name, names)))


def _nothing_known(where: Path) -> CheckpointError:
    steps = find_steps(where)
    if steps.unfinished:
        names = ", ".join(path.name for path in steps.unfinished[:10])
        return CheckpointError(
            UnfinishedSave.at(f"`{where}` holds only saves that were never finished: {names}", help=_EARLIER)
        )
    names = ", ".join(f"`{path.name}`" for path in steps.others[:10]) or "nothing"
    return CheckpointError(
        NoCheckpoint.at(
            f"there is no checkpoint in `{where}`", help=f"it holds {names}; name a file or directory inside"
        )
    )
