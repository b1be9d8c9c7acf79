"""Safetensors: one file, a folder with an index of its tensors, or a folder of files without an index.

Tensors are views of the mapped files. `migrate.formats.flat_names` splits their names into key paths, unless the file
records the key paths itself (`migrate.formats.safetensors.tree`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import AmbiguousItem
from migrate.errors import CheckpointError, Diagnostic, listed
from migrate.formats.base import Extent, Item, ItemInfo
from migrate.formats.digest_record import RECORD_KEY
from migrate.formats.file_view import FileView
from migrate.formats.files import (
    children,
    damaged,
    is_dir,
    is_file,
    missing,
    read_head,
    read_json_object,
    refuse_lfs_pointer,
)
from migrate.formats.flat_names import collisions, separator_of
from migrate.formats.model_config import config_beside
from migrate.formats.parts import (
    NAMED,
    find_index,
    is_index,
    parts_beside,
    read_index,
    refuse_lone_part,
    refuse_missing_parts,
    stray_notes,
)
from migrate.formats.safetensors.header import HEADER_BYTES, LENGTH_BYTES, Tensor, read_header
from migrate.formats.safetensors.model_files import model_file_notes, model_files
from migrate.formats.safetensors.tree import TREE_KEY, TreeRecord, build_tree, recorded_paths
from migrate.formats.unread import refuse_unread
from migrate.tree import AbstractArray, AbstractLeaf, KeyPath, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from migrate.formats.base import Value
    from migrate.formats.parts import PartIndex

SUFFIX = ".safetensors"

_ADAPTER = "adapter_model.safetensors"
_ADAPTER_CONFIG = "adapter_config.json"
"""The names that peft gives the files of an adapter."""

_WRITERS = {"pt": "PyTorch", "flax": "Flax", "tf": "TensorFlow", "mlx": "MLX", "np": "NumPy"}
"""The meanings of the metadata's `format` in `transformers`."""


def looks_like_safetensors(path: Path) -> bool:
    """Whether a file begins with the possible length of a header, and a header."""
    head = read_head(path, LENGTH_BYTES + 1)
    return head[LENGTH_BYTES:] == b"{" and int.from_bytes(head[:LENGTH_BYTES], "little") <= HEADER_BYTES


def is_safetensors_index(path: Path) -> bool:
    """Whether a file is an index of the tensors in the files beside it."""
    return is_index(path, SUFFIX)


def holds_safetensors(folder: Path) -> bool:
    """Whether a directory has safetensors files, or an index of some."""
    return is_dir(folder) and any(_is_part(child) or is_safetensors_index(child) for child in children(folder))


def is_safetensors(path: Path) -> bool:
    """Whether a path is a safetensors file, an index of some, or a directory that holds either."""
    if is_file(path):
        return is_safetensors_index(path) or looks_like_safetensors(path)
    return holds_safetensors(path)


def files_beside(path: Path) -> list[Path]:
    """Returns the files beside a path that belong to its checkpoint: parts of an index, or an adapter's config."""
    config = _adapter_config(path)
    return [*parts_beside(path, SUFFIX), *([config] if config and not is_dir(path) else [])]


def _adapter_config(path: Path) -> Path | None:
    """Returns the file with the config of an adapter in or beside a path."""
    folder = path if is_dir(path) else path.parent if path.name == _ADAPTER else None
    config = folder / _ADAPTER_CONFIG if folder else None
    return config if config and is_file(config) else None


def _is_part(path: Path) -> bool:
    return path.suffix == SUFFIX and is_file(path)


