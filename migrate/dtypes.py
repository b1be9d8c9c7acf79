"""Dtype names that work without NumPy.

Plans, reports and rule files identify dtypes by name (`float32`, `bfloat16`, `key<fry>`), so that most of the package
does not import NumPy. A typed PRNG key has no NumPy dtype of its own; here it is a structured dtype with one field,
which is named after the key's implementation and contains its words. Shapes then mean the same as in JAX (a key of
shape `()` is one element), and structural ops work on keys as on any other array.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

KEY_WORDS = {"fry": 2, "rbg": 4, "urbg": 4}
"""The number of uint32 words in a key, by the short name that JAX prints: `key<fry>` is threefry2x32."""

KEY_IMPLS = {"fry": "threefry2x32", "rbg": "rbg", "urbg": "unsafe_rbg"}
"""JAX's implementation names by short name."""

_ITEM_BYTES = {
    "bool": 1,
    **{f"{kind}{bits}": bits // 8 for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"{kind}{bits}": 1 for kind in ("int", "uint") for bits in (2, 4)},
    **{f"float{bits}": bits // 8 for bits in (16, 32, 64)},
    "bfloat16": 2,
    "complex64": 8,
    "complex128": 16,
    **dict.fromkeys(
        (
            "float8_e3m4",
            "float8_e4m3",
            "float8_e4m3b11fnuz",
            "float8_e4m3fn",
            "float8_e4m3fnuz",
            "float8_e5m2",
            "float8_e5m2fnuz",
            "float8_e8m0fnu",
            "float6_e2m3fn",
            "float6_e3m2fn",
            "float4_e2m1fn",
        ),
        1,
    ),
    **{f"key<{impl}>": 4 * words for impl, words in KEY_WORDS.items()},
}

SUB_BYTE = frozenset(
    name
    for name in _ITEM_BYTES
    if name in ("int2", "int4", "uint2", "uint4") or name.startswith(("float4_", "float6_"))
)
"""Dtypes with less than eight significant bits per element; each file format stores them in its own way."""

NAMES = tuple(_ITEM_BYTES)
"""All dtype names that a leaf can have."""


def item_bytes(name: str) -> int:
    """Returns the size of one element in host memory in bytes (int4 and similar dtypes take one byte).

    Raises:
      KeyError: the name is not one of `NAMES`.
    """
    return _ITEM_BYTES[name]


def key_impl(name: str) -> str | None:
    """Returns the short implementation name of a key dtype (`key<fry>` → `fry`), or None for other dtypes."""
    return name[4:-1] if name.startswith("key<") else None


def key_name(impl: str) -> str:
    """Returns the dtype name of a key from JAX's long or short implementation name (`threefry2x32` → `key<fry>`).

    Raises:
      KeyError: JAX has no such implementation.
    """
    short = {long: short for short, long in KEY_IMPLS.items()}.get(impl, impl)
    if short not in KEY_WORDS:
        raise KeyError(impl)
    return f"key<{short}>"


def is_name(name: str) -> bool:
    """Whether a leaf can have this dtype."""
    return name in _ITEM_BYTES


def to_numpy(name: str) -> np.dtype[np.generic]:
    """Returns the NumPy dtype of a name; a structured dtype for keys (see the module's docstring).

    Raises:
      KeyError: the name is not one of `NAMES`.
    """
    import ml_dtypes
    import numpy as np

    if name not in _ITEM_BYTES:
        raise KeyError(name)
    impl = key_impl(name)
    if impl is not None:
        return np.dtype([(impl, "<u4", (KEY_WORDS[impl],))])
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def from_numpy(dtype: np.dtype[np.generic]) -> str:
    """Returns the name of a NumPy dtype of any byte order.

    Raises:
      KeyError: no leaf can have this dtype (objects, datetimes, foreign structures).
    """
    if dtype.names is not None and len(dtype.names) == 1 and dtype.names[0] in KEY_WORDS:
        return f"key<{dtype.names[0]}>"
    if dtype.name not in _ITEM_BYTES:
        raise KeyError(str(dtype))
    return dtype.name


Kind = Literal["bool", "int", "uint", "float", "complex", "key"]

_NAME = re.compile(r"(bool|int|uint|float|bfloat|complex|key)(\d*)")


def _parts(dtype: str) -> tuple[str, str]:
    found = _NAME.match(dtype)
    assert found is not None, dtype
    return found[1], found[2]


def kind(dtype: str) -> Kind:
    """Returns the family of a dtype in `NAMES`."""
    family = _parts(dtype)[0]
    return "float" if family == "bfloat" else family  # type: ignore[return-value]


def int_bounds(dtype: str) -> tuple[int, int]:
    """Returns the smallest and the largest value of a bool or integer dtype, both inclusive."""
    family, digits = _parts(dtype)
    if family == "bool":
        return 0, 1
    bits = int(digits)
    return (0, 2**bits - 1) if family == "uint" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def holds(dtype: str, value: float) -> bool:
    """Whether a bool or integer dtype represents the value exactly; true for floating-point dtypes, which round it."""
    match kind(dtype):
        case "key":
            return False
        case "bool" | "int" | "uint":
            low, high = int_bounds(dtype)
            return value == value and low <= value <= high and value == int(value)
        case "float" | "complex":
            return True


NARROWED = {"float64": "float32", "complex128": "complex64", "int64": "int32", "uint64": "uint32"}
"""The dtypes that JAX replaces by others unless x64 is on."""


def is_narrowed(wide: str, narrow: str) -> bool:
    """Returns whether `narrow` is what JAX makes of `wide` without x64."""
    return NARROWED.get(wide) == narrow
