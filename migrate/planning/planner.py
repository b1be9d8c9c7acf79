"""From a rule set and two trees to a plan. Every problem is a finding of the plan; a user's mistake raises nothing
here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

from migrate.errors import Diagnostic
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.box_levels import landing, settle_levels
from migrate.planning.claims import Claims, claim_leaves, dropped_extras
from migrate.planning.coverage import Coverage, alike, cover, create_leaves, refuse_collisions, refuse_doubles
from migrate.planning.derived_tree import outcome
from migrate.planning.gather import gather
from migrate.planning.guards import guard
from migrate.planning.model import Created, Dropped, Plan, Task
from migrate.planning.moments import Followed, State, follow, source_slots
from migrate.planning.partition import assign_shardings
from migrate.planning.proof import Side, prove
from migrate.planning.relink import choose_modes
from migrate.planning.streams import shared_keys
from migrate.planning.unmatched import leftover
from migrate.rules.model import Drop, Move, RuleSet
from migrate.rules.partition_file import Partition
from migrate.sharding import Mesh
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, natural_key


class TemplateLike(Protocol):
    """What planning needs to know of a template."""

    @property
    def spec(self) -> str:
        """How the user named it."""

    @property
    def tree(self) -> AbstractTree:
        """What the target expects."""

    @property
    def transforms(self) -> frozenset[str] | None:
        """Optax's names of the transforms of its optimizers; None where nothing tells them."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """What the rules decided, before it is compared with the target."""

    tasks: tuple[Task, ...]
    dropped: tuple[Dropped, ...]
    created: tuple[Created, ...]
    diagnostics: tuple[Diagnostic, ...]
    settled: frozenset[KeyPath]
    """Source leaves that a task or drop takes, or whose task could not be made."""
    excused: frozenset[KeyPath]
    """Target leaves that a task would have filled that could not be made."""
    barred: frozenset[KeyPath]
    """Source leaves that do not keep their key path though the target has one like it."""
    lost: tuple[State, ...]
    fresh: tuple[State, ...]
    """States of optimizers that only the source has, and only the target."""


def make_plan(
    source: AbstractCheckpoint,
    rules: RuleSet,
    template: TemplateLike | None,
    *,
    mesh: Mesh | None = None,
    partition: Partition | None = None,
    link: bool = True,
) -> Plan:
    """Decides what happens to every leaf.

    Args:
      source: the checkpoint, abstract.
      rules: the rule file.
      template: the target; None when it is what the rules make of the source.
      mesh: the target's mesh; without one the output adapts to whatever devices are there.
      partition: which leaves are split over which axes of the mesh; by default the template's annotations say it.
      link: whether arrays whose bytes do not change may be linked; if not, every array is streamed.
    """
    target = template.tree if template else None
    draft = _by_rules(source.tree, rules, template, source.extras)
    draft = replace(draft, tasks=settle_levels(draft.tasks, source.tree, target))
    draft, unexpected = _rest(draft, source.tree, rules, target)
    excused, fresh = draft.excused, draft.fresh
    covered = cover(rules, source.tree, target, draft.tasks, draft.created, excused, fresh) if target else Coverage()
    created = (*draft.created, *covered.created)
    tree = target or outcome(source.tree, draft.tasks, created, boxes=rules.target.layout != "pure_dict")
    tree, misplaced = assign_shardings(tree, mesh, partition, annotations=target is not None)
    ordered = sorted(draft.tasks, key=lambda task: natural_key(task.targets[0]))
    tasks = prove(ordered, _side(source.tree), _side(tree))
    linked = link and source.locates_chunks and not misplaced
    return Plan(
        source=source,
        rules=rules,
        target=tree,
        template=template.spec if template else None,
        tasks=choose_modes(tasks, source.tree, tree, zarr3=source.zarr3) if linked else tasks,
        dropped=tuple(sorted(draft.dropped, key=lambda drop: natural_key(drop.source))),
        created=created,
        diagnostics=(
            *guard(source, rules, target),
            *draft.diagnostics,
            *refuse_doubles(draft.tasks, draft.created),
            *covered.diagnostics,
            *(leftover(unexpected, source.tree, target, draft.lost, alike) if target else ()),
            *shared_keys(tasks),
            *refuse_collisions(tree),
            *misplaced,
        ),
        missing=covered.missing,
        unexpected=(*unexpected, *covered.unexpected),
        shape_mismatch=covered.shape_mismatch,
        dtype_mismatch=covered.dtype_mismatch,
        extras=tuple(sorted(source.extras.keys() - dropped_extras(rules.rules, source.extras))),
    )


def _side(tree: AbstractTree) -> Side:
    return Side(tree, [slot.prefix for slots in source_slots(tree).values() for slot in slots])


