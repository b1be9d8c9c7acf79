"""Accounts for every leaf: each target leaf is written once and fits, each source leaf is used or dropped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from migrate.codes import (
    CollidingPaths,
    DtypeMismatch,
    DuplicateTarget,
    IdlePattern,
    InvalidPattern,
    ShapeMismatch,
    UnknownTarget,
)
from migrate.dtypes import holds, is_narrowed, key_impl
from migrate.errors import Diagnostic, Span, nearest
from migrate.planning import streams
from migrate.planning.diff import same_dtype, same_shape
from migrate.planning.model import Created, Task
from migrate.planning.moments import TransformState
from migrate.planning.narrowing import own_file
from migrate.planning.near_patterns import NearPatterns
from migrate.planning.shape_advice import advise_on_shape
from migrate.planning.unmatched import missing_leaves, names
from migrate.rules.leaf_filter import LeafFilter
from migrate.rules.model import Create, Init, Move, RuleSet
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path, stored_path

SUGGESTIONS = 20
"""The number of rules with unknown key paths that get a "did you mean": comparing names is slow."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Target leaves that only a creation fills, key paths that make the plan inapplicable, and the diagnostics."""

    created: tuple[Created, ...] = ()
    missing: tuple[KeyPath, ...] = ()
    unexpected: tuple[KeyPath, ...] = ()
    shape_mismatch: tuple[KeyPath, ...] = ()
    dtype_mismatch: tuple[KeyPath, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def create_leaves(rules: RuleSet, template: AbstractTree | None) -> tuple[tuple[Created, ...], tuple[Diagnostic, ...]]:
    """Returns the leaves that `create` rules make; without a template, which gives their shape, there are none."""
    created: list[Created] = []
    diagnostics: list[Diagnostic] = []
    leaves = template.leaves if template else {}
    for rule in rules.rules:
        if isinstance(rule, Create):
            found = [Created(path, leaf, rule.init, rule.span) for path, leaf in leaves.items() if _creates(rule, path)]
            created += found
            diagnostics += _unfit(rule, found)
            left_out = any(_any(rule.targets, path) and _any(rule.left_out, path) for path in leaves)
            if not found and not rule.optional and not left_out:
                diagnostics.append(_idle_create(rule, template))
    return tuple(created), tuple(diagnostics)


def _unfit(rule: Create, found: Sequence[Created]) -> list[Diagnostic]:
    """Returns the diagnostic about leaves that the rule's `init` cannot create, if any."""
    wrong = [creation for creation in found if creation.leaf.has_data and not can_create(creation, rule.init)]
    if not wrong:
        return []
    init = rule.init.kind if rule.init.value is None else f"{rule.init.kind} {rule.init.value}"
    first = wrong[0]
    more = f", and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
    return [
        DtypeMismatch.at(
            f"`{format_path(first.target)}` is {first.leaf} and cannot be created by `{init}`{more}",
            span=rule.span,
            paths=[format_path(creation.target) for creation in wrong],
            help="`rng` creates keys and counts of RNG streams; `zeros`, `ones` and `constant` create arrays whose "
            "dtype holds the value exactly; `template` runs the model's own initializer",
        )
    ]


def can_create(creation: Created, init: Init) -> bool:
    """Whether an initial value fits the leaf that it creates."""
    aval = creation.leaf.aval
    if aval is None:
        return False
    if init.kind == "rng":
        is_count = aval.dtype == "uint32" and creation.target[-1:] == ("count",)
        return key_impl(aval.dtype) is not None or is_count
    constants = {"zeros": 0, "ones": 1, "constant": init.value}
    return init.kind == "template" or holds(aval.dtype, constants[init.kind] or 0)


def _creates(rule: Create, path: KeyPath) -> bool:
    return _any(rule.targets, path) and not _any((*rule.excepts, *rule.left_out), path)


def _any(patterns: Iterable[LeafFilter], path: KeyPath) -> bool:
    return any(pattern.match(path) is not None for pattern in patterns)


def _idle_create(rule: Create, template: AbstractTree | None) -> Diagnostic:
    names = ", ".join(f"`{pattern}`" for pattern in rule.targets)
    if template is None:
        return IdlePattern.at(f"{names} cannot be created without a template, which gives its shape", span=rule.span)
    return IdlePattern.at(
        f"{names} matches nothing in the template",
        span=rule.span,
        label=NearPatterns(template).did_you_mean(rule.targets[0]),
        help="`optional: true` allows a rule to match nothing",
    )


def cover(
    rules: RuleSet,
    source: AbstractTree,
    template: AbstractTree,
    tasks: Sequence[Task],
    created: Sequence[Created],
    excused: Collection[KeyPath],
    fresh: Sequence[TransformState] = (),
    *,
    x64: bool = True,
) -> Coverage:
    """Compares the leaves to write with the template's leaves.

    Args:
      rules: the rule file, for its treatment of unmatched target leaves.
      source: the source's tree, for the kinds of leaves.
      template: the target's tree.
      tasks: the moves.
      created: the leaves that the rules create.
      excused: target leaves of tasks that could not be made; a diagnostic already covers them.
      fresh: states of the template's optimizers that the source does not have.
      x64: whether the template was traced with dtypes of 64 bits.
    """
    written = {path for task in tasks for path in task.targets} | {creation.target for creation in created}
    open_leaves = {path: leaf for path, leaf in template.leaves.items() if path not in written}
    without_data = tuple(Created(path, leaf) for path, leaf in open_leaves.items() if not leaf.has_data)
    missing = tuple(path for path, leaf in open_leaves.items() if leaf.has_data and path not in excused)
    if rules.unmatched_target == "template":
        filled = tuple(Created(path, template.leaves[path], Init("template")) for path in missing)
        without_data, missing = (*without_data, *filled), ()
    misfits = list(_misfits(rules, source, template, tasks, x64=x64))
    beyond = written - template.leaves.keys()
    unknown = {path: task for task in tasks for path in task.targets if path in beyond} if beyond else {}
    return Coverage(
        created=without_data,
        missing=missing,
        unexpected=tuple(unknown),
        shape_mismatch=tuple(path for code, path, _ in misfits if code is ShapeMismatch),
        dtype_mismatch=tuple(path for code, path, _ in misfits if code is DtypeMismatch),
        diagnostics=(
            *missing_leaves(missing, template, fresh),
            *_unknown(unknown, template, rules),
            *_merge(diagnostic for _, _, diagnostic in misfits),
        ),
    )


def refuse_duplicates(tasks: Iterable[Task], created: Iterable[Created]) -> tuple[Diagnostic, ...]:
    """Returns one `DuplicateTarget` for each target that is written more than once."""
    tasks, created = tuple(tasks), tuple(created)
    targets = [path for task in tasks for path in task.targets] + [creation.target for creation in created]
    if len({*targets}) == len(targets):
        return ()
    writers: defaultdict[KeyPath, list[Span | None]] = defaultdict(list)
    for task in tasks:
        for path in task.targets:
            writers[path].append(task.rule)
    for creation in created:
        writers[creation.target].append(creation.rule)
    return tuple(
        DuplicateTarget.at(
            f"`{format_path(path)}` is written {len(spans)} times" + _and_by(spans),
            span=next((span for span in reversed(spans) if span), None),
            paths=[format_path(path)],
            help="give each source a target of its own, or reduce them with `concat` or `stack` in one rule",
        )
        for path, spans in writers.items()
        if len(spans) > 1
    )


def _and_by(spans: Sequence[Span | None]) -> str:
    places = [str(span) if span else "a leaf that keeps its key path" for span in spans[:-1]]
    return ": also by " + ", ".join(dict.fromkeys(places))


def refuse_collisions(target: AbstractTree) -> tuple[Diagnostic, ...]:
    """Returns one `CollidingPaths` for each set of leaves whose stored names (key paths joined by `.`) are equal."""
    stored = [(path, ".".join(stored_path(path, leaf))) for path, leaf in target.with_data.items()]
    if len({name for _, name in stored}) == len(stored):
        return ()
    names: defaultdict[str, list[KeyPath]] = defaultdict(list)
    for path, name in stored:
        names[name].append(path)
    return tuple(
        CollidingPaths.at(
            f"{' and '.join(f'`{format_path(p)}`' for p in paths)} would share the stored name `{name}`",
            paths=map(format_path, paths),
            help="rename one of them in the rule file",
        )
        for name, paths in names.items()
        if len(paths) > 1
    )


def new_empty_segments(tasks: Iterable[Task], source: AbstractTree) -> tuple[Diagnostic, ...]:
    """Returns a warning for each target with an empty segment, where there is no template and no source has any.

    Such a segment may be a `/` too many: with a template, the key path would be unknown.
    """
    if any("" in path for path in source.leaves):
        return ()
    return tuple(
        InvalidPattern.at(
            f"the target `{format_path(path)}` has an empty segment, and no key path of the source has one",
            span=task.rule,
            paths=[format_path(path)],
            help=f"if it is a `/` too many, write `{format_path(tuple(filter(None, path)))}`",
            severity="warning",
        )
        for task in tasks
        for path in task.targets
        if "" in path
    )


def _unknown(unknown: dict[KeyPath, Task], template: AbstractTree, rules: RuleSet) -> Iterable[Diagnostic]:
    by_rule: defaultdict[Span | None, list[KeyPath]] = defaultdict(list)
    for path, task in unknown.items():
        by_rule[task.rule].append(path)
    for span, paths in list(by_rule.items())[:SUGGESTIONS]:
        hint = nearest(format_path(paths[0]), comparable_paths(paths[0], template))
        label = f"did you mean `{hint}`?" if hint else None
        place, label = _target_that_matches_nothing(span, rules, template) or (span, label)
        sources = list(dict.fromkeys(source for path in paths for source in unknown[path].sources))
        more, snippet = own_file(span, rules.path, sources)
        yield UnknownTarget.at(
            f"{names(paths)} {'is' if len(paths) == 1 else 'are'} not in the template",
            span=place,
            label=label,
            paths=map(format_path, paths),
            help=f"`migrate diff SRC --template M:F` lists the template's key paths{more}",
            snippet=snippet,
        )


def _target_that_matches_nothing(span: Span | None, rules: RuleSet, template: AbstractTree) -> tuple[Span, str] | None:
    """Returns the location of a rule's target that matches no leaf of the template, and the pattern that was meant."""
    rule = next((one for one in rules.rules if isinstance(one, Move) and one.span == span), None)
    if rule is None or rule.span.file != rules.path:  # an include may have put the pattern below another node
        return None
    near = NearPatterns(template)
    for pattern, place in zip(rule.targets, rule.target_spans, strict=False):
        if any(pattern.left_side_errors()) or any(pattern.match(path) is not None for path in template.leaves):
            continue
        if label := near.did_you_mean(pattern):
            return place, label
    return None


def comparable_paths(path: KeyPath, template: AbstractTree) -> list[str]:
    """Returns the template's key paths to compare with this one: those with its last segment, else all.

    The list is bounded, since comparing is slow.
    """
    same = [format_path(p) for p in template.leaves if p[-1:] == path[-1:]]
    return (same or [format_path(p) for p in template.leaves])[:2000]


def _misfits(
    rules: RuleSet, source: AbstractTree, template: AbstractTree, tasks: Iterable[Task], *, x64: bool
) -> Iterable[tuple[type[ShapeMismatch] | type[DtypeMismatch], KeyPath, Diagnostic]]:
    advised: dict[Span | None, str] = {}
    leaves = template.leaves
    for task in tasks:
        for index, path in enumerate(task.targets):
            wanted = leaves.get(path)
            if wanted is None:
                continue
            made = task.out_avals[index]
            if made is not None and (made is wanted.aval or made == wanted.aval):
                continue
            ours = AbstractLeaf("array", task.out_avals[index]) if task.steps else _written(source, task, index)
            if not ours.has_data and not wanted.has_data:
                continue
            key = streams.key_conversion(ours.aval, wanted.aval, task.sources[0], path, moved=task.rule is not None)
            if key and not (same_shape(ours, wanted) and same_dtype(ours, wanted)):
                yield DtypeMismatch, path, _misfit(DtypeMismatch, task, path, ours, wanted, key)
                continue
            if not wanted.has_data or not same_shape(ours, wanted):
                if task.rule not in advised:  # the first finding of a rule stands for all
                    advised[task.rule] = advise_on_shape(task, ours, wanted, rules, source, template)
                yield (
                    ShapeMismatch,
                    path,
                    _misfit(ShapeMismatch, task, path, ours, wanted, advised[task.rule]),
                )
            if wanted.has_data and not same_dtype(ours, wanted):
                yield (
                    DtypeMismatch,
                    path,
                    _misfit(DtypeMismatch, task, path, ours, wanted, _cast_advice(ours, wanted, x64=x64)),
                )


def _cast_advice(ours: AbstractLeaf, wanted: AbstractLeaf, *, x64: bool) -> str:
    mine, theirs = (leaf.aval.dtype if leaf.aval else "" for leaf in (ours, wanted))
    if x64 or not is_narrowed(mine, theirs):
        return "add `ops: [{cast: template}]`"
    return (
        f"x64 is off, and JAX makes {theirs} of a model's {mine}: set `JAX_ENABLE_X64=1` in the environment; for a "
        f"model that is {theirs} on purpose, add `ops: [{{cast: template}}]`"
    )


def _written(source: AbstractTree, task: Task, index: int) -> AbstractLeaf:
    origin = source.leaves[task.sources[0]]
    return AbstractLeaf(origin.kind, task.out_avals[index], origin.container, content=origin.content)


def _misfit(
    code: type[ShapeMismatch] | type[DtypeMismatch],
    task: Task,
    path: KeyPath,
    ours: AbstractLeaf,
    wanted: AbstractLeaf,
    advice: str,
) -> Diagnostic:
    origin = "" if task.sources == (path,) else f" (from `{format_path(task.sources[0])}`)"
    return code.at(
        f"`{format_path(path)}`{origin} is {ours}, but the template expects {wanted}",
        span=task.rule,
        paths=[format_path(path)],
        help=advice,
    )


def _merge(diagnostics: Iterable[Diagnostic]) -> Iterable[Diagnostic]:
    """Merges the diagnostics of one code and rule into one, which names the first leaf and counts the others."""
    groups: defaultdict[tuple[str, Span | None], list[Diagnostic]] = defaultdict(list)
    for diagnostic in diagnostics:
        groups[(diagnostic.code, diagnostic.span)].append(diagnostic)
    for (code, span), members in groups.items():
        more = f", and {len(members) - 1} more like it" if len(members) > 1 else ""
        paths = tuple(path for member in members for path in member.paths)
        yield Diagnostic(code, "error", members[0].message + more, span, None, paths, members[0].help)
