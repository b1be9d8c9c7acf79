"""Makes a plan from a rule set and two trees.

Every problem becomes a diagnostic of the plan; user errors raise nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from migrate.errors import Diagnostic
from migrate.formats.item_kinds import KEYS
from migrate.formats.opaque import unreadable
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.adapters import with_adapter_scales
from migrate.planning.assertions import drop_leaves, lost_twins
from migrate.planning.box_levels import restore_levels, template_path
from migrate.planning.carried_items import with_carried_items
from migrate.planning.claims import Claims, claim_leaves, dropped_extras
from migrate.planning.companions import left_companions, unscaled_weights
from migrate.planning.config import plan_config
from migrate.planning.coverage import (
    Coverage,
    comparable_paths,
    cover,
    create_leaves,
    new_empty_segments,
    refuse_collisions,
    refuse_duplicates,
)
from migrate.planning.derived_tree import derive_tree
from migrate.planning.gather import gather
from migrate.planning.guards import guard
from migrate.planning.losses import early_rounding
from migrate.planning.model import Created, Dropped, Plan, Task
from migrate.planning.moments import FollowResult, TransformState, follow, source_slots
from migrate.planning.named_sources import unused_sources
from migrate.planning.partition import assign_shardings
from migrate.planning.proof import TreeWithSlots, prove
from migrate.planning.relink import choose_modes
from migrate.planning.requirements import check_model, resolved
from migrate.planning.shared_sources import joined_tasks
from migrate.planning.streams import shared_keys
from migrate.planning.unmatched import leftover
from migrate.rules.model import Drop, Move, RuleSet
from migrate.rules.partition_file import Partition
from migrate.sharding import Mesh
from migrate.source_names import source_of
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, natural_key


class TemplateLike(Protocol):
    """The part of a template that planning needs."""

    @property
    def spec(self) -> str:
        """The template's name as the user gave it."""

    @property
    def tree(self) -> AbstractTree:
        """The tree that the target must have."""

    @property
    def transforms(self) -> frozenset[str] | None:
        """Optax's names of the transforms of its optimizers; None where they are unknown."""


@dataclass(frozen=True, slots=True)
class _RuleResults:
    """The decisions of the rules, before they are compared with the target."""

    tasks: tuple[Task, ...]
    dropped: tuple[Dropped, ...]
    created: tuple[Created, ...]
    diagnostics: tuple[Diagnostic, ...]
    settled: frozenset[KeyPath]
    """Source leaves that a task or drop uses, and those of tasks that could not be made."""
    excused: frozenset[KeyPath]
    """Target leaves of tasks that could not be made."""
    barred: frozenset[KeyPath]
    """Source leaves that do not keep their key path, although the target has the same path."""
    lost: tuple[TransformState, ...]
    """Optimizer states that only the source has."""
    fresh: tuple[TransformState, ...]
    """Optimizer states that only the target has."""


def make_plan(
    source: AbstractCheckpoint,
    rules: RuleSet,
    template: TemplateLike | None,
    *,
    mesh: Mesh | None = None,
    partition: Partition | None = None,
    link: bool = True,
) -> Plan:
    """Returns the plan: a decision for every leaf.

    Args:
      source: the abstract checkpoint.
      rules: the rule file.
      template: the target; None when the rules derive it from the source.
      mesh: the target's mesh; default: the output adapts to the devices that are present.
      partition: which leaves are split over which axes of the mesh; default: the template's annotations.
      link: whether arrays whose bytes do not change may be linked; if False, every array is streamed.

    Raises:
      RuleFileError: the model's configuration states a value that an argument cannot have (`InvalidModelArgument`).
    """
    rules = resolved(rules, source)
    rules, of_adapters = with_adapter_scales(rules, source)
    target = with_carried_items(source, rules, template.tree) if template else None
    results = _apply_rules(source.tree, rules, target, template.transforms if template else None, source.extras)
    results = replace(results, tasks=restore_levels(results.tasks, source.tree, target))
    results, unexpected = _add_unnamed(results, source.tree, rules, target)
    own, others = ([path for path in unexpected if bool(source_of(path)) is named] for named in (False, True))
    results = replace(results, tasks=joined_tasks(results.tasks, rules.rules))
    excused, fresh = results.excused, results.fresh
    covered = (
        cover(rules, source.tree, target, results.tasks, results.created, excused, fresh, x64=_has_x64(template))
        if target
        else Coverage()
    )
    created = (*results.created, *covered.created)
    planned = target or derive_tree(source.tree, results.tasks, created, boxes=rules.target.layout != "pure_dict")
    tree, misplaced = assign_shardings(planned, mesh, partition, annotations=target is not None)
    ordered = _in_order(results.tasks, planned)
    unscaled = left_companions(ordered, source.tree)
    tasks = prove(ordered, with_slots(source.tree), with_slots(planned), unscaled)
    key_items = [name for name, kind in source.kinds.items() if kind in KEYS and len(source.items) > 1]
    facts = getattr(template, "facts", None)
    gone = dropped_extras(rules.rules, source.extras)
    config, config_findings = plan_config(rules.config, source, gone)
    linked = link and source.locates_chunks and not misplaced
    return Plan(
        source=source,
        rules=rules,
        target=tree,
        template=template.spec if template else None,
        tasks=choose_modes(tasks, source.tree, tree, zarr3=source.zarr3, plain=rules.target.plain_zarr)
        if linked
        else tasks,
        dropped=tuple(sorted(results.dropped, key=lambda drop: natural_key(drop.source))),
        created=created,
        diagnostics=(
            *guard(
                source,
                rules,
                template.tree if template else None,
                facts=facts,
                expected=_expected_target(source, rules, template),
                config=config,
            ),
            *check_model(rules, source),
            *results.diagnostics,
            *_refuse_opaque(results.tasks, source),
            *refuse_duplicates(results.tasks, results.created),
            *covered.diagnostics,
            *(
                leftover(own, source.tree, target, results.lost, comparable_paths, key_items, rules.path)
                if target
                else ()
            ),
            *of_adapters,
            *unused_sources(source.sources, source.tree, tasks, results.dropped, rules, others),
            *shared_keys(tasks),
            *unscaled_weights(tasks, unscaled, rules.rules, source.tree, templated=template is not None),
            *early_rounding(tasks),
            *refuse_collisions(tree),
            *(() if target else new_empty_segments(tasks, source.tree)),
            *misplaced,
            *config_findings,
        ),
        missing=covered.missing,
        unexpected=(*unexpected, *covered.unexpected),
        shape_mismatch=covered.shape_mismatch,
        dtype_mismatch=covered.dtype_mismatch,
        extras=tuple(sorted(source.extras.keys() - gone)),
        model_facts=facts.recorded if facts else {},
        config=config,
        specs={path: leaf.sharding.spec for path, leaf in planned.leaves.items() if leaf.sharding} if target else {},
    )