def _by_rules(source: AbstractTree, rules: RuleSet, template: TemplateLike | None, extras: Collection[str]) -> _Draft:
    """What rules decide by name, and what follows from that for the moments."""
    target, transforms = (template.tree, template.transforms) if template else (None, None)
    claims = claim_leaves(rules.rules, source, extras)
    named = _carry_out(rules, claims, target)
    created, idle = create_leaves(rules, target)
    followed = Followed()
    if rules.follow:
        followed = follow(rules, source, claims, named.tasks, created, target, transforms)
    explicit = {creation.target for creation in created}
    dropped = (*named.dropped, *followed.dropped)
    failed = {*named.failed, *followed.failed}
    return _Draft(
        tasks=(*named.tasks, *followed.tasks),
        dropped=dropped,
        created=(*created, *(c for c in followed.created if c.target not in explicit)),
        diagnostics=(*claims.diagnostics, *named.diagnostics, *followed.diagnostics, *idle),
        settled=frozenset({*claims.claimed, *failed, *(p for t in followed.tasks for p in t.sources)})
        | {drop.source for drop in dropped},
        excused=_excused(rules, claims, failed, target) | {*followed.excused},
        barred=frozenset({*followed.barred} - {*followed.unbarred}),
        lost=followed.lost,
        fresh=followed.fresh,
    )


def _carry_out(rules: RuleSet, claims: Claims, target: AbstractTree | None) -> Followed:
    """Tasks and drops of the rules' own claims."""
    tasks: list[Task] = []
    dropped: list[Dropped] = []
    failed: list[KeyPath] = []
    diagnostics: list[Diagnostic] = []
    for index, rule_claims in claims.by_rule.items():
        rule = rules.rules[index]
        if isinstance(rule, Drop):
            dropped += [Dropped(c.path, c.leaf, rule.assert_zero, rule.span) for c in rule_claims]
        elif isinstance(rule, Move):
            moving = [c for c in rule_claims if _moves(c.leaf, rule, target)]
            dropped += [Dropped(c.path, c.leaf) for c in rule_claims if not _moves(c.leaf, rule, target)]
            made = gather(rule, moving, target)
            tasks += made.tasks
            failed += made.failed
            diagnostics += made.diagnostics
    return Followed(tuple(tasks), tuple(dropped), failed=tuple(failed), diagnostics=tuple(diagnostics))


def _moves(leaf: AbstractLeaf, rule: Move, target: AbstractTree | None) -> bool:
    """Leaves without data move along with a rename; a template says for itself where it has such leaves."""
    return leaf.has_data or (target is None and not rule.ops)


def _excused(
    rules: RuleSet, claims: Claims, failed: Collection[KeyPath], target: AbstractTree | None
) -> frozenset[KeyPath]:
    """Target leaves under the right-hand sides of rules that failed somewhere."""
    broken = [
        rule
        for index, rule_claims in claims.by_rule.items()
        if isinstance(rule := rules.rules[index], Move) and any(claim.path in failed for claim in rule_claims)
    ]
    patterns = [pattern for rule in broken for pattern in rule.targets]
    leaves = target.leaves if target else ()
    return frozenset(path for path in leaves if any(p.match(path) is not None for p in patterns))


def _rest(
    draft: _Draft, source: AbstractTree, rules: RuleSet, target: AbstractTree | None
) -> tuple[_Draft, tuple[KeyPath, ...]]:
    """Leaves that no rule names: they keep their key path, hold no data, are dropped as the rules say, or are
    unexpected.
    """
    tasks, dropped, unexpected = list(draft.tasks), list(draft.dropped), []
    written = {path for task in draft.tasks for path in task.targets} | {c.target for c in draft.created}
    for path, leaf in source.leaves.items():
        if path in draft.settled:
            continue
        place = landing(path, leaf.box, target) if target else path
        keeps = target is None or (
            place in target.leaves and place not in written and _alike(leaf, target.leaves[place])
        )
        if keeps and path not in draft.barred:
            tasks.append(Task((path,), (place,), (0,), (), (leaf.aval,), (leaf.aval,)))
        elif not leaf.has_data or rules.unmatched_source == "drop":
            dropped.append(Dropped(path, leaf))
        else:
            unexpected.append(path)
    return replace(draft, tasks=tuple(tasks), dropped=tuple(dropped)), tuple(unexpected)


def _alike(ours: AbstractLeaf, theirs: AbstractLeaf) -> bool:
    """A leaf with data keeps its path onto a leaf with data, one without onto one of its kind."""
    return ours.has_data == theirs.has_data and (ours.has_data or str(ours) == str(theirs))
