"""Safetensors: one file, a folder with an index of its tensors, or a folder of files without an index.

Tensors are views of the mapped files. `migrate.formats.flat_names` splits their names into key paths, unless the file
records the key paths itself (`migrate.formats.safetensors.tree`).
"""

from __future__ import annotations

import json
import re
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import AmbiguousItem, IgnoredFiles
from migrate.errors import CheckpointError, Diagnostic, listed
from migrate.formats.base import Extent, Item, ItemInfo
from migrate.formats.files import (
    children,
    damaged,
    is_dir,
    is_file,
    missing,
    read_head,
    read_json_object,
    refuse_lfs_pointer,
    refuse_shorter,
    release_pages,
)
from migrate.formats.flat_names import collisions, separator_of
from migrate.formats.safetensors.header import HEADER_BYTES, LENGTH_BYTES, Tensor, read_header
from migrate.formats.safetensors.tree import TREE_KEY, TreeRecord, build_tree, recorded_paths
from migrate.metadata import KEY
from migrate.tree import AbstractArray, AbstractLeaf, KeyPath, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from migrate.formats.base import Value

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"

_NAMED = 10
"""The most names that a message lists."""

_PART = re.compile(r"(.+)-(\d{1,9})-of-(\d{1,9})\.safetensors")
_WRITERS = {"pt": "PyTorch", "flax": "Flax", "tf": "TensorFlow", "mlx": "MLX", "np": "NumPy"}
"""The meanings of the metadata's `format` in `transformers`."""


def looks_like_safetensors(path: Path) -> bool:
    """Whether a file begins with the possible length of a header, and a header."""
    head = read_head(path, LENGTH_BYTES + 1)
    return head[LENGTH_BYTES:] == b"{" and int.from_bytes(head[:LENGTH_BYTES], "little") <= HEADER_BYTES


def is_safetensors_index(path: Path) -> bool:
    """Whether a file is an index of the tensors in the files beside it."""
    return path.name.endswith(INDEX_SUFFIX) and is_file(path)


def holds_safetensors(folder: Path) -> bool:
    """Whether a directory has safetensors files, or an index of some."""
    return is_dir(folder) and any(_is_part(child) or is_safetensors_index(child) for child in children(folder))


def is_safetensors(path: Path) -> bool:
    """Whether a path is a safetensors file, an index of some, or a directory that holds either."""
    if is_file(path):
        return is_safetensors_index(path) or looks_like_safetensors(path)
    return holds_safetensors(path)


def files_beside(path: Path) -> list[Path]:
    """Returns the files beside an index that can be parts of its checkpoint; none for other paths."""
    return [child for child in children(path.parent) if child.suffix == SUFFIX] if is_safetensors_index(path) else []


def _is_part(path: Path) -> bool:
    return path.suffix == SUFFIX and is_file(path)


class SafetensorsItem(Item):
    """Safetensors files that are one pytree."""

    def __init__(self, path: Path) -> None:
        """Opens a file, an index, or a folder.

        Raises:
          CheckpointError: as `read_header`; files are missing (`MissingPart`), or several hold a tensor of one name
            (`AmbiguousItem`).
        """
        self._notes: list[Diagnostic] = []
        files = [_File(file) for file in self._files(path)]
        self._files_read = files
        self._tensors = _by_name(files)
        self._refuse_lost(path)
        metadata = _together(file.metadata for file in files)
        record = TreeRecord.from_text(metadata.pop(TREE_KEY, "{}"), path)
        paths = recorded_paths(self._tensors, record)
        _refuse_overlap(path, paths)
        self._names = {key_path: name for name, key_path in paths.items()}
        leaves = {key_path: _leaf(self._tensors[name][1]) for key_path, name in self._names.items()}
        self.info = ItemInfo(
            format="safetensors" if len(files) == 1 else f"safetensors, {len(files)} files",
            tree=build_tree(leaves, record),
            era=_era(metadata),
            metadata=_parsed(metadata, path),
            notes=(*self._notes, *([] if record.paths else collisions(paths, separator_of(paths)))),
        )

    def _files(self, path: Path) -> list[Path]:
        """Returns the files with tensors; sets the index, and notes what is ignored."""
        self._index: Mapping[str, str] = {}
        self._index_files: tuple[Path, ...] = ()
        if is_safetensors_index(path):
            return self._indexed(path)
        if not is_dir(path):
            return [path]
        indices = [child for child in children(path) if is_safetensors_index(child)]
        if len(indices) > 1:
            listed = ", ".join(f"`{index.name}`" for index in indices)
            message = f"`{path}` has {len(indices)} indices of safetensors files: {listed}"
            raise CheckpointError(AmbiguousItem.at(message, help=f"name one of them: `{indices[0]}`"))
        found = self._indexed(indices[0]) if indices else [child for child in children(path) if _is_part(child)]
        _refuse_missing_parts(path, found)
        self._note_strays(path, [*found, *indices])
        return found

    def _indexed(self, index: Path) -> list[Path]:
        names = read_json_object(index).get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(file, str) for file in names.values()):
            raise damaged(index, "it has no `weight_map` of tensors and their files")
        files = [index.parent / name for name in dict.fromkeys(names.values())]
        if any(file.parent != index.parent or file.name in ("", "..") for file in files):
            raise damaged(index, "a file of its `weight_map` is in another directory")
        lost = [file.name for file in files if not is_file(file)]
        if lost:
            raise missing(index.parent, f"{listed(lost, _NAMED)} of `{index.name}` are missing")
        self._index, self._index_files = names, (index,)
        return sorted(files)

    def _note_strays(self, folder: Path, used: list[Path]) -> None:
        strays = [child.name for child in children(folder) if child not in used]
        if strays:
            message = f"ignored in `{folder}`, not part of the checkpoint: {listed(strays, _NAMED)}"
            self._notes.append(IgnoredFiles.at(message, paths=strays))

    def _refuse_lost(self, path: Path) -> None:
        """Refuses tensors of the index that are not in the file that it names."""
        lost = [
            name
            for name, file in self._index.items()
            if name not in self._tensors or self._tensors[name][0].path.name != file
        ]
        if lost:
            raise missing(
                path, f"{listed(lost, _NAMED)} of its index are not in the files that it names", paths=tuple(lost)
            )

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value; arrays are read-only views of the file."""
        if stored not in self._names:
            return None
        file, tensor = self._tensors[self._names[stored]]
        array = file.array(tensor)
        return _number(array) if self.info.tree.leaves[stored].kind == "scalar" else array

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:
        """Where a tensor's bytes are stored."""
        if stored not in self._names:
            return None
        file, tensor = self._tensors[self._names[stored]]
        return (Extent(file.path, tensor.offset, tensor.nbytes),)

    def files(self) -> tuple[Path, ...]:
        """The index, where there is one, and the files with tensors."""
        return (*self._index_files, *(file.path for file in self._files_read))

    def release(self) -> None:
        """Releases the pages of the mapped files."""
        for file in self._files_read:
            release_pages(file.data)


