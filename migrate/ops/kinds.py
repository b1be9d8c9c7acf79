"""What values a dtype can hold, by its name: lets ops refuse at planning time what their values would refuse later."""

from __future__ import annotations

import re
from typing import Literal

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
