"""One tree in several files: their numbered names (`model-00001-of-00003.safetensors`) and their index.

The index is JSON with a `weight_map` of leaves and the files beside it that hold them. Hugging Face's libraries write
it for safetensors and for Flax's msgpack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.codes import AmbiguousItem, IgnoredFiles, MissingPart
from migrate.errors import CheckpointError, Diagnostic, listed
from migrate.formats.files import children, damaged, is_file, missing, read_json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

INDEX = ".index.json"
"""The end of the name of an index, which begins with the name that a single file would have."""
NAMED = 10
"""The most names that a message lists."""

_PART = re.compile(r"(.+)-(\d{1,9})-of-(\d{1,9})(\.\w+)")
_MOST_PARTS = 100_000


@dataclass(frozen=True, slots=True)
class PartIndex:
    """An index of parts.

    Attributes:
      path: the index.
      names: the name of each leaf's file, by the leaf's name.
      files: the files, sorted.
    """

    path: Path
    names: Mapping[str, str]
    files: tuple[Path, ...]


def is_index(path: Path, suffix: str) -> bool:
    """Whether a file is an index of files with this suffix."""
    return path.name.endswith(suffix + INDEX) and is_file(path)


def is_part(path: Path, suffix: str) -> bool:
    """Whether a file has the name of one of several parts with this suffix."""
    return path.suffix == suffix and _PART.fullmatch(path.name) is not None and is_file(path)


def parts_beside(index: Path, suffix: str) -> list[Path]:
    """Returns the files beside an index that can be parts of its checkpoint; none for other paths."""
    return [child for child in children(index.parent) if child.suffix == suffix] if is_index(index, suffix) else []


def read_index(index: Path) -> PartIndex:
    """Returns the content of an index.

    Raises:
      CheckpointError: it is damaged, or files that it names are missing.
    """
    names = read_json_object(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(file, str) for file in names.values()):
        raise damaged(index, "it has no `weight_map` of tensors and their files")
    files = [index.parent / name for name in dict.fromkeys(names.values())]
    if any(file.parent != index.parent or file.name in ("", "..") for file in files):
        raise damaged(index, "a file of its `weight_map` is in another directory")
    lost = [file.name for file in files if not is_file(file)]
    if lost:
        raise missing(index.parent, f"{listed(lost, NAMED)} of `{index.name}` are missing")
    return PartIndex(index, names, tuple(sorted(files)))


def find_index(folder: Path, suffix: str, what: str) -> PartIndex | None:
    """Returns the index of a directory, if it has one.

    Raises:
      CheckpointError: it has several (`AmbiguousItem`), or as `read_index`.
    """
    indices = [child for child in children(folder) if is_index(child, suffix)]
    if len(indices) > 1:
        names = ", ".join(f"`{index.name}`" for index in indices)
        message = f"`{folder}` has {len(indices)} indices of {what}: {names}"
        raise CheckpointError(AmbiguousItem.at(message, help=f"name one of them: `{indices[0]}`"))
    return read_index(indices[0]) if indices else None


def refuse_missing_parts(folder: Path, files: Iterable[Path]) -> None:
    """Refuses a directory that lacks parts which the names of others count.

    Raises:
      CheckpointError: parts are missing (`MissingPart`).
    """
    there = {file.name for file in files}
    lost = {name for file in there for name in siblings(file) if name not in there}
    if lost:
        raise missing(folder, f"{listed(sorted(lost), NAMED)} are missing")


def siblings(name: str) -> list[str]:
    """Returns the names of all parts of the checkpoint that a file's name counts; none for any other name."""
    found = _PART.fullmatch(name)
    if found is None or int(found[3]) > _MOST_PARTS:
        return []
    stem, number, count, suffix = found.groups()
    return [f"{stem}-{position:0{len(number)}}-of-{count}{suffix}" for position in range(1, int(count) + 1)]


def refuse_lone_part(path: Path) -> None:
    """Refuses a file that is one of several parts: its leaves alone are not the checkpoint.

    Raises:
      CheckpointError: it is one (`MissingPart`); the message names the index and the other parts.
    """
    found = _PART.fullmatch(path.name)
    others = [name for name in siblings(path.name) if name != path.name]
    if found is None or not others:
        return
    index = path.with_name(f"{found[1]}{found[4]}{INDEX}")
    lost = [name for name in others if not is_file(path.with_name(name))]
    beside = f"its index is `{index.name}`" if is_file(index) else f"its index, `{index.name}`, is not beside it"
    rest = f"the other {'part is' if len(others) == 1 else 'parts are'} {listed(others, NAMED)}"
    message = f"`{path}` is part {int(found[2])} of {int(found[3])} of a checkpoint: {beside}, and {rest}"
    if lost:
        cure = f"copy {listed(lost, NAMED)} beside it, then open `{index if is_file(index) else path.parent}`"
    else:
        cure = f"open all parts together: `{index if is_file(index) else path.parent}`"
    raise CheckpointError(MissingPart.at(message, help=cure))


def stray_notes(folder: Path, used: Sequence[Path]) -> list[Diagnostic]:
    """Returns a note that lists the entries of a directory that are not part of the checkpoint."""
    strays = [child.name for child in children(folder) if child not in used]
    if not strays:
        return []
    message = f"ignored in `{folder}`, not part of the checkpoint: {listed(strays, NAMED)}"
    return [IgnoredFiles.at(message, paths=strays)]
