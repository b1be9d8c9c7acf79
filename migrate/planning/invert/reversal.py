"""A rule file applied in reverse: the rules that lead a checkpoint of the new model back to the old one.

The old tree is that of a template, or it is derived from the rules and the new tree (`origin`). From there on the path
is that of `migrate invert`: the rules are planned on the old tree with the new one as their target, and that plan is
inverted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from migrate.codes import IrreversibleRule, NotRestored
from migrate.errors import Diagnostic, PlanError, Span
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata
from migrate.planning.claims import claim_leaves
from migrate.planning.config import config_name
from migrate.planning.invert.config import applicable_config, invert_config
from migrate.planning.invert.model import Inversion
from migrate.planning.invert.origin import TO_ADD, origin_tree
from migrate.planning.invert.pipeline import invert
from migrate.planning.model import Plan
from migrate.planning.planner import make_plan
from migrate.planning.requirements import check_model, refuse_unmet, resolved
from migrate.planning.stages import calls
from migrate.rules.loader import parse_rules
from migrate.rules.model import Drop, Guard, Move, Rule, RuleSet
from migrate.tree import AbstractTree, KeyPath, format_path


@dataclass(frozen=True, slots=True)
class Reversal:
    """The rules that lead back from one checkpoint.

    Attributes:
      rules: the rules, as a rule file that is not written.
      inversion: the inversion of the rules on the old tree.
      findings: what is not restored, and what the rules require of the model.
    """

    rules: RuleSet
    inversion: Inversion
    findings: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class _NewTree:
    """The tree of the checkpoint, as the target of the rules."""

    tree: AbstractTree
    spec: str = "SRC"
    transforms: frozenset[str] | None = None


def reversal(rules: RuleSet, new: AbstractCheckpoint, old: AbstractTree | None = None) -> Reversal:
    """Returns the rules that lead from a checkpoint back to the tree before a rule file.

    Args:
      rules: the rule file.
      new: the checkpoint to which it led, or one of a model that was trained from there.
      old: the tree that it was applied to (default: derived from the rules and the checkpoint).

    Raises:
      PlanError: a rule cannot be reversed (`IrreversibleRule`, `AmbiguousReversal`), or the rules do not lead from the
        old tree to that of the checkpoint.
      RuleFileError: the model's configuration states a value that an argument cannot have (`InvalidModelArgument`).
    """
    rules = resolved(rules, new)
    about = refuse_unmet(check_model(replace(rules, arguments=()), new))
    unbound = replace(rules, requires=(), arguments=())
    tree = old if old is not None else origin_tree(unbound, new)
    forward = _forward(unbound, new, tree, derived=old is None)
    inversion = invert(forward)
    lost = list(_lost(inversion))
    if any(one.is_error for one in lost):
        raise PlanError(*lost)
    back, unfit = _rules(rules, forward, inversion, new)
    dropped = _dropped(rules, forward, derived=old is None)
    return Reversal(
        back, inversion, (*about, *lost, *_cut_off(forward), *dropped, *_lost_config(rules, inversion), *unfit)
    )


def _rules(
    rules: RuleSet, forward: Plan, inversion: Inversion, new: AbstractCheckpoint
) -> tuple[RuleSet, Sequence[Diagnostic]]:
    """Returns the rules of an inverse file, each at the place of the rule that it reverses, and findings about those
    for the config that do not fit the checkpoint.
    """
    back = parse_rules(inversion.text, f"{rules.path} (reversed)")
    body = "\n".join(line for line in inversion.text.splitlines() if not line.startswith("#"))
    digest = hashlib.sha256(f"reversed {rules.digest}\n{body}".encode()).hexdigest()
    places = {path: task.rule for task in forward.tasks if task.rule for path in task.targets}
    places |= {created.target: created.rule for created in forward.created if created.rule}
    config = zip(back.config, invert_config(forward).places, strict=True)
    kept, unfit = applicable_config([replace(rule, span=place or rule.span) for rule, place in config], new)
    placed = tuple(_placed(back.rules, inversion, places))
    found = replace(back, rules=placed, config=kept, digest=f"sha256:{digest}", arguments=rules.arguments)
    return found, [_unfit(one) for one in unfit]


def _placed(rules: Sequence[Rule], inversion: Inversion, places: Mapping[KeyPath, Span]) -> Iterator[Rule]:
    """Yields rules at the places of the rules that wrote their sources.

    A plan tells its rules apart by their places, so the further rules that reverse one rule end a column later each.
    """
    claims = claim_leaves(rules, inversion.plan.source.tree).by_rule
    counts: Counter[Span] = Counter()
    for index, rule in enumerate(rules):
        span = next((places[claim.path] for claim in claims.get(index, ()) if claim.path in places), None)
        if span is None:
            yield rule
            continue
        found = replace(span, end_column=span.end_column + counts[span])
        counts[span] += 1
        if isinstance(rule, Move):
            ops = tuple(replace(one, span=found, over_span=None) for one in rule.ops)
            yield replace(rule, span=found, ops=ops)
        else:
            yield replace(rule, span=found)


def _forward(rules: RuleSet, new: AbstractCheckpoint, tree: AbstractTree, *, derived: bool) -> Plan:
    """Returns the plan of the rules from the old tree to that of the checkpoint."""
    record = Metadata(model=rules.source.model, version=rules.source.version)
    before = AbstractCheckpoint(
        new.path / "the old checkpoint",
        "orbax",
        {"": tree},
        extras=new.extras,
        metadata=record.to_json(),
        knows_config=False,
    )
    guard = Guard(rules.source.model, rules.source.version, span=rules.source.span)
    target = replace(rules.target, structure=None)
    kept = tuple(replace(rule, optional=True) if derived and not _leads_back(rule) else rule for rule in rules.rules)
    forward = replace(rules, rules=kept, source=guard, target=target)
    return make_plan(before, forward, _NewTree(new.tree), link=False)


def _leads_back(rule: Rule) -> bool:
    """Whether the derived old tree has leaves that the rule matches."""
    return not isinstance(rule, Drop) and (not isinstance(rule, Move) or rule.reverse)


def _lost(inversion: Inversion) -> Iterator[Diagnostic]:
    """Yields a finding for each reason for which leaves are not restored bit for bit."""
    groups: dict[tuple[Span | None, str, str], list[str]] = {}
    for one in inversion.lost:
        groups.setdefault((one.rule, one.kind, one.reason), []).append(format_path(one.path))
    for (span, kind, reason), paths in groups.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        if kind in ("no inverse", "not expressible"):
            message = f"`{paths[0]}`{more} cannot be computed back: {reason}"
            yield IrreversibleRule.at(message, span=span, paths=paths, help=TO_ADD)
        else:
            yield NotRestored.at(f"`{paths[0]}`{more} is not restored bit for bit: {reason}", span=span, paths=paths)


def _cut_off(forward: Plan) -> Iterator[Diagnostic]:
    """Yields a finding for each rule that adds elements, which may have been trained since."""
    groups: dict[tuple[Span | None, str], list[tuple[str, int]]] = {}
    for task in forward.tasks:
        for op, inputs in () if task.follows else calls(task):
            if op.adds is None:
                continue
            added = sum(aval.size for aval in op.infer(*inputs)) - sum(aval.size for aval in inputs)
            if added:
                groups.setdefault((task.rule, op.name), []).append((format_path(task.targets[0]), added))
    for (span, name), members in groups.items():
        (path, _), *others = members
        more = f" and {len(others)} more" if others else ""
        count = sum(added for _, added in members)
        cut = "1 element that `{}` added is" if count == 1 else f"{count:,} elements that `{{}}` added are"
        yield NotRestored.at(
            f"of `{path}`{more}, {cut.format(name)} cut off, with what training has made of them",
            span=span,
            paths=[path for path, _ in members],
        )


def _lost_config(rules: RuleSet, inversion: Inversion) -> Iterator[Diagnostic]:
    """Yields a finding for each rule that takes names of a config away for good, unless old configs may lack them."""
    optional = {rule.span for rule in rules.config if rule.optional}
    for one in inversion.lost_config:
        if one.rule not in optional:
            names = ", ".join(f"`{format_path(path)}`" for path in one.paths)
            message = f"{names} of {config_name(one.item)} is not restored: {one.reason}"
            yield NotRestored.at(message, span=one.rule, paths=[format_path(path) for path in one.paths])


def _unfit(found: Diagnostic) -> Diagnostic:
    """Returns a finding about a rule for the config that is read backwards, which is not applied."""
    message = f"the config is not led back by this rule: {found.message}"
    return NotRestored.at(message, span=found.span, paths=found.paths)


def _dropped(rules: RuleSet, forward: Plan, *, derived: bool) -> Iterator[Diagnostic]:
    """Yields a finding for each rule that drops what every old checkpoint has, and that the old tree lacks."""
    copied = {drop.rule for drop in forward.dropped if drop.equal is not None}
    for rule in rules.rules if derived else ():
        if isinstance(rule, Drop) and not rule.optional and rule.span not in copied:
            names = ", ".join(f"`{pattern}`" for pattern in rule.sources)
            yield NotRestored.at(
                f"the rules drop {names}, which the checkpoint no longer has, so that it is not restored",
                span=rule.span,
                help="mark the rule `optional: true` if old checkpoints may lack it",
            )
