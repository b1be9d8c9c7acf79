"""NumPy's `.npz`: a zip archive with one `.npy` file for each array. Nothing is unpickled.

The archive's directory and each array's header are read first and checked against each other: an array must have as
many bytes as its shape and dtype need, so a small file cannot claim a large array. Arrays that are not compressed are
views of the mapped file.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import IgnoredFiles, ReaderAssumption, UnsupportedLeaf
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.base import Extent, Item, ItemInfo
from migrate.formats.file_view import FileView
from migrate.formats.files import damaged, is_file, read_head, refuse_lfs_pointer
from migrate.formats.flat_names import collisions, separator_of, split_names
from migrate.formats.npy_header import ANONYMOUS, InvalidHeaderError, header_text, parse_header
from migrate.formats.opaque import opaque_leaf
from migrate.formats.stored_dtype import UnknownDtypeError, stored_dtype
from migrate.places.names import readable
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath, Storage, format_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

    from migrate.formats.base import Value

_ENDING = ".npy"
_READ_BYTES = 1 << 24
_BEST_RATIO = 1100
"""The best ratio of deflate is 1032 to 1."""

_LOCAL_BYTES = 30
_ENCRYPTED = 1

_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def looks_like_npz(path: Path) -> bool:
    """Whether a path is a zip archive that holds arrays of NumPy."""
    if not is_file(path) or not read_head(path, 4).startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(readable(path)) as archive:
            return any(name.endswith(_ENDING) for name in archive.namelist())
    except _ZIP_ERRORS:
        return False


@dataclass(frozen=True, slots=True)
class _Member:
    """One array: its entry in the archive and its header.

    Attributes:
      info: its entry in the archive's directory.
      start: bytes of the array's header, which precede the elements.
      dtype: NumPy's, byte order included.
      shape: its shape.
      fortran: whether elements are in Fortran order.
      text: the dtype as the header spells it.
      opaque: the leaf of text, objects or structures, which are not read; `dtype` is then that of bytes.
    """

    info: zipfile.ZipInfo
    start: int
    dtype: Any
    shape: tuple[int, ...]
    fortran: bool
    text: str
    opaque: AbstractLeaf | None = None

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * int(self.dtype.itemsize)

    @property
    def is_text(self) -> bool:
        return self.opaque is None and bool(self.dtype.kind == "U")


class NpzItem(Item):
    """An `.npz` file that is one pytree."""

    def __init__(self, path: Path, separator: str | None = None) -> None:
        """Opens a file; `separator` is where names are split (default: found by `flat_names`).

        Raises:
          CheckpointError: it is damaged (`DamagedFile`), or arrays have unknown dtypes (`UnsupportedLeaf`); all such
            arrays are named.
        """
        refuse_lfs_pointer(path)
        self._path = path
        self._archive = _opened(path)
        self._data = FileView(path)
        found = self._members()
        separator = separator_of(found) if separator is None else separator
        paths = split_names(found, separator)
        self._members_by_path = {paths[name]: member for name, member in found.items()}
        leaves = ((key_path, _leaf(member)) for key_path, member in self._members_by_path.items())
        self.info = ItemInfo(
            format="numpy npz",
            tree=AbstractTree.build(leaves),
            era="any NumPy version",
            notes=(*self._strays(), *collisions(paths, separator), *self._assumptions()),
            separator=separator,
        )

    def _members(self) -> dict[str, _Member]:
        found: dict[str, _Member] = {}
        problems: list[Diagnostic] = []
        for info in self._archive.infolist():
            if not info.filename.endswith(_ENDING):
                self._refuse_renamed(info)
                continue
            name = info.filename.removesuffix(_ENDING)
            if name in found:
                raise damaged(self._path, f"`{name}` occurs twice", paths=(name,))
            try:
                found[name] = self._member(name, info)
            except UnknownDtypeError as error:
                problems.append(_refused(name, self._path, str(error)))
        if problems:
            raise CheckpointError(*problems)
        return found

    def _refuse_renamed(self, info: zipfile.ZipInfo) -> None:
        """Refuses members whose name in the directory differs from the one before their bytes: they may be arrays."""
        try:
            self._archive.open(info).close()
        except zipfile.BadZipFile as error:
            raise damaged(self._path, f"`{info.filename}` cannot be read ({error})", paths=(info.filename,)) from error
        except _ZIP_ERRORS:
            return

    def _member(self, name: str, info: zipfile.ZipInfo) -> _Member:
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(self._path, f"`{name}` is encrypted or compressed in a way that NumPy does not use")
        try:
            with self._archive.open(info) as file:
                text, start = header_text(file)
        except _ZIP_ERRORS as error:
            raise damaged(self._path, f"`{name}` has no array header ({error})", paths=(name,)) from error
        try:
            header = parse_header(text)
        except InvalidHeaderError as error:
            raise damaged(self._path, f"the header of `{name}` is invalid: {error}", paths=(name,)) from error
        descr, shape, fortran = header.descr, header.shape, header.fortran
        try:
            member = _Member(info, start, _dtype(descr, shape), shape, fortran, header.text)
        except UnknownDtypeError:
            leaf = opaque_leaf(descr, shape, _storage(info))
            if leaf is None:
                raise
            return _Member(info, start, None, shape, fortran, header.text, leaf)
        if start + member.nbytes != info.file_size or info.file_size > info.compress_size * _BEST_RATIO:
            raise damaged(self._path, f"`{name}` has more or fewer bytes than its shape", paths=(name,))
        return member

    def _strays(self) -> list[Diagnostic]:
        names = [name for name in self._archive.namelist() if not name.endswith(_ENDING)]
        listed = ", ".join(f"`{name}`" for name in names[:10])
        return [IgnoredFiles.at(f"ignored in `{self._path}`, not arrays: {listed}", paths=names)] if names else []

    def _assumptions(self) -> list[Diagnostic]:
        notes = []
        for dtype in sorted({m.text for m in self._members_by_path.values()} & ANONYMOUS.keys()):
            paths = [format_path(path) for path, member in self._members_by_path.items() if member.text == dtype]
            message = f"`{paths[0]}` and {len(paths) - 1} more" if len(paths) > 1 else f"`{paths[0]}`"
            what = f"{message}: NumPy keeps no name for the dtype (`{dtype}`); read as {ANONYMOUS[dtype]}"
            notes.append(ReaderAssumption.at(what, paths=paths))
        return notes

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value; an array without compression and in native byte order is a view of the file.

        Raises:
          CheckpointError: the bytes do not match the archive's checksum.
        """
        import numpy as np

        member = self._members_by_path[stored]
        content = self._content(member)
        flat = np.frombuffer(content, member.dtype) if member.nbytes else np.empty(0, member.dtype)
        array = flat.reshape(member.shape, order="F" if member.fortran else "C")
        return str(array[()]) if member.is_text else array.astype(array.dtype.newbyteorder("="), copy=False)

    def _content(self, member: _Member) -> Any:
        if member.info.compress_type == zipfile.ZIP_STORED:
            begin = self._offset(member.info)
            content = self._data[begin : begin + member.info.file_size]
            self._check([content], member.info)
            return memoryview(content)[member.start :]
        try:
            return self._inflated(member)
        except _ZIP_ERRORS as error:
            raise damaged(self._path, f"`{member.info.filename}` cannot be decompressed ({error})") from error

    def _check(self, parts: Iterable[bytes], info: zipfile.ZipInfo) -> None:
        found = 0
        for part in parts:
            found = zlib.crc32(part, found)
        if found != info.CRC:
            raise damaged(self._path, f"the checksum of `{info.filename}` does not match")

    def _inflated(self, member: _Member) -> bytearray:
        content, filled = bytearray(member.nbytes), 0
        with self._archive.open(member.info) as file:
            file.read(member.start)
            while part := file.read(_READ_BYTES):
                content[filled : filled + len(part)] = part
                filled += len(part)
        if filled != member.nbytes:
            raise EOFError(f"it ends after {filled} bytes")
        return content

    def _offset(self, info: zipfile.ZipInfo) -> int:
        """Returns the offset of a member's bytes, which follow a second header of variable length."""
        head = self._data[info.header_offset : info.header_offset + _LOCAL_BYTES]
        lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        begin = info.header_offset + _LOCAL_BYTES + lengths
        if not head.startswith(b"PK\x03\x04") or begin + info.file_size > len(self._data):
            raise damaged(self._path, f"`{info.filename}` is truncated")
        return begin

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:
        """Where an array's bytes are stored; None if compressed, in Fortran order or not in native byte order.

        Raises:
          CheckpointError: the bytes do not match the archive's checksum.
        """
        member = self._members_by_path[stored]
        if member.opaque is not None:
            return None
        plain = member.dtype.isnative and not member.fortran and not member.is_text
        if member.info.compress_type != zipfile.ZIP_STORED or not plain:
            return None
        begin = self._offset(member.info)
        end = begin + member.info.file_size
        parts = (self._data[start : min(start + _READ_BYTES, end)] for start in range(begin, end, _READ_BYTES))
        self._check(parts, member.info)
        return (Extent(self._path, begin + member.start, member.nbytes),)

    def files(self) -> tuple[Path, ...]:
        """The archive."""
        return (self._path,)

    def close(self) -> None:
        """Releases the archive; values that were read stay valid."""
        self._archive.close()


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(readable(path))
    except _ZIP_ERRORS as error:
        raise damaged(path, f"it is not a complete zip archive ({error})") from error


