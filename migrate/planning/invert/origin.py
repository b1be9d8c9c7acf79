"""The old tree of a rule file, from the rules and the new tree alone.

Every rule is read backwards: its reversed patterns find the leaves that it wrote, and its ops, undone for shapes, give
the leaves that it read. Leaves that no rule wrote have kept their key path. What the rules dropped is not in the tree,
except for leaves that had to equal another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from migrate.codes import AmbiguousReversal, IdlePattern, IrreversibleRule, OpMismatch
from migrate.errors import Diagnostic, PlanError
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.claims import Claims, claim_leaves
from migrate.planning.guards import ABOUT_SOURCE
from migrate.planning.invert.patterns import reverse
from migrate.planning.invert.undone import Undone
from migrate.planning.planner import make_plan
from migrate.rules.expression import PatternError
from migrate.rules.model import Create, Drop, Guard, Move, Rule, RuleSet, Target
from migrate.rules.pattern import Pattern
from migrate.rules.syntax import Capture, LiteralText, parse_segments
from migrate.tree import AbstractTree, format_path

TO_ADD = (
    "`--template OLD`, the old model or its recorded tree, gives what the rules do not; or write the file that leads "
    "back from an old checkpoint, with `migrate invert RULES OLD -o back.yaml`"
)


@dataclass(frozen=True, slots=True)
class _Backwards:
    """A rule read backwards, and the rule itself."""

    rule: Rule
    back: Move | Drop


def origin_tree(rules: RuleSet, new: AbstractCheckpoint) -> AbstractTree:
    """Returns the tree to which a rule file was applied, where it wrote the tree of a checkpoint.

    Args:
      rules: the rule file.
      new: the checkpoint that it, or a model that was trained from there, wrote.

    Raises:
      PlanError: a rule cannot be read backwards (`IrreversibleRule`), two rules may have written a leaf
        (`AmbiguousReversal`), or the rules do not fit the checkpoint.
    """
    backwards, problems = _read_backwards(rules.rules)
    backwards = _without_excepted(backwards, new.tree)
    backwards, ambiguous = _told_apart(backwards, new.tree)
    problems += ambiguous
    if ambiguous:
        raise PlanError(*problems)
    derived = replace(
        rules,
        digest="",
        rules=tuple(one.back for one in backwards),
        source=Guard(),
        target=Target(),
        unmatched_source="error",
        config=(),
    )
    plan = make_plan(new, derived, None, link=False)
    found = [one for one in plan.diagnostics if one.is_error and one.code not in ABOUT_SOURCE]
    problems += dict.fromkeys(_as_reversal(one) for one in found)
    if problems:
        raise PlanError(*problems)
    return _with_copies(rules, derived, replace(new, items={"": plan.target}))


def _with_copies(rules: RuleSet, derived: RuleSet, old: AbstractCheckpoint) -> AbstractTree:
    """Returns the old tree with the leaves that were dropped as equal to others, each with the moments of a copy."""
    drops = [rule for rule in rules.rules if isinstance(rule, Drop) and rule.equal is not None and not rule.optional]
    copies = [_Backwards(rule, copy) for rule in drops for copy in _copies(rule)]
    tree = old.items[""]
    if not copies:
        return tree
    copying = tuple(one.back for one in _without_excepted(copies, tree))
    plan = make_plan(old, replace(derived, rules=copying), None, link=False)
    found = [one for one in plan.diagnostics if one.is_error and one.code not in ABOUT_SOURCE]
    if found:
        raise PlanError(*dict.fromkeys(map(_as_reversal, found)))
    return plan.target


def _copies(rule: Drop) -> Iterator[Move]:
    """Yields the moves that make the leaves which a rule drops of those that they equal; none for a pattern with a
    capture that the other leaf does not determine.
    """
    assert rule.equal is not None
    for pattern in rule.sources:
        back = _moved(Move((pattern,), (rule.equal,), rule.span, rule.ops))
        if back is not None:
            yield replace(back, copy=True, optional=True)


def _read_backwards(rules: Sequence[Rule]) -> tuple[list[_Backwards], list[Diagnostic]]:
    """Returns the rules backwards, with what they create first; drops have nothing to lead back."""
    problems = [_forward_only(rule) for rule in rules if isinstance(rule, Move) and not (rule.reverse or rule.optional)]
    rules = [rule for rule in rules if not isinstance(rule, Move) or rule.reverse]
    created = [_Backwards(rule, _created(rule)) for rule in rules if isinstance(rule, Create)]
    created += [_Backwards(rule, _tied(rule)) for rule in rules if isinstance(rule, Move) and _is_tie(rule)]
    moved: list[_Backwards] = []
    for rule in rules:
        if isinstance(rule, Move):
            back = _moved(rule)
            if back is None:
                problems.append(_irreversible(rule))
            else:
                moved.append(_Backwards(rule, back))
    return [*created, *moved], problems


def _created(rule: Create) -> Drop:
    return Drop(rule.targets, rule.span, rule.excepts, optional=True, left_out=rule.left_out)


def _is_tie(rule: Move) -> bool:
    """Whether one array becomes several targets, all of which are equal to the first."""
    return len(rule.targets) > 1 and not any(op.op.role == "extend" and op.over is None for op in rule.ops)


def _tied(rule: Move) -> Drop:
    """Returns what leaves the targets behind that are assumed to equal the first."""
    others = [reverse(replace(rule, targets=(target,)), ()) for target in rule.targets[1:]]
    return Drop(tuple(Pattern.parse(found.sources[0]) for found in others if found), rule.span, optional=True)


def _moved(rule: Move) -> Move | None:
    """Returns a move backwards; None where its patterns do not determine the source."""
    found = reverse(rule, ())
    if found is None:
        return None
    return replace(
        rule,
        sources=tuple(map(Pattern.parse, found.sources)),
        targets=tuple(map(Pattern.parse, found.targets)),
        ops=tuple(replace(one, op=Undone(one.op)) for one in reversed(rule.ops)),
        excepts=(),
        left_out=(),
        names=(),
        maybe=frozenset(),
        copy=False,
        moments=rule.moments or "follow",
    )


def _forward_only(rule: Move) -> Diagnostic:
    """Returns the finding about a rule that always applies and does not lead back."""
    message = f"{_described(rule)} is marked `reverse: false`, so that its leaves cannot be led back"
    return IrreversibleRule.at(message, span=rule.span, help=TO_ADD)


def _described(rule: Move) -> str:
    left, right = (", ".join(map(str, side)) for side in (rule.sources, rule.targets))
    return f"the rule `{left} -> {right}`"


def _irreversible(rule: Move) -> Diagnostic:
    if any(pattern.is_regex for pattern in rule.sources):
        why = "a regular expression cannot be filled"
        cure = "write `from:` with captures, such as `{i:int where i%2==0}`; or "
    else:
        why, cure = "its right-hand side does not determine its left-hand side", ""
    return IrreversibleRule.at(f"{_described(rule)} cannot be reversed: {why}", span=rule.span, help=f"{cure}{TO_ADD}")


def _without_excepted(backwards: Iterable[_Backwards], tree: AbstractTree) -> list[_Backwards]:
    """Returns the rules without the leaves that their `except:` leaves to others."""
    found = []
    for one in backwards:
        rule, back = one.rule, one.back
        if isinstance(back, Move) and (rule.excepts or rule.left_out):
            others = tuple(_excepted_leaves(rule, back, tree))
            back = replace(back, left_out=others)
        found.append(_Backwards(rule, back))
    return found


def _excepted_leaves(rule: Rule, back: Move, tree: AbstractTree) -> Iterator[Pattern]:
    for claim in claim_leaves([back], tree).by_rule[0]:
        for pattern in back.targets:
            try:
                path = pattern.fill({**claim.bindings, **dict.fromkeys(pattern.names - claim.bindings.keys(), "0")})
            except PatternError:
                continue
            if any(one.match(path) is not None for one in (*rule.excepts, *rule.left_out)):
                yield Pattern.parse(format_path(claim.path))
                break


def _told_apart(backwards: Sequence[_Backwards], tree: AbstractTree) -> tuple[list[_Backwards], list[Diagnostic]]:
    """Returns the rules so that each leaf has one: what is created precedes what is moved, and a more specific pattern
    precedes a more general one.
    """
    found = list(backwards)
    problems: list[Diagnostic] = []
    for first, second in _rivals(claim_leaves([one.back for one in found], tree)):
        ranks = [_generality(found[at]) for at in (first, second)]
        if ranks[0] == ranks[1]:
            problems.append(_ambiguous(found[first].rule, found[second].rule))
            continue
        winner, loser = (first, second) if ranks[0] < ranks[1] else (second, first)
        back = found[loser].back
        found[loser] = replace(found[loser], back=replace(back, left_out=(*back.left_out, *found[winner].back.sources)))
    return found, problems


def _rivals(claims: Claims) -> list[tuple[int, int]]:
    """Returns the pairs of rules that claim one leaf."""
    claimants: dict[tuple[str, ...], list[int]] = {}
    for index, members in claims.by_rule.items():
        for claim in members:
            claimants.setdefault(claim.path, []).append(index)
    pairs = [(a, b) for indices in claimants.values() for a in indices for b in indices if a < b]
    return list(dict.fromkeys(pairs))


def _generality(one: _Backwards) -> tuple[int, ...]:
    """Returns a number that is smaller for rules that match less: created leaves, then fewer wildcards of any length,
    then more literal text, to which the shortest of the choices of a capture counts.
    """
    parts = [part for pattern in one.back.sources for segment in parse_segments(pattern.text) for part in segment]
    rests = sum(isinstance(part, Capture) and part.kind == "rest" for part in parts)
    literal = sum(len(part.text) for part in parts if isinstance(part, LiteralText))
    literal += sum(min(map(len, part.choices)) for part in parts if isinstance(part, Capture) and part.choices)
    optional = isinstance(one.rule, Move) and one.rule.optional
    return (not isinstance(one.back, Drop), rests, -literal, optional)


def _ambiguous(first: Rule, second: Rule) -> Diagnostic:
    target = first.targets[0] if isinstance(first, Move | Create) else ""
    return AmbiguousReversal.at(
        f"`{target}` may have been written by this rule or by the one at {first.span}",
        span=second.span,
        help=f"mark the one that does not lead back with `reverse: false`; or {TO_ADD}",
    )


def _as_reversal(found: Diagnostic) -> Diagnostic:
    """Returns a finding about a rule that is read backwards, as one about the reversal."""
    if found.code == IdlePattern.number:
        pattern = found.message.split("`")[1]
        message = f"`{pattern}` has nothing to lead back: no leaf of the checkpoint is its target"
        return replace(found, message=message)
    if found.span is None or not found.code.startswith(("M2", "M3")):
        return found
    misfit = found.code == OpMismatch.number
    reason = found.message.partition(": ")[2] if misfit else found.message
    return IrreversibleRule.at(f"the rule cannot be reversed: {reason}", span=found.span, help=TO_ADD)
