"""The names that `from:` binds, and which of them an op takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migrate.codes import UnboundInput
from migrate.errors import Diagnostic, did_you_mean, listed
from migrate.ops.base import Op
from migrate.rules.model import Move, RuleOp


def names_taken(op: Op, move: Move) -> tuple[str, ...]:
    """Returns the names of the arrays that an op combines, in the order of its inputs.

    They are those of its `of:`, or those of its inputs that the rule binds. In a rule that binds no names, each pattern
    of `from:` is an input, in order.
    """
    if op.names or not move.names or not op.inputs:
        return op.names or move.bound
    return tuple(one.name for one in op.inputs if one.name in move.names)


def input_problems(move: Move) -> Iterator[Diagnostic]:
    """Yields the inconsistencies between the names that a rule binds and those that its ops take."""
    open_names = list(move.bound)
    for rule_op in move.ops:
        problem = _problem(rule_op, move, open_names)
        if problem is not None:
            yield problem
            return
        if rule_op.op.combines:
            gone = names_taken(rule_op.op, move)[1:]
            open_names = [name for name in open_names if name not in gone]
    if move.names and len(open_names) > 1:
        names = listed(open_names[1:], 3)
        message = f"`from` binds {names}, and no op takes {'it' if len(open_names) == 2 else 'them'}"
        yield UnboundInput.at(message, span=move.span, help=f"let an op take it: `of: [{', '.join(open_names)}]`")


def _problem(rule_op: RuleOp, move: Move, open_names: Sequence[str]) -> Diagnostic | None:
    op, span = rule_op.op, rule_op.names_span or rule_op.span
    named = op.names or ((rule_op.of,) if rule_op.of else ())
    unknown = next((name for name in named if name not in move.names), None)
    if unknown is not None:
        known = f"`from` binds {listed(move.names, 5)}" if move.names else "bind it: `from: {name: pattern, …}`"
        message = f"`{op.name}` takes `{unknown}`, which `from` does not bind"
        return UnboundInput.at(message, span=span, label=did_you_mean(unknown, move.names), help=known)
    gone = next((name for name in named if name not in open_names), None)
    if gone is not None:
        return UnboundInput.at(f"`{op.name}` takes `{gone}`, which an op before it has combined", span=span)
    if not op.combines:
        return None
    return _unbound(op, names_taken(op, move), move, rule_op)


def _unbound(op: Op, taken: Sequence[str], move: Move, rule_op: RuleOp) -> Diagnostic | None:
    """Returns the diagnostic about an op that gets fewer or more arrays than it takes; None if they fit."""
    required = [one.name for one in op.inputs if one.required]
    inputs = ", ".join(f"{one.name}{'' if one.required else '?'}" for one in op.inputs)
    span = rule_op.names_span or rule_op.span
    by_name = bool(move.names) and not op.names
    lacking = [name for name in required if name not in taken] if by_name else required[len(taken) :]
    if lacking:
        message = f"`{op.name}` takes {listed(lacking, 3)}, which `from` does not bind"
        binding = ", ".join(f'{name}: "…"' for name in required)
        others = [name for name in move.names if name not in required]
        near = did_you_mean(lacking[0], others)
        advice = f"bind them: `from: {{{binding}}}`"
        if len(others) == len(lacking):
            order = [name if name in taken else others[lacking.index(name)] for name in required]
            advice += f", or name them in the order of {inputs}: `of: [{', '.join(order)}]`"
        return UnboundInput.at(message, span=span, label=near, help=advice)
    if op.inputs and len(taken) > len(op.inputs):
        message = f"`{op.name}` takes {len(op.inputs)} arrays ({inputs}), and gets {len(taken)}"
        return UnboundInput.at(message, span=span, help="bind names in `from`, and give it those that it takes in `of`")
    if len({*taken}) < max(len(taken), 2):
        message = f"`{op.name}` takes two different arrays or more"
        return UnboundInput.at(message, span=span, help="bind them: `from: {one: pattern, other: pattern}`")
    return None
