"""Opening other people's files with care: size bounds, git-LFS pointers, links that leave the checkpoint, bad JSON.

Every byte that the readers look at outside TensorStore and mmap comes through here, so that every damaged file is
refused in the same words: what is wrong, and what to do about it.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from migrate.codes import DamagedFile, LfsPointer, MissingPart, UnsupportedLeaf
from migrate.errors import CheckpointError, listed
from migrate.tree import KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = re.compile(r"\d+(\.\d+)*")
_LFS_HEADER = b"version https://git-lfs"
_LFS_POINTER_BYTES = 1024
MAX_DEPTH = 200
"""Levels of nesting of a tree; real ones have a dozen."""
_JSON_MIB = 64
_FILES_SEARCHED = 2_000

COPY_AGAIN = "compare its size with the original and copy it again, or take another step"
COPY_WHOLE = "copy the whole directory again (with the files that begin with a dot), or take another step"

REPORT = "save it as a numeric array, or report it with the output of `migrate inspect`"


def damaged(path: Path, why: str, *, paths: tuple[str, ...] = ()) -> CheckpointError:
    """The error for a file that contradicts itself."""
    return CheckpointError(DamagedFile.at(f"`{path}` is damaged: {why}", paths=paths, help=COPY_AGAIN))


def missing(path: Path, why: str, *, paths: tuple[str, ...] = ()) -> CheckpointError:
    """The error for a part of the checkpoint that is not there."""
    return CheckpointError(MissingPart.at(f"`{path}` is incomplete: {why}", paths=paths, help=COPY_WHOLE))


def lost_values(folder: Path, paths: Iterable[KeyPath]) -> CheckpointError:
    """The error for leaves that are declared and whose values are not stored."""
    names = [format_path(path) for path in paths]
    message = f"`{folder}` names leaves whose values are not there: {listed(names, 5)}"
    return CheckpointError(MissingPart.at(message, paths=names, help=COPY_WHOLE))


def unknown_dtype(what: str, dtype: object, *, paths: tuple[str, ...] = ()) -> CheckpointError:
    """The error for a dtype that no array of JAX has."""
    message = f"{what} has the dtype `{dtype}`, which no array of JAX has"
    return CheckpointError(UnsupportedLeaf.at(message, paths=paths, help=REPORT))


def is_file(path: Path) -> bool:
    """Whether this is a regular file: a pipe or a device would block or never end."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Whether this is a directory that can be looked into."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def children(path: Path) -> list[Path]:
    """The entries of a directory by name; a linked directory that leads out of `path` is not among them.

    Raises:
      CheckpointError: the directory cannot be listed.
    """
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise missing(path, f"it cannot be listed ({error.strerror})") from error
    return [entry for entry in entries if not leads_out(entry, path)]


def leads_out(entry: Path, root: Path) -> bool:
    """Whether an entry is a link to a directory outside `root`.

    Links to files are followed: caches of downloaded checkpoints consist of them, and a file is only ever parsed.
    """
    return entry.is_symlink() and is_dir(entry) and not entry.resolve().is_relative_to(root.resolve())


def refuse_lfs_pointer(path: Path) -> None:
    """Refuse a file that is a git-LFS pointer.

    Raises:
      CheckpointError: M402.
    """
    if is_lfs_pointer(path):
        raise CheckpointError(
            LfsPointer.at(
                f"`{path}` is a git-LFS pointer: the repository was cloned without its large files",
                help="run `git lfs pull` where the repository was cloned",
            )
        )


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file holds a git-LFS pointer instead of its content."""
    if not is_file(path) or path.stat().st_size > _LFS_POINTER_BYTES:
        return False
    return read_head(path, len(_LFS_HEADER)) == _LFS_HEADER


def read_head(path: Path, count: int) -> bytes:
    """The first bytes of a file.

    Raises:
      CheckpointError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror})") from error


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
      CheckpointError: it is a git-LFS pointer, or cannot be read.
    """
    refuse_lfs_pointer(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror})") from error


def refuse_lfs_pointers_below(path: Path) -> None:
    """Refuse a directory in which some file is a git-LFS pointer.

    Raises:
      CheckpointError: M402, naming the first.
    """
    for found in islice(files_below(path), _FILES_SEARCHED):
        refuse_lfs_pointer(found)


def files_below(path: Path) -> Iterator[Path]:
    """The files below a directory; links to directories are not followed."""
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)


def files_at(path: Path) -> Iterator[Path]:
    """The file at a path, or the files below it."""
    return iter([path]) if is_file(path) else files_below(path)


def refuse_lost_zarrays(folder: Path) -> None:
    """Refuse a directory whose folders hold chunks of zarr arrays, and not the `.zarray` files that describe them.

    Raises:
      CheckpointError: M403, with the cure: such a copy was made without the files that begin with a dot.
    """
    for child in islice(children(folder), _FILES_SEARCHED):
        if is_dir(child) and any(_CHUNK.fullmatch(file.name) for file in islice(children(child), 10)):
            name = f"{child.name}/.zarray"
            raise missing(
                folder, f"`{child.name}` has chunks of an array, and `{name}` is not there", paths=(child.name,)
            )


def bytes_below(path: Path) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += Path(folder, name).stat().st_size
            except OSError:
                continue
    return total


def let_go(mapped: mmap.mmap) -> None:
    """Takes the pages of a mapped file out of this process's memory; they come back when they are looked at."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
      CheckpointError: it is not there, a git-LFS pointer, unreadable, too large or not JSON.
    """
    if not is_file(path):
        raise missing(path.parent, f"there is no file `{path.name}`")
    refuse_lfs_pointer(path)
    if path.stat().st_size > _JSON_MIB << 20:
        raise damaged(path, f"no JSON file of a checkpoint is larger than {_JSON_MIB} MiB")
    content = read_file(path)
    try:
        if b"\\ud" in content.lower():  # half of a character, which no text file can hold and no name can be
            json.dumps(json.loads(content), ensure_ascii=False).encode()
        return json.loads(content)
    except RecursionError as error:
        raise damaged(path, "its JSON is nested too deeply") from error
    except ValueError as error:
        raise damaged(path, f"it is not JSON ({error})") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file that must be an object.

    Raises:
      CheckpointError: as `read_json`, or it is not an object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise damaged(path, "it is not a JSON object")
    return content


def explain_store_failure(error: Exception, folder: Path, what: str) -> NoReturn:
    """Turn what TensorStore raised into the cause and the cure.

    Raises:
      CheckpointError: M402, M403 or M404.
    """
    refuse_lfs_pointers_below(folder)
    text = str(error)
    reason = text.split(" [", 1)[0].replace("\n", " ")[:300]
    absent = text.startswith("NOT_FOUND") or "is missing" in text or "does not exist" in text
    raise (missing if absent else damaged)(folder, f"{what} cannot be read ({reason})") from error
