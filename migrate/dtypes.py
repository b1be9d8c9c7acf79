"""One name per element type, readable without numpy.

Plans, reports and rule files speak of dtypes by name (`float32`, `bfloat16`, `key<fry>`), so that everything above the
array floor works without importing numpy. A typed PRNG key has no NumPy dtype of its own; here it is a structured
dtype whose single field is named after the key's implementation and holds its words. Shapes then mean what they
mean in JAX (a key of shape `()` is one element), and every structural operation works on keys as on any other array.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

KEY_WORDS = {"fry": 2, "rbg": 4, "urbg": 4}
"""Words (uint32) of one key, by the short name that JAX prints: `key<fry>` is threefry2x32."""

KEY_IMPLS = {"fry": "threefry2x32", "rbg": "rbg", "urbg": "unsafe_rbg"}
"""JAX's implementation names, by the short name."""

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
"""Dtypes whose elements have less than a byte of meaning; what a file holds for one is its format's business."""

NAMES = tuple(_ITEM_BYTES)
"""Every dtype name that a leaf can have."""


def item_bytes(name: str) -> int:
    """Bytes of one element in host memory (int4 and its like take a whole byte there).

    Raises:
      KeyError: the name is not one of `NAMES`.
    """
    return _ITEM_BYTES[name]


def key_impl(name: str) -> str | None:
    """The short implementation name of a key dtype (`key<fry>` → `fry`), or None for every other dtype."""
    return name[4:-1] if name.startswith("key<") else None


def key_name(impl: str) -> str:
    """The dtype name of a key, from JAX's long or short implementation name (`threefry2x32` → `key<fry>`).

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
    """The NumPy dtype of a name; keys become a structured dtype (see the module's docstring).

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
    """The name of a NumPy dtype, whatever its byte order.

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
    """The family of a dtype that `migrate.dtypes.is_name` knows."""
    family = _parts(dtype)[0]
    return "float" if family == "bfloat" else family  # type: ignore[return-value]


def int_bounds(dtype: str) -> tuple[int, int]:
    """The least and the greatest value of a bool or an integer dtype; both belong to it."""
    family, digits = _parts(dtype)
    if family == "bool":
        return 0, 1
    bits = int(digits)
    return (0, 2**bits - 1) if family == "uint" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def holds(dtype: str, value: float) -> bool:
    """Whether a bool or an integer dtype has this very value; floating-point dtypes take the nearest that they have."""
    match kind(dtype):
        case "key":
            return False
        case "bool" | "int" | "uint":
            low, high = int_bounds(dtype)
            return value == value and low <= value <= high and value == int(value)
        case "float" | "complex":
            return True
