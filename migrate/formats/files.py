"""Reading untrusted files safely: size bounds, git-LFS pointers, bad JSON; `boundary` has checked links and pipes.

Readers read small files through this module and make their errors here, so that every message about a damaged file
names the cause and the remedy in the same form.
"""

from __future__ import annotations

import json
import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from migrate.codes import DamagedFile, LfsPointer, MissingPart, UnsupportedLeaf
from migrate.errors import CheckpointError, listed
from migrate.formats.boundary import is_folder, is_without_size
from migrate.places.bucket_path import BucketPath
from migrate.places.names import bucket_path
from migrate.places.objects import is_about_access, unreachable
from migrate.tree import AbstractTree, KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from migrate.errors import Diagnostic
    from migrate.formats.base import Defect

    ObjectHook = Callable[[list[tuple[str, Any]]], dict[str, Any]]

_CHUNK = re.compile(r"\d+(\.\d+)*")
_LFS_HEADER = b"version https://git-lfs"
_LFS_POINTER_BYTES = 1024
MAX_DEPTH = 200
"""The most levels of nesting of a tree; real trees have about a dozen."""
_JSON_MIB = 256
FILES_SEARCHED = 2_000
"""The most files of a directory that a search looks at."""
_OBJECTS_SEARCHED = 32
"""The same for a directory of a bucket, where a look at a file is a request."""

COPY_AGAIN = "compare its size with the original and copy it again, or take another step"
COPY_WHOLE = "copy the whole directory again (with the files that begin with a dot), or take another step"

REPORT = "save it as a numeric array, or report it with the output of `migrate inspect`"


def damaged(path: Path, why: str, *, paths: tuple[str, ...] = ()) -> CheckpointError:
    """Returns the error for a file that contradicts itself."""
    return CheckpointError(DamagedFile.at(f"`{path}` is damaged: {why}", paths=paths, help=COPY_AGAIN))


def unreadable(path: Path, error: OSError, *, paths: tuple[str, ...] = ()) -> CheckpointError:
    """Returns the error for a file that the file system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return missing(path, "it does not exist", paths=paths)
    return damaged(path, f"it cannot be read ({error.strerror or error})", paths=paths)


def missing(path: Path, why: str, *, paths: tuple[str, ...] = ()) -> CheckpointError:
    """Returns the error for a part of the checkpoint that is missing."""
    return CheckpointError(MissingPart.at(f"`{path}` is incomplete: {why}", paths=paths, help=COPY_WHOLE))


def lost_values(folder: Path, paths: Iterable[KeyPath], folders: Sequence[str] = ()) -> CheckpointError:
    """Returns the error for leaves that are declared and whose values are not stored.

    Args:
      folder: the item's directory.
      paths: the key paths of the leaves.
      folders: the directories of arrays that exist without a file that describes the array.
    """
    names = [format_path(path) for path in paths]
    message = f"`{folder}` names leaves whose values are missing: {listed(names, 5)}"
    if folders:
        message += f"; there is neither a `.zarray` nor a `zarr.json` in {listed(folders, 5)}"
    return CheckpointError(MissingPart.at(message, paths=names, help=COPY_WHOLE))


def lacking(defect: Defect, leaves: Sequence[KeyPath]) -> Diagnostic:
    """Returns the finding for a file that lacks bytes; `leaves` are the key paths that it names."""
    names = tuple(format_path(path) for path in leaves)
    single = len(names) == 1
    count = f"`{names[0]}`" if single else f"{len(names):,} leaves"
    file, needed = defect.file, defect.needed
    if is_lfs_pointer(file):
        return _lfs_pointer(file, names)
    if needed is None:
        return MissingPart.at(f"`{file}` is incomplete: it lacks chunks of {count}", paths=names, help=COPY_WHOLE)
    if defect.size is None:
        return MissingPart.at(
            f"`{file}` is missing, and {count} {'is' if single else 'are'} stored in it", paths=names, help=COPY_WHOLE
        )
    state = f"is truncated: it has {defect.size:,} bytes" if defect.size else "is empty"
    return DamagedFile.at(
        f"`{file}` {state}, and {count} {'needs' if single else 'need'} {needed:,}", paths=names, help=COPY_AGAIN
    )


def file_size(path: Path | str) -> int | None:
    """Returns the size of a regular file in bytes; None if there is none."""
    far = bucket_path(path)
    if far is not None:
        return far.stat().st_size if far.is_file() else None
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def unknown_dtype(what: str, dtype: object, *, paths: tuple[str, ...] = ()) -> CheckpointError:
    """Returns the error for a dtype that JAX does not have."""
    message = f"{what} has the dtype `{dtype}`, which no array of JAX has"
    return CheckpointError(UnsupportedLeaf.at(message, paths=paths, help=REPORT))


def is_file(path: Path) -> bool:
    """Whether a path is a regular file; reading a pipe or a device could block or never end."""
    if isinstance(path, BucketPath):
        return path.is_file()
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Whether a path is a directory."""
    if isinstance(path, BucketPath):
        return path.is_dir()
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def children(path: Path) -> list[Path]:
    """Returns the entries of a directory in the order of their names.

    Raises:
      CheckpointError: the directory cannot be listed.
    """
    try:
        if isinstance(path, BucketPath):
            return list(path.iterdir())
        return [path / name for name in sorted(os.listdir(path))]
    except OSError as error:
        raise missing(path, f"it cannot be listed ({error.strerror})") from error


