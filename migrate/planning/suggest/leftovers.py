"""Decides about everything but the model's arrays: optimizer state, steps, random streams and training metrics.

The planner itself determines the leftovers, since moments follow their params. A leaf with a counterpart of another
name is moved; one whose name alone decides is dropped or created by a rule; the others are listed as not placed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from migrate.knowledge.layers import LAYERS
from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.rule_text.rule_drafts import RuleDraft, text_of
from migrate.planning.suggest.layout import ClassifiedLeaf, ClassifiedTree, is_transient
from migrate.rules.pattern import Pattern
from migrate.tree import AbstractArray, AbstractTree, KeyPath

_UNSUPPORTED = tuple(
    (loss.source, {leaf.sources[0][0] for leaf in layer.leaves})
    for layer in LAYERS
    for loss in layer.losses
    if loss.assert_zero
)
"""Arrays that the NNX counterpart of a layer does not have, and the names that identify the layer."""

_FRESH = {
    target[-1]: fresh.init
    for layer in LAYERS
    for fresh in layer.fresh
    if isinstance(fresh.init, str)
    for target in fresh.targets
}
"""Arrays that NNX adds to a layer, by name, and their initialization."""


@dataclass(frozen=True, slots=True)
class LeftoverRule:
    """A `drop` or `create` rule.

    Attributes:
      verb: `drop` or `create`.
      patterns: the patterns of the rule.
      value: the `assert:` of a drop or the `init:` of a creation, as YAML.
      why: the reason, for the comment.
      ops: the ops of a drop, before its assertion.
    """

    verb: str
    patterns: tuple[str, ...]
    value: str
    why: str
    ops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftoverDecisions:
    """The drafts that move, the rules that drop and create, and the leaves that are not placed."""

    drafts: tuple[RuleDraft, ...]
    settled: tuple[LeftoverRule, ...]
    sources: tuple[KeyPath, ...]
    targets: tuple[KeyPath, ...]

    def with_drops(self, drops: Sequence[LeftoverRule]) -> LeftoverDecisions:
        """Returns the decisions with more rules that drop leaves, which are then not listed as not placed."""
        patterns = [Pattern.parse(text) for drop in drops for text in drop.patterns]
        left = tuple(path for path in self.sources if all(pattern.match(path) is None for pattern in patterns))
        return replace(self, settled=(*self.settled, *drops), sources=left)


def settle_leftovers(
    mine: ClassifiedTree, theirs: ClassifiedTree, unexpected: Collection[KeyPath], missing: Collection[KeyPath]
) -> LeftoverDecisions:
    """Decides about the leftovers.

    Args:
      mine: the source's leaves.
      theirs: the template's leaves.
      unexpected: source leaves that the rules so far do not use.
      missing: target leaves that the rules so far do not fill.
    """
    left = [leaf for leaf in mine.leaves if leaf.path in set(unexpected)]
    open_ = [leaf for leaf in theirs.leaves if leaf.path in set(missing)]
    drafts = _renamed_state(left, open_)
    used = {path for draft in drafts for path in (*draft.claims, *draft.fills)}
    left = [leaf for leaf in left if leaf.path not in used]
    open_ = [leaf for leaf in open_ if leaf.path not in used]
    drops, creates = _drops(left, mine, theirs), _creates(open_, mine, theirs)
    dropped = {path for _, paths, _, _ in drops for path in paths}
    created = {path for _, paths, _, _ in creates for path in paths}
    settled = [
        LeftoverRule(verb, tuple(patterns_for(paths, [leaf.path for leaf in side.leaves])), value, why)
        for side, decisions in ((mine, drops), (theirs, creates))
        for verb, paths, value, why in decisions
    ]
    return LeftoverDecisions(
        tuple(drafts),
        tuple(settled),
        _unplaced([leaf for leaf in left if leaf.path not in dropped]),
        _unplaced([leaf for leaf in open_ if leaf.path not in created]),
    )


def with_leaves_without_arrays(
    rest: LeftoverDecisions, tree: AbstractTree, unexpected: Collection[KeyPath]
) -> LeftoverDecisions:
    """Returns the decisions with those about leaves that are no arrays: opaque ones are dropped, texts not placed."""
    patterns = [Pattern.parse(text) for rule in rest.settled if rule.verb == "drop" for text in rule.patterns]
    left = [path for path in unexpected if not any(pattern.match(path) is not None for pattern in patterns)]
    opaque = [path for path in left if not tree.leaves[path].is_readable]
    texts = tuple(path for path in left if tree.leaves[path].kind == "string")
    universe = [path for path, leaf in tree.leaves.items() if leaf.has_data]
    drops = tuple(patterns_for(opaque, universe)) if opaque else ()
    why = "text or objects, which no array of JAX holds"
    added = (LeftoverRule("drop", drops, "", why),) if drops else ()
    return replace(rest, settled=(*rest.settled, *added), sources=(*rest.sources, *texts))


def _unplaced(leaves: Sequence[ClassifiedLeaf]) -> tuple[KeyPath, ...]:
    """Returns the key paths without the moments of params that are among the leaves: they follow their params."""
    params = {(leaf.place, leaf.aval.shape) for leaf in leaves if leaf.role == "model"}

    def follows(leaf: ClassifiedLeaf) -> bool:
        ends = (leaf.path[depth:] for depth in range(1, len(leaf.path)))
        return leaf.role == "optimizer" and any((end, leaf.aval.shape) in params for end in ends)

    return tuple(leaf.path for leaf in leaves if not follows(leaf))


def _renamed_state(left: Sequence[ClassifiedLeaf], open_: Sequence[ClassifiedLeaf]) -> list[RuleDraft]:
    """Returns drafts for optimizer state and steps at other key paths in the target.

    Two leaves correspond when their key paths end alike, or when they are the only ones of their name.
    """
    drafts: list[RuleDraft] = []
    keys: tuple[Callable[[ClassifiedLeaf], object], ...] = (
        state_tail,
        lambda leaf: (leaf.role, leaf.path[-1], leaf.aval.shape),
    )
    for key in keys:
        taken = {path for draft in drafts for path in (*draft.claims, *draft.fills)}
        mine = [leaf for leaf in left if leaf.role in ("optimizer", "step") and leaf.path not in taken]
        theirs = [leaf for leaf in open_ if leaf.role in ("optimizer", "step") and leaf.path not in taken]
        counts = Counter(map(key, mine)), Counter(map(key, theirs))
        found = {key(leaf): leaf for leaf in theirs}
        drafts += [
            _renamed(leaf, found[key(leaf)])
            for leaf in mine
            if counts[0][key(leaf)] == counts[1][key(leaf)] == 1 and leaf.aval.shape == found[key(leaf)].aval.shape
        ]
    return drafts


def state_tail(leaf: ClassifiedLeaf) -> object:
    """Returns the part of the training state that a leaf is: `step`, or its key path inside the optimizer's state."""
    if leaf.role == "step":
        return "step"
    at = next((index for index, segment in enumerate(leaf.path) if segment == "opt_state"), -1)
    return leaf.path[at + 1 :]


