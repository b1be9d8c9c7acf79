"""An op as the text of a rule file."""

from __future__ import annotations

import math
import re
from dataclasses import MISSING, fields
from typing import Any

from migrate.ops.base import Op
from migrate.planning.rule_text.doubt import OpText
from migrate.planning.rule_text.write import quoted

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def op_text(op: Op, over: str | None = None) -> OpText:
    """The op as it stands between braces; fields that have their defaults are left out."""
    defaults = {field.name: field.default for field in fields(op)}  # type: ignore[arg-type]  # every op is a dataclass
    values = {param.name: getattr(op, param.name) for param in op.params}
    parts = [
        f"{param.name}: {_value(param.type, values[param.name])}"
        for param in op.params
        if defaults[param.name] is MISSING or values[param.name] != defaults[param.name] or param.name == "axis"
    ]
    parts += [f"over: {over}"] if over else []
    return f"{op.name}: {{{', '.join(parts)}}}"


def _value(kind: str, value: Any) -> str:
    if kind == "sizes":
        return "{" + ", ".join(f"{name}: {size}" for name, size in value) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_value("", item) for item in value) + "]"
    if kind == "number" or (kind == "arithmetic" and not isinstance(value, str)):
        return number_text(int(value) if isinstance(value, bool) else value)
    if kind == "dtype" and _PLAIN.fullmatch(value):
        return str(value)
    return quoted(value)


def number_text(value: float) -> str:
    """A number, or a boolean, as YAML. YAML reads `1e-05` and `inf` as text: a float has a point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}{exponent}{power}"