def refuse_lfs_pointer(path: Path) -> None:
    """Refuses a file that is a git-LFS pointer.

    Raises:
      CheckpointError: it is one (`LfsPointer`).
    """
    if is_lfs_pointer(path):
        raise CheckpointError(_lfs_pointer(path))


def _lfs_pointer(path: Path, paths: tuple[str, ...] = ()) -> Diagnostic:
    message = f"`{path}` is a git-LFS pointer: the repository was cloned without its large files"
    return LfsPointer.at(message, paths=paths, help="run `git lfs pull` where the repository was cloned")


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file holds a git-LFS pointer instead of its content."""
    if not is_file(path):
        return False
    if not isinstance(path, BucketPath) and path.stat().st_size > _LFS_POINTER_BYTES:
        return False
    return read_head(path, len(_LFS_HEADER)) == _LFS_HEADER


def read_head(path: Path, count: int) -> bytes:
    """Returns the first bytes of a file.

    Raises:
      CheckpointError: it cannot be read.
    """
    try:
        if isinstance(path, BucketPath):
            return path.head(count)
        with path.open("rb") as file:
            return b"" if is_without_size(file.fileno()) else file.read(count)
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror})") from error


def read_file(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
      CheckpointError: it is a git-LFS pointer, or cannot be read.
    """
    refuse_lfs_pointer(path)
    try:
        return b"" if not isinstance(path, BucketPath) and is_without_size(path) else path.read_bytes()
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror})") from error


def read_into(descriptor: int, into: memoryview, offset: int) -> int:
    """Fills `into` with the bytes of an open file from an offset; returns their number, less where the file ends.

    The system returns at most 2 GiB at once, and sometimes less.
    """
    done = 0
    while done < len(into) and (count := os.preadv(descriptor, [into[done:]], offset + done)):
        done += count
    return done


def refuse_lfs_pointers_below(path: Path) -> None:
    """Refuses a directory in which a file is a git-LFS pointer.

    Raises:
      CheckpointError: the first that is one (`LfsPointer`).
    """
    most = _OBJECTS_SEARCHED if isinstance(path, BucketPath) else FILES_SEARCHED
    for found in islice(files_below(path), most):
        refuse_lfs_pointer(found)


def files_below(path: Path) -> Iterator[Path]:
    """Yields the files below a directory, each directory once; `Boundary` has checked the links."""
    if isinstance(path, BucketPath):
        yield from path.files_below()
        return
    seen: set[tuple[int, int]] = set()
    pending = [str(path)]
    while pending:
        folder = pending.pop()
        try:
            found = os.stat(folder)
            entries = list(os.scandir(folder)) if (found.st_dev, found.st_ino) not in seen else []
        except OSError:
            continue
        seen.add((found.st_dev, found.st_ino))
        folders = [entry.path for entry in entries if is_folder(entry)]
        yield from (Path(entry.path) for entry in entries if not is_folder(entry))
        pending += reversed(folders)


