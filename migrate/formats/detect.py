"""Opening a checkpoint of any format. Content decides which one it is; names never do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from migrate.codes import AmbiguousItem, InvalidUsage, NoCheckpoint, UnfinishedSave, UnknownItem
from migrate.errors import CheckpointError, did_you_mean, listed
from migrate.formats import digest_record
from migrate.formats.base import Item, Opening
from migrate.formats.boundary import Boundary, refuse_undecodable
from migrate.formats.files import (
    FILES_SEARCHED,
    children,
    is_dir,
    is_file,
    read_json,
    refuse_lfs_pointer,
    refuse_lfs_pointers_below,
    refuse_lost_zarrays,
)
from migrate.formats.flax.item import BESIDE, FlaxItem, arrays_beside, refuse_lost_file
from migrate.formats.flax.msgpack import looks_like_msgpack
from migrate.formats.flax.sharded import ShardedFlaxItem, is_sharded_msgpack, msgpack_files_beside
from migrate.formats.foreign import foreign_file
from migrate.formats.hdf5 import Hdf5Item, is_hdf5
from migrate.formats.npy_stream import NpyStreamItem, looks_like_npy
from migrate.formats.npz import NpzItem, looks_like_npz
from migrate.formats.orbax.item import ignored_files
from migrate.formats.orbax.layouts import StepLayout, metadata_of_items, present_layouts, recorded_layouts
from migrate.formats.orbax.nested_store import is_nested_store
from migrate.formats.orbax.step import (
    StepContents,
    choose_items,
    holds_item,
    holds_json,
    is_marked,
    is_step,
    is_tree_of_stores,
    json_file,
    open_item,
    read_root_metadata,
    read_step,
    root_metadata_file,
)
from migrate.formats.parts import stray_notes
from migrate.formats.reader import CheckpointReader
from migrate.formats.safetensors.item import SafetensorsItem, files_beside, is_safetensors
from migrate.formats.steps import find_steps, is_root, is_temporary
from migrate.formats.surroundings import Surroundings
from migrate.formats.unread import refuse_unread
from migrate.places.names import place_of, refresh
from migrate.places.unfinished import is_unfinished

if TYPE_CHECKING:
    from migrate.formats.canonical import Unbox

_EARLIER = "take an earlier step, or a copy that was finished"


@dataclass(frozen=True, slots=True)
class Choice:
    """The step and the item that the caller asked for; None stands for the latest step and for all items.

    `boundary` is what the checkpoint must not lead out of (default: the path that is opened). `separator` is where flat
    names are split (default: the one that `migrate.formats.flat_names` finds).
    """

    step: int | Literal["latest"] | None = None
    item: str | None = None
    boundary: Boundary | None = None
    separator: str | None = None

    def check(self, path: Path, *, deep: bool = True) -> None:
        """Checks the entries of a path before it is read, as `Boundary.check`."""
        (self.boundary or Boundary(path)).check(path, deep=deep)


Contents = tuple[Mapping[str, Item], Surroundings]
"""The items of a checkpoint by name, and everything around them."""


@dataclass(frozen=True, slots=True)
class Format:
    """One row of `FORMATS`.

    Attributes:
      name: the format in the list of what can be read: a plural noun phrase.
      recognizes: whether a file or directory is of this format; gets both, and opens no more than it needs.
      open: its contents; `one_item` makes this function for a format whose checkpoints are one pytree.
    """

    name: str
    recognizes: Callable[[Path], bool]
    open: Callable[[Path, Choice], Contents]


def one_item(
    opened: Callable[..., Item],
    *,
    flat: bool = False,
    deep: bool = True,
    beside: Callable[[Path], Iterable[Path]] = lambda where: (),  # noqa: ARG005 - the name documents the argument
) -> Callable[[Path, Choice], Contents]:
    """Returns the opener of a format whose checkpoints are one pytree; it refuses the choice of a step or an item.

    Args:
      opened: opens the item; gets the path.
      flat: whether it also gets the separator of flat names, or None to find it.
      deep: whether the item is also read from subdirectories of its directory.
      beside: the paths beside a checkpoint that it is read from, too.
    """

    def contents(where: Path, choice: Choice) -> Contents:
        for path in (where, *beside(where)):
            choice.check(path, deep=deep)
        _refuse_choice(where, choice, "a single file" if is_file(where) else "one item")
        return {"": opened(where, choice.separator) if flat else opened(where)}, Surroundings(
            folder=where if is_dir(where) else None
        )

    return contents


def open_reader(
    path: str | os.PathLike[str],
    step: int | Literal["latest"] | None = None,
    item: str | None = None,
    unbox: Unbox = "auto",
    *,
    formats: Sequence[Format] | None = None,
    follow_links: bool = False,
    separator: str | None = None,
) -> CheckpointReader:
    """Opens a checkpoint file, an item directory, a step directory or a root with steps.

    Args:
      path: any of them; nothing is written below it, and nothing outside it is read.
      step: which step of a root (default: the latest that was finished).
      item: which pytree of a step (default: all of them).
      unbox: whether key paths are canonical (`auto`) or as stored (`never`).
      formats: the formats to try, in order (default: `FORMATS`).
      follow_links: whether links below `path` may lead out of it (default: no).
      separator: where flat names are split into key paths; "" for nowhere (default: found by the names).

    Raises:
      UsageError: the path is a URL (`UnsupportedPlace`).
      CheckpointError: the checkpoint cannot be read; the diagnostic names the cause and the remedy.
    """
    where = place_of(path)
    refresh(where)
    refuse_undecodable(os.path.realpath(where))
    table = FORMATS if formats is None else formats
    if is_file(where):
        refuse_lfs_pointer(where)
    elif not is_dir(where):
        raise _no_such_path(where, table)
    elif is_unfinished(where):
        message = f"`{where}` is unfinished: the run that writes it has not completed it"
        advice = "wait for the run, or run its command again, which resumes it"
        raise CheckpointError(UnfinishedSave.at(message, help=advice))
    elif is_temporary(where.name):
        message = f"`{where}` has a temporary name: the save was never finished"
        raise CheckpointError(UnfinishedSave.at(message, help=_EARLIER))
    items, around = _open(where, Choice(step, item, Boundary(where, follow_links), separator), table)
    if separator and all(found.info.separator is None for found in items.values()):
        message = f"`source: {{separator}}` is set, and `{where}` has no flat names that could be split"
        raise CheckpointError(InvalidUsage.at(message, help="leave `separator` out"))
    reader = CheckpointReader(where, items, around, unbox)
    if formats is None:
        number = around.step if is_root(where) else None
        reader.opening = Opening(str(where.absolute()), number, item, unbox, follow_links, separator)
    return reader


def list_steps(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Returns the finished steps below a root in rising order; none where the path is one checkpoint.

    Raises:
      UsageError: the path is a URL (`UnsupportedPlace`).
      CheckpointError: there is nothing at this path.
    """
    where = place_of(path)
    refresh(where)
    if is_file(where):
        return ()
    if not is_dir(where):
        raise _no_such_path(where, FORMATS)
    return find_steps(where).numbers if is_root(where) else ()


