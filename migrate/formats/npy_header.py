"""The header of an array in NumPy's `.npy` format: dtype, shape and order, before the elements."""

from __future__ import annotations

import ast
import io
from dataclasses import dataclass
from math import prod
from typing import Any

MAGIC = b"\x93NUMPY"
ANONYMOUS = {"<V2": "bfloat16", "|V2": "bfloat16", "|V1": "uint8"}
"""NumPy stores extension dtypes as raw bytes. Only one of them has two bytes; several have one."""
MOST_BYTES = 1 << 16
"""The longest header."""

_VERSIONS = (b"\1\0", b"\2\0", b"\3\0")


class InvalidHeaderError(ValueError):
    """The bytes are not the header of an array."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """The fields of a header; `descr` is NumPy's description of the dtype, a text or a list of fields."""

    descr: Any
    shape: tuple[int, ...]
    fortran: bool

    @property
    def text(self) -> str:
        """The dtype as text."""
        return str(self.descr)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def dtype_is_object(self) -> bool:
        """Whether the elements are pickled objects."""
        return self.text.strip("|<>=").startswith("O")


def header_text(file: Any) -> tuple[str, int]:
    """Returns a header as text, and the number of bytes before the elements.

    Raises:
      InvalidHeaderError: it is none.
    """
    start = file.read(8)
    if not start.startswith(MAGIC) or start[6:] not in _VERSIONS:
        raise InvalidHeaderError("it does not begin as one")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > MOST_BYTES:
        raise InvalidHeaderError(f"it claims {length} bytes")
    return file.read(length).decode("utf-8" if start[6] >= 3 else "latin-1"), 8 + width + length


def parse_header(text: str) -> ArrayHeader:
    """Returns the fields of a header.

    Raises:
      InvalidHeaderError: it cannot be parsed, or the shape is invalid.
    """
    try:
        fields = ast.literal_eval(text.strip())
        descr, shape, fortran = fields["descr"], fields["shape"], fields["fortran_order"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise InvalidHeaderError("it cannot be parsed") from error
    if not isinstance(shape, tuple) or len(shape) > 64 or not all(type(n) is int and n >= 0 for n in shape):
        raise InvalidHeaderError("its shape is invalid")
    return ArrayHeader(descr, shape, bool(fortran))


def read_array_header(content: bytes) -> tuple[ArrayHeader, int]:
    """Returns the header at the start of some bytes, and the number of bytes before the elements.

    Raises:
      InvalidHeaderError: it is none.
    """
    text, length = header_text(io.BytesIO(content))
    return parse_header(text), length