def files_at(path: Path) -> Iterator[Path]:
    """Returns the file at a path, or the files below it."""
    return iter([path]) if is_file(path) else files_below(path)


def refuse_lost_zarrays(folder: Path) -> None:
    """Refuses a directory with chunks of zarr arrays but without the `.zarray` files that describe them.

    A copy that leaves out files whose names begin with a dot looks like this.

    Raises:
      CheckpointError: a `.zarray` is missing (`MissingPart`).
    """
    for child in islice(children(folder), FILES_SEARCHED):
        if is_dir(child) and any(_CHUNK.fullmatch(file.name) for file in islice(children(child), 10)):
            name = f"{child.name}/.zarray"
            raise missing(
                folder, f"`{child.name}` has chunks of an array, and `{name}` is missing", paths=(child.name,)
            )


def bytes_below(path: Path) -> int:
    """Returns the sum of the sizes of all files below a directory, in bytes."""
    total = 0
    for file in files_below(path):
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total


def read_json(path: Path, objects: ObjectHook | None = None) -> Any:
    """Returns the content of a JSON file.

    Args:
      path: the file.
      objects: makes an object of its names and values (default: a dict).

    Raises:
      CheckpointError: the file is missing, a git-LFS pointer, unreadable, too large or not JSON.
    """
    if not is_file(path):
        raise missing(path.parent, f"there is no file `{path.name}`")
    refuse_lfs_pointer(path)
    if path.stat().st_size > _JSON_MIB << 20:
        raise damaged(path, f"no JSON file of a checkpoint is larger than {_JSON_MIB} MiB")
    content = read_file(path)
    try:
        if b"\\ud" in content.lower():  # a lone surrogate, which UTF-8 cannot encode
            json.dumps(json.loads(content), ensure_ascii=False).encode()
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        del content  # both may take much memory
        return json.loads(text, object_pairs_hook=objects)
    except RecursionError as error:
        raise damaged(path, "its JSON is nested too deeply") from error
    except ValueError as error:
        raise damaged(path, f"it is not JSON ({error})") from error


def read_json_object(path: Path, objects: ObjectHook | None = None) -> dict[str, Any]:
    """Returns the content of a JSON file that must be an object; arguments as in `read_json`.

    Raises:
      CheckpointError: as `read_json`, or it is not an object.
    """
    content = read_json(path, objects)
    if not isinstance(content, dict):
        raise damaged(path, "it is not a JSON object")
    return content


def short_reason(error: Exception) -> str:
    """Returns the message of an exception of TensorStore on one line, without the list of its causes."""
    return str(error).split(" [", 1)[0].replace("\n", " ")[:300]


def explain_store_failure(error: Exception, folder: Path, what: str) -> NoReturn:
    """Raises the error that explains an exception of TensorStore.

    Raises:
      CheckpointError: `LfsPointer`, `MissingPart` or `DamagedFile`, with the remedy.
    """
    if isinstance(folder, BucketPath) and is_about_access(error):
        raise unreachable(error, str(folder)) from error
    refuse_lfs_pointers_below(folder)
    text, reason = str(error), short_reason(error)
    absent = text.startswith("NOT_FOUND") or "is missing" in text or "does not exist" in text
    raise (missing if absent else damaged)(folder, f"{what} cannot be read ({reason})") from error


def refuse_deep(path: Path, tree: AbstractTree) -> None:
    """Refuses a tree that is nested deeper than any model: recursive readers and writers could not handle it.

    Raises:
      CheckpointError: it is (`DamagedFile`).
    """
    deepest = max(tree.leaves, key=len, default=())
    if len(deepest) > MAX_DEPTH:
        name = format_path(deepest)
        raise damaged(path, f"the key path `{name[:40]}…` has {len(deepest):,} levels; {MAX_DEPTH} at most are read")