def _open(where: Path, choice: Choice, formats: Sequence[Format]) -> Contents:
    """Opens a file or directory with the first format that recognizes it."""
    for found in formats:
        if found.recognizes(where):
            return found.open(where, choice)
    if is_file(where):
        raise CheckpointError(foreign_file(where, _readable(formats)))
    refuse_lfs_pointers_below(where)
    refuse_lost_zarrays(where)
    raise _nothing_known(where)


def _open_orbax(where: Path, separator: str | None) -> Item:
    return open_item(where, separator=separator)


def _open_stores(where: Path, separator: str | None) -> Item:
    refuse_lost_file(where)
    return open_item(where, separator=separator)


def _open_json(where: Path, choice: Choice) -> Contents:
    choice.check(where)
    _refuse_choice(where, choice, "one JSON item")
    content = json_file(where)
    assert content is not None, "not a JSON item"
    return {}, Surroundings(extras={where.name: read_json(content)}, files=(content,))


def _open_root(root: Path, choice: Choice) -> Contents:
    choice.check(root, deep=False)
    choice.check(root / "metadata")
    steps = find_steps(root)
    chosen = steps.choose(choice.step)
    known = {"metadata", "descriptor", *(f"{found.path.name}{BESIDE}" for found in steps.steps)}
    others = [path.name for path in steps.others if path.name not in known]
    notes = [*steps.notes(), *([ignored_files(root, others)] if others else [])]
    items, around = _open_chosen(chosen.path, replace(choice, step=None))
    if choice.step is None:
        nested = (path for path in steps.others if path.name not in known and is_nested_store(path))
        refuse_unread(root, nested, f"choose a step: `--step {chosen.number}`")
    metadata = root_metadata_file(root)
    around = replace(
        around,
        step=chosen.whole,
        steps=steps.numbers,
        metadata={**read_root_metadata(root), **around.metadata},
        notes=(*notes, *around.notes),
        files=(*around.files, *([metadata] if metadata else [])),
    )
    return items, around