class SafetensorsItem(Item):
    """Safetensors files that are one pytree."""

    def __init__(self, path: Path, separator: str | None = None) -> None:
        """Opens a file, an index, or a folder; `separator` is where names are split (default: found by `flat_names`).

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
        separator = separator_of(self._tensors) if separator is None else separator
        paths = recorded_paths(self._tensors, record, separator)
        _refuse_overlap(path, paths)
        self._names = {key_path: name for name, key_path in paths.items()}
        leaves = {key_path: _leaf(self._tensors[name][1]) for key_path, name in self._names.items()}
        self.info = ItemInfo(
            format="safetensors" if len(files) == 1 else f"safetensors, {len(files)} files",
            tree=build_tree(leaves, record),
            era=_era(metadata),
            metadata=_parsed(metadata, path),
            notes=(*self._notes, *([] if record.paths else collisions(paths, separator))),
            separator=separator,
            model_config=config_beside(path),
            adapter=read_json_object(self._config) if self._config else {},
        )

    def _files(self, path: Path) -> list[Path]:
        """Returns the files with tensors; sets the index, and notes what is ignored."""
        self._index: PartIndex | None = None
        self._config = _adapter_config(path)
        if is_safetensors_index(path):
            self._index = read_index(path)
            return list(self._index.files)
        if not is_dir(path):
            refuse_lone_part(path)
            return [path]
        self._index = find_index(path, SUFFIX, "safetensors files")
        found = list(self._index.files) if self._index else [child for child in children(path) if _is_part(child)]
        refuse_missing_parts(path, found)
        used = [*found, *([self._index.path] if self._index else [])]
        advice = f"name the checkpoint: `{used[-1]}`" if len(used) == 1 or self._index else ""
        used += [self._config] if self._config else []
        refuse_unread(path, [child for child in children(path) if child not in used], advice)
        self._notes += [*model_file_notes(path), *stray_notes(path, [*used, *model_files(path)])]
        return found

    def _refuse_lost(self, path: Path) -> None:
        """Refuses tensors of the index that are not in the file that it names."""
        lost = [
            name
            for name, file in (self._index.names if self._index else {}).items()
            if name not in self._tensors or self._tensors[name][0].path.name != file
        ]
        if lost:
            raise missing(
                path, f"{listed(lost, NAMED)} of its index are not in the files that it names", paths=tuple(lost)
            )

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value."""
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
        """The index and the config of an adapter, where there are any, and the files with tensors."""
        described = [*([self._index.path] if self._index else []), *([self._config] if self._config else [])]
        return (*described, *(file.path for file in self._files_read))


class _File:
    """One file."""

    def __init__(self, path: Path) -> None:
        refuse_lfs_pointer(path)
        self.path = path
        self.data = FileView(path)
        header = read_header(self.data, path)
        self.tensors, self.metadata = header.tensors, header.metadata

    def array(self, tensor: Tensor) -> Any:
        """Returns a tensor."""
        dtype = dtypes.to_numpy(tensor.dtype)
        return self.data.array(dtype, tensor.nbytes // dtype.itemsize, tensor.offset).reshape(tensor.shape)


def _by_name(files: Iterable[_File]) -> dict[str, tuple[_File, Tensor]]:
    found: dict[str, tuple[_File, Tensor]] = {}
    for file in files:
        twice = [name for name in file.tensors if name in found]
        if twice:
            other = found[twice[0]][0].path
            message = f"`{other.name}` and `{file.path.name}` both hold {listed(twice, NAMED)}"
            raise CheckpointError(AmbiguousItem.at(message, paths=twice, help=f"name one of them: `{other}`"))
        found.update({name: (file, tensor) for name, tensor in file.tensors.items()})
    return found


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
    if RECORD_KEY not in metadata:
        return dict(metadata)
    try:
        return {**metadata, RECORD_KEY: json.loads(metadata[RECORD_KEY])}
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its record `{RECORD_KEY}` is not JSON ({error})") from error


def _era(metadata: Mapping[str, str]) -> str:
    if RECORD_KEY in metadata:
        return "written by migrate"
    tag = metadata.get("format", "")
    return f"written for {_WRITERS[tag]}" if tag in _WRITERS else "any safetensors version"
