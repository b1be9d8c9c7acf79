"""The header of a safetensors file: eight bytes of length, then JSON with the offsets of each tensor's bytes.

Everything in it is checked against the size of the file: tensors must fill the rest of the file without a gap, in any
order, and each must have as many bytes as its shape and dtype need.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeGuard

from migrate import dtypes
from migrate.codes import UnsupportedLeaf
from migrate.errors import CheckpointError
from migrate.formats.files import damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LENGTH_BYTES = 8
ALIGNMENT = 8
"""Headers are padded with spaces to a multiple of this."""

HEADER_BYTES = 100_000_000
"""The longest header; the format's own library refuses longer ones."""

METADATA = "__metadata__"
"""The entry of the header that is not a tensor."""

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
"""The format's names for dtypes, in the reverse of their order in a file."""

_PACKED = ("F4", "F6_E2M3", "F6_E3M2")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its dtype (migrate's name), its shape, and the offset of its bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Header:
    """The content of a header."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def read_header(data: Any, path: Path) -> Header:
    """Returns the header of a mapped file.

    Args:
      data: the file's bytes; only the header's are read.
      path: its name, for errors.

    Raises:
      CheckpointError: it contradicts itself or the file's size (`DamagedFile`), or has dtypes that no array of JAX has
        (`UnsupportedLeaf`); all such tensors are named.
    """
    size = len(data)
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    start = LENGTH_BYTES + length
    if size < LENGTH_BYTES or length > HEADER_BYTES or start > size:
        raise damaged(path, f"its header claims {length} bytes, and the file has {size}")
    fields = _parse(data[LENGTH_BYTES:start], path)
    metadata = fields.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise damaged(path, f"`{METADATA}` is not a mapping of text to text")
    _refuse_dtypes(fields, path)
    tensors = {name: _tensor(name, entry, start, path) for name, entry in fields.items()}
    _check_coverage(tensors.values(), start, size, path)
    return Header(tensors, metadata)


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise damaged(path, "a name occurs twice in its header")
        return fields

    try:
        fields = json.loads(text.decode(), object_pairs_hook=unique)
        "".join(fields).encode()  # refuses lone surrogates, which UTF-8 cannot encode
    except RecursionError as error:
        raise damaged(path, "its header is nested too deeply") from error
    except (ValueError, TypeError) as error:
        raise damaged(path, f"its header is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise damaged(path, "its header is not a JSON object")
    return fields


def _refuse_dtypes(fields: Mapping[str, Any], path: Path) -> None:
    problems = []
    for name, entry in fields.items():
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        if isinstance(dtype, str) and dtype not in DTYPES:
            packed = "it packs several values into a byte, in an order that the format does not specify"
            why = packed if dtype in _PACKED else "no array of JAX has it"
            message = f"`{name}` of `{path}` has the dtype `{dtype}`: {why}"
            problems.append(
                UnsupportedLeaf.at(message, paths=(name,), help="save it with another dtype, or leave it out")
            )
    if problems:
        raise CheckpointError(*problems)


def _tensor(name: str, entry: Any, start: int, path: Path) -> Tensor:
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise damaged(path, f"the entry of `{name}` is not a dtype, a shape and two offsets", paths=(name,))
    known, (begin, end) = DTYPES[dtype], offsets
    nbytes = prod(shape) * dtypes.item_bytes(known)
    if end - begin != nbytes:
        raise damaged(path, f"`{name}` has {end - begin} bytes, and its shape needs {nbytes}", paths=(name,))
    return Tensor(known, tuple(shape), start + begin, nbytes)


def _are_sizes(numbers: Any) -> TypeGuard[list[int]]:
    return isinstance(numbers, list) and len(numbers) <= 64 and all(type(n) is int and n >= 0 for n in numbers)


def _check_coverage(tensors: Iterable[Tensor], start: int, size: int, path: Path) -> None:
    position = start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if tensor.offset != position:
            raise damaged(path, f"its tensors overlap or leave a gap at byte {position}")
        position += tensor.nbytes
    if position != size:
        raise damaged(path, f"its tensors end at byte {position}, and the file has {size}")


def write_header(tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Returns the header of a new file, as the format's own library writes it; data follow in the order of its entries.

    Args:
      tensors: dtype (migrate's name) and shape by name.
      metadata: names and values, both text.
    """
    names = {ours: theirs for theirs, ours in DTYPES.items()}
    fields: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
    position = 0
    for name in file_order({name: dtype for name, (dtype, _) in tensors.items()}):
        dtype, shape = tensors[name]
        end = position + prod(shape) * dtypes.item_bytes(dtype)
        fields[name] = {"dtype": names[dtype], "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def file_order(dtypes_by_name: Mapping[str, str]) -> list[str]:
    """Returns names in the order of their tensors in a file: widest dtypes first, so that each is aligned."""
    rank = {dtype: -position for position, dtype in enumerate(DTYPES.values())}
    return sorted(dtypes_by_name, key=lambda name: (rank[dtypes_by_name[name]], name.encode()))