def _renamed(leaf: ClassifiedLeaf, target: ClassifiedLeaf) -> RuleDraft:
    return RuleDraft(
        (text_of(leaf.path),),
        (text_of(target.path),),
        cast_ops(leaf.aval, target.aval),
        frozenset({leaf.path}),
        frozenset({target.path}),
        ("the same part of the training state",),
    )


def cast_ops(mine: AbstractArray, theirs: AbstractArray) -> tuple[str, ...]:
    """Returns the cast that a different dtype needs, if any; the cast is refused when a value would change."""
    return () if mine.dtype == theirs.dtype else ("cast: template",)


_Decision = tuple[str, list[KeyPath], str, str]


def _drops(left: Sequence[ClassifiedLeaf], mine: ClassifiedTree, theirs: ClassifiedTree) -> list[_Decision]:
    """Returns the decisions to drop that names alone determine."""
    paths = {leaf.path for leaf in mine.leaves}
    roles = {leaf.role for leaf in theirs.leaves}
    reasons: dict[str, list[KeyPath]] = {}
    lost = [leaf.path for leaf in left if leaf.role == "model" and _is_unsupported(leaf.path, paths)]
    for leaf in left:
        why = _why_dropped(leaf, roles)
        if why:
            reasons.setdefault(why, []).append(leaf.path)
    drops: list[_Decision] = [("drop", found, "", why) for why, found in reasons.items()]
    if lost:
        why = "the NNX layer has no such array; its outputs stay the same only if this is zero, which is checked"
        drops.append(("drop", lost, "zero", why))
    return drops


def _why_dropped(leaf: ClassifiedLeaf, roles: Collection[str]) -> str:
    if leaf.role == "rng":
        return "random streams of the source: the template's have another layout and start from a seed"
    if leaf.role == "metrics":
        return "training metrics that the template does not have"
    if leaf.role in ("optimizer", "step") and not {"optimizer", "step"} & set(roles):
        return "the template has no optimizer"
    return "values of a single run, which the template does not store" if is_transient(leaf) else ""


def unsupported_arrays(mine: Collection[KeyPath], theirs: Collection[KeyPath]) -> list[KeyPath]:
    """Returns the arrays of Linen's layers that neither the NNX layer nor, under that name, the target has."""
    return [
        path for path in mine if _is_unsupported(path, mine) and not any(other[-2:] == path[-2:] for other in theirs)
    ]


def _is_unsupported(path: KeyPath, paths: Collection[KeyPath]) -> bool:
    for source, names in _UNSUPPORTED:
        if path[-len(source) :] == source:
            layer = path[: -len(source)]
            depth = len(layer)
            if names <= {other[depth] for other in paths if len(other) > depth and other[:depth] == layer}:
                return True
    return False


def _creates(open_: Sequence[ClassifiedLeaf], mine: ClassifiedTree, theirs: ClassifiedTree) -> list[_Decision]:
    """Returns the decisions to create that names alone determine."""
    del theirs
    reasons: dict[tuple[str, str], list[KeyPath]] = {}
    has_optimizer = bool(mine.of("optimizer"))
    for leaf in open_:
        found = _how_created(leaf, has_optimizer=has_optimizer)
        if found:
            reasons.setdefault(found, []).append(leaf.path)
    return [("create", paths, init, why) for (init, why), paths in reasons.items()]


def _how_created(leaf: ClassifiedLeaf, *, has_optimizer: bool) -> tuple[str, str] | None:
    if leaf.role == "rng":
        return "{rng: {seed: 0}}", "random streams have no source"
    if leaf.role in ("optimizer", "step") and not has_optimizer:
        return "template", "the source has no optimizer state; the template's starts from its initial values"
    if leaf.role == "model" and leaf.path[-1] in _FRESH:
        return str(_FRESH[leaf.path[-1]]), "adapters, which do not change the output until they are trained"
    return None