def _open_chosen(where: Path, choice: Choice) -> Contents:
    """Opens a step, which may also be one bare item or one file."""
    if is_file(where):
        refuse_lfs_pointer(where)
    elif not holds_item(where) and not is_tree_of_stores(where):
        return _open_step(where, choice)
    return _open(where, choice, FORMATS)


def _checkpoints_inside(folder: Path) -> list[Path]:
    """Returns the entries of a directory that are checkpoints themselves."""
    found = islice(children(folder), FILES_SEARCHED)
    return [
        child for child in found if any(row.recognizes(child) for row in FORMATS if row.open is not _open_only_file)
    ]


def _holds_one_file(where: Path) -> bool:
    if not is_dir(where):
        return False
    found = _checkpoints_inside(where)
    return len(found) == 1 and is_file(found[0])


def _open_only_file(folder: Path, choice: Choice) -> Contents:
    """Opens the only checkpoint file of a directory; the other entries are ignored with a note."""
    choice.check(folder, deep=False)
    (file,) = _checkpoints_inside(folder)
    refuse_lfs_pointer(file)
    items, around = _open(file, choice, FORMATS)
    used = [file, *arrays_beside(file)]
    refuse_unread(folder, [path for path in children(folder) if path not in used], f"name the checkpoint: `{file}`")
    return items, replace(around, notes=(*stray_notes(folder, used), *around.notes))


def _open_step(where: Path, choice: Choice) -> Contents:
    choice.check(where)
    _refuse_choice(where, Choice(choice.step), "one step")
    contents = read_step(where)
    layouts = present_layouts(contents.metadata, contents.items)
    items = choose_items(where, contents, choice.item, layouts)
    if choice.item is None:
        first = next(iter(contents.items), None)
        refuse_unread(where, contents.others, f"choose an item: `--item {first}`" if first else "")
    others = tuple(name for name in contents.items if name not in items and _are_layouts(name, items, layouts))
    own = _own_digests(where, contents, items)
    around = Surroundings(
        extras=contents.extras,
        metadata=metadata_of_items(contents.metadata, items),
        notes=contents.notes,
        files=(*contents.files, *own),
        folder=where,
        digests=own[0].parent if own else None,
        unread=(*contents.unread, *(name for name in contents.items if name not in (*items, *others))),
        layouts=others,
        handlers=contents.handlers,
        others={name: where / name for name in contents.unread} if choice.item is None else {},
    )
    return {
        name: open_item(folder, contents.handlers.get(name), choice.separator) for name, folder in items.items()
    }, around


def _are_layouts(name: str, items: Iterable[str], layouts: Mapping[str, StepLayout]) -> bool:
    """Returns whether an item is a layout, or the chosen items are layouts that were made from it."""
    return name in layouts or any(item in layouts and layouts[item].item == name for item in items)