def _dtype(text: object, shape: tuple[int, ...]) -> np.dtype[Any]:
    """Returns the dtype of the bytes; text without dimensions is one string leaf.

    Raises:
      UnknownDtypeError: no leaf can have this dtype.
    """
    import numpy as np

    if isinstance(text, str) and text[:2] in ("<U", ">U") and text[2:].isdecimal() and not shape:
        return np.dtype(text)
    return stored_dtype(ANONYMOUS.get(text, text) if isinstance(text, str) else text)


def _refused(name: str, path: Path, dtype: str) -> Diagnostic:
    message = f"`{name}` of `{path}` has the dtype `{dtype}`, which no array of JAX has"
    return UnsupportedLeaf.at(message, paths=(name,), help="save it with another dtype, or leave it out")


def _storage(info: zipfile.ZipInfo) -> Storage:
    codec = "deflate" if info.compress_type == zipfile.ZIP_DEFLATED else None
    return Storage("npy", codec=codec, nbytes=info.compress_size)


def _leaf(member: _Member) -> AbstractLeaf:
    storage = _storage(member.info)
    if member.opaque is not None:
        return member.opaque
    if member.is_text:
        return AbstractLeaf("string", storage=storage)
    return AbstractLeaf("array", AbstractArray(member.shape, dtypes.from_numpy(member.dtype)), storage=storage)