class _File:
    """One mapped file."""

    def __init__(self, path: Path) -> None:
        refuse_lfs_pointer(path)
        if path.stat().st_size == 0:
            raise damaged(path, "it is empty")
        self.path = path
        with path.open("rb") as file:
            self.data = mmap(file.fileno(), 0, access=ACCESS_READ)
        header = read_header(self.data, path)
        self.tensors, self.metadata = header.tensors, header.metadata

    def array(self, tensor: Tensor) -> Any:
        """Returns a tensor as a view of the file."""
        import numpy as np

        dtype = dtypes.to_numpy(tensor.dtype)
        if not tensor.nbytes:
            return np.empty(tensor.shape, dtype)
        refuse_shorter(self.path, self.data)
        count = tensor.nbytes // dtype.itemsize
        return np.frombuffer(self.data, dtype, count=count, offset=tensor.offset).reshape(tensor.shape)


def _by_name(files: Iterable[_File]) -> dict[str, tuple[_File, Tensor]]:
    found: dict[str, tuple[_File, Tensor]] = {}
    for file in files:
        twice = [name for name in file.tensors if name in found]
        if twice:
            other = found[twice[0]][0].path
            message = f"`{other.name}` and `{file.path.name}` both hold {listed(twice, _NAMED)}"
            raise CheckpointError(AmbiguousItem.at(message, paths=twice, help=f"name one of them: `{other}`"))
        found.update({name: (file, tensor) for name, tensor in file.tensors.items()})
    return found


def _refuse_missing_parts(folder: Path, files: Iterable[Path]) -> None:
    """Refuses a folder that lacks parts which the names of others count (`model-00001-of-00003.safetensors`)."""
    there = {file.name for file in files}
    lost = []
    for part in [found for name in there if (found := _PART.fullmatch(name))]:
        stem, number, count = part.groups()
        if int(count) > 100_000:
            continue
        expected = (f"{stem}-{index:0{len(number)}}-of-{count}{SUFFIX}" for index in range(1, int(count) + 1))
        lost += [name for name in expected if name not in there]
    if lost:
        raise missing(folder, f"{listed(sorted(set(lost)), _NAMED)} are missing")


def _refuse_overlap(path: Path, paths: Mapping[str, KeyPath]) -> None:
    leaves = set(paths.values())
    below = [name for name, leaf in paths.items() if any(leaf[:depth] in leaves for depth in range(len(leaf)))]
    if below or len(leaves) < len(paths):
        raise damaged(path, f"its record `{TREE_KEY}` puts leaves below or in the place of others")


def _leaf(tensor: Tensor) -> AbstractLeaf:
    aval = AbstractArray(tensor.shape, tensor.dtype)
    return AbstractLeaf("array", aval, storage=Storage("safetensors", nbytes=tensor.nbytes))


def _number(array: Any) -> Value:
    """Returns a Python number where one has this dtype, else a NumPy scalar."""
    return array.item() if array.dtype.name in ("bool", "int64", "float64") else array[()]


def _together(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Returns the metadata that all files have in common."""
    tables = list(parts)
    return {key: value for key, value in tables[0].items() if all(table.get(key) == value for table in tables)}


def _parsed(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Returns the metadata with migrate's own record parsed."""
    if KEY not in metadata:
        return dict(metadata)
    try:
        return {**metadata, KEY: json.loads(metadata[KEY])}
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its record `{KEY}` is not JSON ({error})") from error


def _era(metadata: Mapping[str, str]) -> str:
    if KEY in metadata:
        return "written by migrate"
    tag = metadata.get("format", "")
    return f"written for {_WRITERS[tag]}" if tag in _WRITERS else "any safetensors version"
