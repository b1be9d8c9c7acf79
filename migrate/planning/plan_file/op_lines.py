"""Ops and initial values in plan files: the text that a rule file has for them, read by the types of rule files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from migrate.codes import InvalidValue
from migrate.errors import Diagnostic
from migrate.ops.base import Op
from migrate.ops.registry import PLANNED_OPS
from migrate.planning.model import Step
from migrate.planning.rule_text.ops import number_text, op_text
from migrate.rules.build import build_init
from migrate.rules.field_types import FieldType, FieldValues, ReadContext
from migrate.rules.model import Init, RuleOp
from migrate.rules.op_types import OpList
from migrate.rules.schema import INIT
from migrate.rules.source import ScalarNode, compose


def step_lines(step: Step) -> str | list[str]:
    """Returns the op of a step as an item of `ops:`; a list with the op of each group where they differ."""
    bound = [op_text(op, step.over) for op in step.bound]
    return bound or op_text(step.op, step.over)


def init_line(init: Init) -> str:
    """Returns an initial value as `init:` has it."""
    if init.kind == "constant" and init.value is not None:
        return f"{{constant: {number_text(init.value)}}}"
    return f"{{rng: {{seed: {init.value}}}}}" if init.kind == "rng" else init.kind


def default_groups(op: Op, count: int) -> tuple[tuple[int, ...], ...]:
    """Returns the groups of a step that are not written: all arrays where the op takes several, else each alone."""
    return (tuple(range(count)),) if op.takes_several else tuple((index,) for index in range(count))


class LineReader:
    """Reads ops and initial values; equal texts are read once."""

    def __init__(self) -> None:
        self._ops: dict[str, RuleOp | Diagnostic] = {}

    def op(self, node: ScalarNode, findings: list[Diagnostic]) -> RuleOp | None:
        """Returns the op of a text such as `transpose: {perm: [1, 0]}`; None after a finding."""
        if node.text not in self._ops:
            self._ops[node.text] = _read(OpList(PLANNED_OPS), f"[{{{node.text}}}]", node, "ops", lambda found: found[0])
        found: RuleOp | None = _found(self._ops[node.text], node, findings)
        return found

    def init(self, node: ScalarNode, findings: list[Diagnostic]) -> Init | None:
        """Returns the value of a text such as `zeros` or `{constant: 0.5}`; None after a finding."""
        found: Init | None = _found(_read(INIT, node.text, node, "init", build_init), node, findings)
        return found


def _read(kind: FieldType, text: str, node: ScalarNode, name: str, build: Callable[[Any], Any]) -> Any:
    root, findings = compose(text, node.span.file)
    if root is not None and not findings:
        value = kind.read(root, ReadContext(name, findings))
        whole = isinstance(value, tuple) and len(value) == 1
        if not findings and (whole or isinstance(value, str | FieldValues)):
            return build(value)
    problem = findings[0] if findings else InvalidValue.at(f"`{name}` must be {kind.phrase()}")
    return replace(problem, message=f"`{node.text}`: {problem.message}")


def _found(found: Any, node: ScalarNode, findings: list[Diagnostic]) -> Any:
    if not isinstance(found, Diagnostic):
        return found
    findings.append(replace(found, span=node.span))
    return None