def _own_digests(where: Path, contents: StepContents, items: Mapping[str, Path]) -> list[Path]:
    """Returns the file with the digests of the only chosen item, if they are recorded in its own directory.

    `migrate expand` records them there, beside the digests of the step, which are those of the other items.
    """
    own = [folder / digest_record.FILE for folder in items.values()]
    if len(own) != 1 or not is_file(own[0]):
        return []
    is_layout = next(iter(items)) in recorded_layouts(contents.metadata)
    return own if is_layout or not is_file(where / digest_record.FILE) else []


FORMATS: tuple[Format, ...] = (
    Format("Orbax items", holds_item, one_item(_open_orbax, flat=True)),
    Format("Orbax JSON items", holds_json, _open_json),
    Format("roots with steps of Orbax or Flax", is_root, _open_root),
    Format("folders of TensorStore arrays", is_tree_of_stores, one_item(_open_stores, flat=True)),
    Format("Orbax steps", lambda where: is_marked(where) or is_step(where), _open_step),
    Format(
        "safetensors files and folders of them",
        is_safetensors,
        one_item(SafetensorsItem, flat=True, deep=False, beside=files_beside),
    ),
    Format(
        "Flax msgpack files with an index",
        is_sharded_msgpack,
        one_item(ShardedFlaxItem, deep=False, beside=msgpack_files_beside),
    ),
    Format("NumPy `.npz` files", looks_like_npz, one_item(NpzItem, flat=True)),
    Format("Flax msgpack files", looks_like_msgpack, one_item(FlaxItem, flat=True, beside=arrays_beside)),
    Format("Equinox files and NumPy `.npy` files", looks_like_npy, one_item(NpyStreamItem)),
    Format("HDF5 files of Keras (with h5py)", is_hdf5, one_item(Hdf5Item)),
    Format("folders with one such file", _holds_one_file, _open_only_file),
)
"""Every format that can be read. The first that recognizes a path opens it, so the clearest signs come first."""


def _readable(formats: Sequence[Format]) -> str:
    return f"what can be read: {', '.join(row.name for row in formats)}"


def _refuse_choice(where: Path, choice: Choice, kind: str) -> None:
    if choice.step not in (None, "latest"):
        raise CheckpointError(UnknownItem.at(f"`{where}` has no steps: it is {kind}", help="leave `--step` out"))
    if choice.item not in (None, ""):
        raise CheckpointError(
            UnknownItem.at(f"`{where}` has no items by name: it is {kind}", help="leave `--item` out")
        )


def _no_such_path(where: Path, formats: Sequence[Format]) -> CheckpointError:
    if os.path.lexists(where):
        message = f"`{where}` is neither a file nor a directory: it is a pipe, a device or a broken link"
        return CheckpointError(NoCheckpoint.at(message, help=_readable(formats)))
    parent = where.parent
    # A bucket would list everything below.
    names = sorted(os.listdir(parent))[:10_000] if os.path.isdir(parent) else []
    return CheckpointError(NoCheckpoint.at(f"`{where}` does not exist", help=did_you_mean(where.name, names)))


def _nothing_known(where: Path) -> CheckpointError:
    steps = find_steps(where)
    if steps.unfinished:
        names = ", ".join(path.name for path in steps.unfinished[:10])
        return CheckpointError(
            UnfinishedSave.at(f"`{where}` holds only saves that were never finished: {names}", help=_EARLIER)
        )
    inside = _checkpoints_inside(where)
    if len(inside) > 1:
        message = f"`{where}` holds {len(inside)} checkpoints: {listed([path.name for path in inside], 10)}"
        return CheckpointError(AmbiguousItem.at(message, help=f"name one of them: `{inside[0]}`"))
    names = ", ".join(f"`{path.name}`" for path in steps.others[:10]) or "nothing"
    return CheckpointError(
        NoCheckpoint.at(
            f"there is no checkpoint in `{where}`", help=f"it holds {names}; name a file or directory inside"
        )
    )