def _in_order(tasks: Sequence[Task], target: AbstractTree) -> list[Task]:
    """Returns the tasks in the natural order of their first targets."""
    ranks = target.ranks
    if all(task.targets[0] in ranks for task in tasks):
        return sorted(tasks, key=lambda task: ranks[task.targets[0]])
    return sorted(tasks, key=lambda task: natural_key(task.targets[0]))


def _expected_target(source: AbstractCheckpoint, rules: RuleSet, template: TemplateLike | None) -> AbstractTree | None:
    """Returns the tree that the rules alone make, where the template is not the one that the rule file pins."""
    pinned = rules.target.structure
    if template is None or pinned is None or pinned == template.tree.structure_hash:
        return None
    return make_plan(source, rules, None, link=False).target


def _has_x64(template: TemplateLike | None) -> bool:
    """Returns whether a template keeps dtypes of 64 bits; templates of other origins do."""
    return bool(getattr(template, "x64", True))


def with_slots(tree: AbstractTree) -> TreeWithSlots:
    """Returns a tree with its slots of moments, as proofs need it."""
    return tree.once(_with_slots)


def _with_slots(tree: AbstractTree) -> TreeWithSlots:
    return TreeWithSlots(tree, [slot.prefix for slots in source_slots(tree).values() for slot in slots])


def _apply_rules(
    source: AbstractTree,
    rules: RuleSet,
    target: AbstractTree | None,
    transforms: frozenset[str] | None,
    extras: Collection[str],
) -> _RuleResults:
    """Applies the rules to the leaves that they name, and then to the moments that follow."""
    claims = claim_leaves(rules.rules, source, extras)
    named = _carry_out(rules, claims, source, target)
    created, idle = create_leaves(rules, target)
    followed = FollowResult()
    if rules.follow:
        followed = follow(rules, source, claims, named.tasks, created, target, transforms)
    explicit = {creation.target for creation in created}
    dropped = (*named.dropped, *followed.dropped)
    failed = {*named.failed, *followed.failed}
    moved, unsettled = _moved_moments(rules, claims, followed)
    return _RuleResults(
        tasks=(*named.tasks, *followed.tasks),
        dropped=dropped,
        created=(*created, *(c for c in followed.created if c.target not in explicit)),
        diagnostics=(*claims.diagnostics, *named.diagnostics, *followed.diagnostics, *idle),
        settled=frozenset({*claims.claimed, *(failed - unsettled), *moved}) | {drop.source for drop in dropped},
        excused=_excused(rules, claims, failed, target) | {*followed.excused},
        barred=frozenset({*followed.barred} - {*followed.unbarred}),
        lost=followed.lost,
        fresh=followed.fresh,
    )


