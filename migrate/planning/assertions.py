"""Drops that assert something: that the leaf is zero, or that another leaf, which is not dropped, has its values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from migrate.codes import InvalidAssertion
from migrate.errors import Diagnostic, did_you_mean
from migrate.ops.base import Op, OpError
from migrate.planning.claims import Claim, Claims
from migrate.planning.model import Dropped
from migrate.rules.expression import PatternError
from migrate.rules.model import Drop, Rule
from migrate.tree import AbstractArray, AbstractTree, KeyPath, format_path


@dataclass(frozen=True, slots=True)
class Drops:
    """The leaves that one rule drops, and why its assertion cannot be checked."""

    dropped: tuple[Dropped, ...]
    diagnostics: tuple[Diagnostic, ...] = ()


def drop_leaves(rule: Drop, claims: Sequence[Claim], tree: AbstractTree) -> Drops:
    """Returns the leaves that a rule drops.

    Args:
      rule: the rule.
      claims: the leaves that it claims.
      tree: the source's tree, in which the leaves are that they are compared with.
    """
    if rule.equal is None:
        return Drops(tuple(Dropped(c.path, c.leaf, rule.assert_zero, rule.span) for c in claims))
    dropped: list[Dropped] = []
    diagnostics: list[Diagnostic] = []
    for claim in claims:
        found = _compared(rule, claim, tree)
        if isinstance(found, Dropped):
            dropped.append(found)
        else:
            dropped.append(Dropped(claim.path, claim.leaf, rule=rule.span))
            diagnostics.append(found)
    return Drops(tuple(dropped), tuple(diagnostics))


def lost_twins(rules: Sequence[Rule], claims: Claims) -> Iterator[Diagnostic]:
    """Yields a finding for each leaf that is dropped as equal to one that a rule drops too."""
    gone = {c.path for at, own in claims.by_rule.items() if isinstance(rules[at], Drop) for c in own}
    for at, own in claims.by_rule.items():
        rule = rules[at]
        if isinstance(rule, Drop) and rule.equal is not None:
            for claim in own:
                yield from _lost_twin(rule, claim, gone)


def _lost_twin(rule: Drop, claim: Claim, gone: Collection[KeyPath]) -> Iterator[Diagnostic]:
    try:
        other = rule.equal.fill(claim.bindings) if rule.equal else ()
    except PatternError:
        return
    if other in gone and other != claim.path:
        name = format_path(claim.path)
        message = f"`{name}` is dropped as equal to `{format_path(other)}`, which is dropped too"
        yield InvalidAssertion.at(message, span=rule.span, paths=(name,), help="name a leaf that is not dropped")


def _compared(rule: Drop, claim: Claim, tree: AbstractTree) -> Dropped | Diagnostic:
    """Returns the drop of one leaf with what it is compared with; or why it cannot be."""
    name = format_path(claim.path)
    assert rule.equal is not None
    try:
        path = rule.equal.fill(claim.bindings)
    except PatternError as error:
        return InvalidAssertion.at(f"`{rule.equal}` cannot be filled: {error}", span=rule.span, paths=(name,))
    other = tree.leaves.get(path)
    if other is None or other.aval is None or claim.leaf.aval is None or path == claim.path:
        near = did_you_mean(format_path(path), [format_path(one) for one in tree.leaves if one != claim.path])
        message = f"`{name}` is asserted to equal `{format_path(path)}`, which is not another array of the source"
        return InvalidAssertion.at(message, span=rule.span, label=near, paths=(name,))
    try:
        ops, made = _bound(rule, claim.leaf.aval, other.aval)
    except OpError as error:
        return InvalidAssertion.at(f"the ops of the assertion do not fit `{name}`: {error}", span=rule.span)
    if made != other.aval:
        message = f"`{name}` is {made}{' after the ops' if ops else ''}, and `{format_path(path)}` is {other.aval}"
        advice = "add the `ops` that make the two alike, such as `ops: [{transpose: {}}]`"
        return InvalidAssertion.at(f"{message}, so that they are not equal", span=rule.span, paths=(name,), help=advice)
    return Dropped(claim.path, claim.leaf, rule=rule.span, equal=path, ops=ops)


def _bound(rule: Drop, aval: AbstractArray, other: AbstractArray) -> tuple[tuple[Op, ...], AbstractArray]:
    """Returns the ops with all fields filled in, and the array that they make.

    Raises:
      OpError: an op does not fit.
    """
    ops: list[Op] = []
    for rule_op in rule.ops:
        op = rule_op.op.bind((aval,), other, None)
        (aval,) = op.infer(aval)
        ops.append(op)
    return tuple(ops), aval
