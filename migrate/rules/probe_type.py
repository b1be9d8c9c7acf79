"""The type of `probe`: the name of a function, or a mapping that also gives tolerances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from migrate.errors import Span
from migrate.rules.field_types import CALLABLE, Field, FieldType, JsonSchema, MappingType, ReadContext
from migrate.rules.source import MapNode, Node, ScalarNode


@dataclass(frozen=True, slots=True)
class ProbeFields:
    """A probe of a rule file: the function, the location of its name, and the tolerances that the file gives."""

    function: str
    span: Span
    atol: float | None = None
    rtol: float | None = None


@final
@dataclass(frozen=True)
class ToleranceType(FieldType):
    """A finite number that is not negative; YAML reads `1e-5`, without a point, as text."""

    def phrase(self) -> str:
        return "a number such as `1e-5` that is not negative"

    def read(self, node: Node, context: ReadContext) -> float | None:
        value = _number(node)
        if value is None or not 0 <= value < math.inf:
            self.reject(node, context)
            return None
        return value

    def json(self) -> JsonSchema:
        return {"type": ["number", "string"], "minimum": 0}


def _number(node: Node) -> float | None:
    if not isinstance(node, ScalarNode) or isinstance(node.value, bool) or node.value is None:
        return None
    try:
        return float(node.value)
    except (TypeError, ValueError):
        return None


PROBE = MappingType(
    "a probe",
    (
        Field("function", CALLABLE, "the function, as `module:function`", required=True),
        Field("atol", ToleranceType(), "the absolute tolerance (default: 1e-5)"),
        Field("rtol", ToleranceType(), "the tolerance relative to the old output (default: 1e-5)"),
    ),
)


@final
@dataclass(frozen=True)
class ProbeType(FieldType):
    """The name of a function, or a mapping of the fields of `PROBE`."""

    def phrase(self) -> str:
        return "`module:callable`, or a mapping of `function`, `atol` and `rtol`"

    def read(self, node: Node, context: ReadContext) -> ProbeFields | None:
        if not isinstance(node, MapNode):
            if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
                self.reject(node, context)
                return None
            function = CALLABLE.read(node, context)
            return None if function is None else ProbeFields(function, node.span)
        before = len(context.findings)
        record = PROBE.read(node, context)
        if record is None or len(context.findings) > before:
            return None
        place = next(value.span for key, value in node.entries if key.text == "function")
        return ProbeFields(record.get("function"), place, record.get("atol"), record.get("rtol"))

    def json(self) -> JsonSchema:
        return {"anyOf": [CALLABLE.json(), PROBE.json()]}