def _moved_moments(
    rules: RuleSet, claims: Claims, followed: FollowResult
) -> tuple[frozenset[KeyPath], frozenset[KeyPath]]:
    """Returns the moments that follow their params, and those that stay while a rule only copies their param."""
    copies = {rules.rules[index].span for index in claims.copies}
    staying = frozenset(followed.unbarred) if copies else frozenset()
    moving = {path for task in followed.tasks if task.rule not in copies for path in task.sources}
    copied = {path for task in followed.tasks if task.rule in copies for path in task.sources}
    return frozenset(moving | (copied - staying)), staying - moving


def _carry_out(rules: RuleSet, claims: Claims, source: AbstractTree, target: AbstractTree | None) -> FollowResult:
    """Returns the tasks and drops of the rules' own claims."""
    tasks: list[Task] = []
    dropped: list[Dropped] = []
    failed: list[KeyPath] = []
    diagnostics: list[Diagnostic] = []
    for index, rule_claims in claims.by_rule.items():
        rule = rules.rules[index]
        if isinstance(rule, Drop):
            drops = drop_leaves(rule, rule_claims, source)
            dropped += drops.dropped
            diagnostics += drops.diagnostics
        elif isinstance(rule, Move):
            moving = [c for c in rule_claims if _moves(c.leaf, rule, target)]
            dropped += [Dropped(c.path, c.leaf) for c in rule_claims if not _moves(c.leaf, rule, target)]
            made = gather(rule, moving, target)
            tasks += made.tasks
            failed += made.failed
            diagnostics += made.diagnostics
    diagnostics += lost_twins(rules.rules, claims)
    return FollowResult(tuple(tasks), tuple(dropped), failed=tuple(failed), diagnostics=tuple(diagnostics))


def _moves(leaf: AbstractLeaf, rule: Move, target: AbstractTree | None) -> bool:
    """Whether a rule moves this leaf: leaves without data move with a rename only if no template decides about them."""
    return leaf.has_data or (target is None and not rule.ops)


def _excused(
    rules: RuleSet, claims: Claims, failed: Collection[KeyPath], target: AbstractTree | None
) -> frozenset[KeyPath]:
    """Returns the target leaves that match a target pattern of a rule that failed on some leaf."""
    broken = [
        rule
        for index, rule_claims in claims.by_rule.items()
        if isinstance(rule := rules.rules[index], Move) and any(claim.path in failed for claim in rule_claims)
    ]
    patterns = [pattern for rule in broken for pattern in rule.targets]
    leaves = target.leaves if target and patterns else ()
    return frozenset(path for path in leaves if any(p.match(path) is not None for p in patterns))


def _add_unnamed(
    results: _RuleResults, source: AbstractTree, rules: RuleSet, target: AbstractTree | None
) -> tuple[_RuleResults, tuple[KeyPath, ...]]:
    """Adds the leaves that no rule names: each keeps its key path, is dropped, or is unexpected.

    Leaves of named sources keep no path. Leaves without data are dropped where they cannot keep their path;
    `unmatched: {source: drop}` drops the others.
    """
    tasks, dropped, unexpected = list(results.tasks), list(results.dropped), []
    written = {path for task in results.tasks for path in task.targets} | {c.target for c in results.created}
    settled, barred, drops = results.settled, results.barred, rules.unmatched_source == "drop"
    for path, leaf in source.leaves.items():
        if path in settled:
            continue
        if drops and not leaf.is_readable:
            dropped.append(Dropped(path, leaf))
            continue
        place = template_path(path, leaf.box, target) if target and leaf.box else path
        other = target.leaves.get(place) if target else leaf
        keeps = target is None or (other is not None and place not in written and _may_keep_path(leaf, other))
        if keeps and path not in barred and not source_of(path):
            ends, avals = (path,), (leaf.aval,)
            if place is path:
                tasks.append(Task(ends, ends, (0,), (), avals, avals, proved="name"))
            else:
                tasks.append(Task(ends, (place,), (0,), (), avals, avals))
        elif not leaf.has_data or drops:
            dropped.append(Dropped(path, leaf))
        else:
            unexpected.append(path)
    return replace(results, tasks=tuple(tasks), dropped=tuple(dropped)), tuple(unexpected)


def _refuse_opaque(tasks: Iterable[Task], source: AbstractCheckpoint) -> Iterator[Diagnostic]:
    """Yields one `UnsupportedLeaf` for each leaf that a task would have to read and that cannot be read."""
    opaque = {path: leaf for path, leaf in source.tree.leaves.items() if leaf.kind == "opaque"}
    for task in tasks if opaque else ():
        for path in task.sources:
            if path in opaque:
                holder = source.sources.get(source_of(path), source)
                yield replace(unreadable(path, opaque[path], holder.path), span=task.rule)


def _may_keep_path(ours: AbstractLeaf, theirs: AbstractLeaf) -> bool:
    """Whether a leaf may keep its path: data maps to data, a leaf without data to one of its own kind."""
    if ours is theirs or (ours.aval is not None and theirs.aval is not None):
        return True
    return ours.has_data == theirs.has_data and (ours.has_data or str(ours) == str(theirs))
