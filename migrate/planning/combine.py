"""The calls of ops that combine unlike arrays: each weight with its own scale, or a base with its adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrate.codes import MissingInput
from migrate.errors import listed
from migrate.ops.base import Op
from migrate.ops.keep import Keep
from migrate.planning.elements import Element, GatherError, combinations
from migrate.rules.expression import PatternError
from migrate.rules.input_names import names_taken
from migrate.rules.model import Move, RuleOp
from migrate.tree import format_path


def combined_calls(rule: Move, rule_op: RuleOp, elements: Sequence[Element]) -> list[tuple[Op, tuple[int, ...]]]:
    """Returns the op of each call, with the indices of its arrays.

    Where all arrays but the first may be absent and are, the first is kept.

    Raises:
      GatherError: an array is absent, or there are several for one name (`MissingInput`).
    """
    names, calls = names_taken(rule_op.op, rule), []
    for found in combinations(elements, names):
        present = tuple(name for name in names if name in found)
        _refuse_several(rule_op, found, elements)
        _refuse_absent(rule, rule_op, names, found, elements)
        alone = rule_op.op.role == "combine" and len(present) == 1
        op = Keep() if alone else rule_op.op.called_with(present)
        calls.append((op, tuple(found[name][0] for name in present)))
    return calls


def _refuse_several(rule_op: RuleOp, found: Mapping[str, Sequence[int]], elements: Sequence[Element]) -> None:
    for name, indices in found.items():
        if len(indices) > 1:
            paths = [format_path(elements[index].first) for index in indices]
            message = f"`{rule_op.op.name}` gets {len(paths)} arrays for `{name}`: {listed(paths, 3)}"
            advice = "capture in each pattern of `from` what distinguishes them"
            raise GatherError(MissingInput.at(message, span=rule_op.span, paths=paths, help=advice))


def _refuse_absent(
    rule: Move, rule_op: RuleOp, names: Sequence[str], found: Mapping[str, Sequence[int]], elements: Sequence[Element]
) -> None:
    needed = sum(one.required for one in rule_op.op.inputs) if len(found) > 1 else 1
    absent = [name for at, name in enumerate(names) if name not in found and (at < needed or name not in rule.maybe)]
    if not absent:
        return
    some = [elements[indices[0]] for indices in found.values()]
    paths = [format_path(one.first) for one in some]
    name = absent[0]
    expected = _expected(rule, name, some[0])
    reason = f": {expected} is not in the source" if expected else ""
    advice = "rename the leaf by its own rule, or drop the others"
    if name != names[0] and name not in rule.maybe and rule.names:
        advice = f"if it may be absent, write `{name}?` in `from`"
    raise GatherError(
        MissingInput.at(
            f"`{rule_op.op.name}` has no `{name}` for {listed(paths, 2)}{reason}",
            span=rule_op.span,
            paths=paths,
            help=advice,
        )
    )


def _expected(rule: Move, name: str, beside: Element) -> str | None:
    """Returns the key path that the absent leaf would have; None where its pattern cannot be filled."""
    pattern = rule.sources[rule.bound.index(name)]
    try:
        return f"`{format_path(pattern.fill(beside.captures))}`"
    except PatternError:
        return None
