"""Arrays without names, one after another: Equinox' `.eqx` files, and NumPy's `.npy`, which holds one array.

`equinox.tree_serialise_leaves` writes each array and number of a pytree in NumPy's format, in the order of its leaves,
without a separator. The key paths are the positions; `migrate.formats.named` replaces them with those of a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import ReaderAssumption
from migrate.errors import Diagnostic
from migrate.formats.base import Extent, Item, ItemInfo
from migrate.formats.file_view import FileView
from migrate.formats.files import (
    damaged,
    is_file,
    read_head,
    refuse_lfs_pointer,
    unknown_dtype,
)
from migrate.formats.foreign import refuse_pickled_array
from migrate.formats.npy_header import ANONYMOUS, MAGIC, ArrayHeader, InvalidHeaderError, read_array_header
from migrate.formats.stored_dtype import UnknownDtypeError, stored_dtype
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath, Storage

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from migrate.formats.base import Value

FORMAT = "numpy npy, arrays in order"
"""The name of the format, by which `migrate.formats.named` recognizes it."""
_MOST_ARRAYS = 250_000


def looks_like_npy(path: Path) -> bool:
    """Whether a path is a file that begins with an array in NumPy's format."""
    return is_file(path) and read_head(path, len(MAGIC)) == MAGIC


class NpyStreamItem(Item):
    """Arrays in order, as a list."""

    def __init__(self, path: Path) -> None:
        """Opens a file.

        Raises:
          CheckpointError: it is damaged (`DamagedFile`), or an array has objects (`NoCheckpoint`) or a dtype that no
            array of JAX has (`UnsupportedLeaf`).
        """
        refuse_lfs_pointer(path)
        self._path = path
        self._data = FileView(path)
        self._arrays: dict[KeyPath, tuple[ArrayHeader, np.dtype[Any], int]] = {}
        position = 0
        while position < len(self._data):
            position = self._add(position)
        leaves = {key: _leaf(header, dtype) for key, (header, dtype, _) in self._arrays.items()}
        self.info = ItemInfo(
            format=FORMAT,
            tree=AbstractTree.build(leaves.items(), {(): "list"}),
            era="Equinox, or NumPy for a single array",
            notes=tuple(self._assumptions()),
        )

    def _add(self, start: int) -> int:
        """Adds the array at an offset; returns the offset of its end."""
        number = len(self._arrays)
        try:
            header, length = read_array_header(self._data[start : start + (1 << 17)])
            if header.dtype_is_object:
                raise refuse_pickled_array(self._path)
            dtype = stored_dtype(ANONYMOUS.get(header.text, header.text))
        except InvalidHeaderError as error:
            raise damaged(self._path, f"no array begins at byte {start} of {len(self._data)} ({error})") from error
        except UnknownDtypeError as error:
            raise unknown_dtype(f"array {number} of `{self._path}`", error, paths=(str(number),)) from error
        begin = start + length
        end = begin + header.size * dtype.itemsize
        if end > len(self._data):
            lack = f"array {number} needs the bytes up to {end:,}, and the file has {len(self._data):,}"
            raise damaged(self._path, f"it is truncated: {lack}", paths=(str(number),))
        if number >= _MOST_ARRAYS:
            raise damaged(self._path, f"it has more than {_MOST_ARRAYS:,} arrays, more than any checkpoint has")
        self._arrays[(str(number),)] = header, dtype, begin
        return end

    def _assumptions(self) -> list[Diagnostic]:
        message = (
            f"`{self._path}` has {len(self._arrays)} arrays without names: their key paths are their positions; "
            "`--template M:F` with the Equinox model that was saved gives them its names"
        )
        notes = [ReaderAssumption.at(message)]
        raw = [key[0] for key, (header, _, _) in self._arrays.items() if header.text in ANONYMOUS]
        if raw:
            texts = {header.text for header, _, _ in self._arrays.values()}
            kinds = ", ".join(sorted({ANONYMOUS[text] for text in texts & ANONYMOUS.keys()}))
            arrays = f"array {raw[0]}" if len(raw) == 1 else f"arrays {', '.join(raw[:10])}"
            message = f"NumPy keeps no name for the dtype of {arrays}; read as {kinds}"
            notes.append(ReaderAssumption.at(message))
        return notes

    def load(self, stored: KeyPath) -> Value:
        """Returns one array."""
        header, dtype, begin = self._arrays[stored]
        flat = self._data.array(dtype, header.size, begin)
        array = flat.reshape(header.shape, order="F" if header.fortran else "C")
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:
        """Where an array's bytes are stored; None in Fortran order or foreign byte order."""
        header, dtype, begin = self._arrays[stored]
        if header.fortran or not dtype.isnative:
            return None
        return (Extent(self._path, begin, header.size * dtype.itemsize),)

    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self._path,)


def _leaf(header: ArrayHeader, dtype: np.dtype[Any]) -> AbstractLeaf:
    aval = AbstractArray(header.shape, dtypes.from_numpy(dtype))
    return AbstractLeaf("array", aval, storage=Storage("npy", nbytes=aval.nbytes))
