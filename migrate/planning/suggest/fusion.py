"""Matches fused layers with separate ones: q, k and v, the gates of recurrent cells, gated MLPs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from migrate.knowledge.layers import LAYERS
from migrate.planning.suggest.assign import assign
from migrate.planning.suggest.convert import convert
from migrate.planning.suggest.fit import kinds_agree
from migrate.planning.suggest.scope import LEAF_NAMES
from migrate.planning.suggest.tokens import alike, forms, similarity
from migrate.planning.suggest.values import Alternative, Doubt, Endpoint, Match, ModelArray, OpText, Scope
from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class FusedLayers:
    """Sibling layers that some models fuse into one.

    Attributes:
      names: the names of the layers, in the order in which they are joined.
      whole: the name of the fused layer, where a known layer of NNX fixes name and order.
    """

    names: tuple[str, ...]
    whole: str | None = None


_BIASES = frozenset({"bias", "b"})
_OF_LAYERS = LEAF_NAMES | _BIASES | {"w", "weight", "weights"}
"""Names of arrays that say nothing about their layer."""

_ONE_NAME = 0.9
"""The similarity of names of arrays that are synonyms."""

_SUFFIXES = ("", "proj", "einsum", "linear", "weight", "kernel", "bias", "layer")
"""Endings of the names of separate layers and arrays."""


def _gates() -> Iterator[FusedLayers]:
    """Yields the fused layers of Flax's own recurrent cells."""
    for layer in LAYERS:
        for leaf in layer.leaves:
            if len(leaf.sources) > 1:
                yield FusedLayers(tuple(source[0] for source in leaf.sources), leaf.target[0])


FUSIONS = (
    *dict.fromkeys(_gates()),
    FusedLayers(("query", "key", "value")),
    FusedLayers(("key", "value")),
    FusedLayers(("gate", "up")),
    FusedLayers(("wi_0", "wi_1")),
)


def fuse(source: Scope, target: Scope, *, lead: bool) -> tuple[Match, ...]:
    """Returns matches of several sources joined into one target, and of one source split into several targets."""
    joined = [match for parts in FUSIONS for match in _joins(parts, source, target, lead=lead)]
    cut = [
        _backwards(match, source, target, lead=lead)
        for parts in FUSIONS
        for match in _joins(parts, target, source, lead=lead)
    ]
    taken: set[tuple[str, KeyPath]] = set()
    kept: list[Match] = []
    for match in (*joined, *filter(None, cut)):
        ends = {("s", end.path) for end in match.sources} | {("t", end.path) for end in match.targets}
        if not ends & taken:
            taken |= ends
            kept.append(match)
    return tuple(kept)


def _joins(parts: FusedLayers, many: Scope, one: Scope, *, lead: bool) -> Iterator[Match]:
    """Yields matches of several arrays of scope `many` with one of scope `one`."""
    groups = [*_groups(parts, many), *_bare_groups(parts, many)]
    wholes = [path for path in one if path not in many and parts.whole in (None, path[-2] if len(path) > 1 else None)]
    ways = {
        (i, j): ops
        for i, group in enumerate(groups)
        for j, whole in enumerate(wholes)
        if _is_whole(whole, group[0])
        and (ops := _joined(parts, [many[path] for path in group], one[whole], lead=lead)) is not None
    }

    def worth(i: int, j: int) -> float:
        return 1 + similarity(groups[i][0][:-2], wholes[j][:-2]) if (i, j) in ways else 0.0

    for i, j in assign(len(groups), len(wholes), worth):
        others = tuple(wholes[k] for k in range(len(wholes)) if k != j and (i, k) in ways)
        reason, doubts = _reason_and_doubts(parts, wholes[j], ways[i, j])
        if others:
            doubts = (*doubts, Doubt(f"{', '.join(parts.names)} also fit elsewhere", others=others))
        yield Match(tuple(map(Endpoint, groups[i])), (Endpoint(wholes[j]),), ways[i, j], reason, doubts)


def _groups(parts: FusedLayers, scope: Scope) -> list[list[KeyPath]]:
    """Returns the arrays of one name in all separate layers: their kernels, their biases."""
    groups: list[list[KeyPath]] = []
    for parent, members in _siblings(parts, scope).items():
        names = set.intersection(*({path[-1] for path in scope if path[:-1] == (*parent, m)} for m in members))
        groups += [[(*parent, member, name) for member in members] for name in sorted(names)]
    return groups


def _bare_groups(parts: FusedLayers, scope: Scope) -> list[list[KeyPath]]:
    """Returns the separate arrays that are no layers: the arrays themselves have the names of the parts."""
    if parts.whole is not None:
        return []
    children: defaultdict[KeyPath, set[str]] = defaultdict(set)
    for path in scope:
        children[path[:-1]].add(path[-1])
    named = {parent: [_named(part, names, strict=False) for part in parts.names] for parent, names in children.items()}
    return [
        [(*parent, str(member)) for member in members]
        for parent, members in named.items()
        if all(members) and len(set(members)) == len(members)
    ]


def _is_whole(whole: KeyPath, part: KeyPath) -> bool:
    """Whether a joined array may hold such parts: arrays of one name, or an array outside a layer and no bias."""
    if whole[-1] == part[-1]:
        return True
    if {whole[-1], part[-1]} <= _OF_LAYERS:
        return alike(whole[-1], part[-1]) >= _ONE_NAME
    return any("bias" in segment for segment in whole[-1:]) == (part[-1] in _BIASES or "bias" in part[-1])


def _siblings(parts: FusedLayers, scope: Scope) -> dict[KeyPath, tuple[str, ...]]:
    """Returns the modules that hold all of the separate layers, each with their names there."""
    children: defaultdict[KeyPath, set[str]] = defaultdict(set)
    for path in scope:
        if len(path) > 1:
            children[path[:-2]].add(path[-2])
    found: dict[KeyPath, tuple[str, ...]] = {}
    for parent, names in children.items():
        members = [_named(part, names, strict=parts.whole is not None) for part in parts.names]
        if all(members) and len(set(members)) == len(members):
            found[parent] = tuple(map(str, members))
    return found


def _named(part: str, names: set[str], *, strict: bool) -> str | None:
    if part in names:
        return part
    near = [] if strict else sorted(name for name in names if _is_synonym(part, name))
    return near[0] if len(near) == 1 else None


def _is_synonym(part: str, name: str) -> bool:
    written = name.replace("_", "").lower()
    stems = {written.removesuffix(suffix) for suffix in _SUFFIXES}
    return bool(stems & (forms(part) - {"proj", "out"})) or part in stems


def _joined(parts: FusedLayers, items: list[ModelArray], whole: ModelArray, *, lead: bool) -> tuple[OpText, ...] | None:
    """Returns the ops that join the sources into the target; None when their shapes do not allow it."""
    if not all(kinds_agree(item.kind, whole.kind) for item in items) or not whole.shape:
        return None
    return _concatenated(items, whole, lead=lead) or (None if parts.whole else _stacked(items, whole, lead=lead))


def _concatenated(items: list[ModelArray], whole: ModelArray, *, lead: bool) -> tuple[OpText, ...] | None:
    rows = math.prod(whole.shape[:-1])
    sizes = [math.prod(item.shape) // rows if rows else 0 for item in items]
    if sum(sizes) != whole.shape[-1] or 0 in sizes:
        return None
    ways = {
        found.ops if (found := convert(item.shape, (*whole.shape[:-1], size), lead=lead)) and not found.open else None
        for item, size in zip(items, sizes, strict=True)
    }
    first = next(iter(ways))
    return (*first, "concat: {axis: -1}") if len(ways) == 1 and first is not None else None


def _stacked(items: list[ModelArray], whole: ModelArray, *, lead: bool) -> tuple[OpText, ...] | None:
    shapes = {item.shape for item in items}
    for axis, size in enumerate(whole.shape):
        rest = (*whole.shape[:axis], *whole.shape[axis + 1 :])
        found = convert(next(iter(shapes)), rest, lead=lead) if len(shapes) == 1 and size == len(items) else None
        if found is not None and not found.open:
            return (*found.ops, f"stack: {{axis: {axis - len(whole.shape)}}}")
    return None


def _reason_and_doubts(parts: FusedLayers, path: KeyPath, ops: tuple[OpText, ...]) -> tuple[str, tuple[Doubt, ...]]:
    listed = ", ".join(parts.names)
    if parts.whole is not None:
        return f"NNX's own cell joins {listed} in this order", ()
    name = path[-2] if len(path) > 1 else path[-1]
    order = ", ".join(reversed(parts.names))
    ways = (Alternative(f"the same in another order, such as {order}", _flipped(ops)), *_interleaved(parts, ops))
    return "", (Doubt(f"shapes do not show the order of {listed} in `{name}`", alternatives=ways),)


def _interleaved(parts: FusedLayers, ops: tuple[OpText, ...]) -> tuple[Alternative, ...]:
    """Returns the alternative in which each head has its own q, k and v side by side; only where heads were merged."""
    merged = next((op for op in ops if op.startswith("rearrange") and "(" in op), None)
    if merged is None or ops[-1] != "concat: {axis: -1}":
        return ()
    left = merged.partition('"')[2].partition(" ->")[0].split()
    if any("(" in axis for axis in left):  # a merged axis that was split
        return ()
    *outer, heads, size = left
    apart = " ".join((*outer, heads))
    back = f'"{apart} p {size} -> {" ".join((*outer, f"({heads} p {size})"))}"'
    by_heads = ("expand_dims: {axis: -2}", "concat: {axis: -2}", f"rearrange: {back}")
    return (Alternative(f"grouped by heads, each with its {', '.join(parts.names)}", by_heads),)


def _backwards(match: Match, source: Scope, target: Scope, *, lead: bool) -> Match | None:
    """Returns the match from the fused array to the separate ones, or None."""
    whole, wanted = source[match.targets[0].path], [target[end.path] for end in match.sources]
    if match.ops[-1].startswith("stack"):
        return _unstacked(match, whole, wanted, lead=lead)
    rows = math.prod(whole.shape[:-1])
    sizes = [math.prod(item.shape) // rows for item in wanted]
    ways = {
        found.ops if (found := convert((*whole.shape[:-1], size), item.shape, lead=lead)) else None
        for item, size in zip(wanted, sizes, strict=True)
    }
    first = next(iter(ways))
    if len(ways) > 1 or first is None:
        return None
    cut = f"split: {{axis: -1, sizes: [{', '.join(map(str, sizes))}]}}"
    doubts = tuple(replace(doubt, alternatives=doubt.alternatives[:1]) for doubt in match.doubts)
    return Match(match.targets, match.sources, (cut, *first), match.reason, doubts)


def _unstacked(match: Match, whole: ModelArray, wanted: list[ModelArray], *, lead: bool) -> Match | None:
    """Returns the match from a stack of layers to the separate ones, or None."""
    axis = int(match.ops[-1].partition("axis: ")[2].rstrip("}"))
    at = axis + len(whole.shape)
    ways = {
        found.ops if (found := convert(whole.without(at).shape, item.shape, lead=lead)) else None for item in wanted
    }
    first = next(iter(ways))
    if len(ways) > 1 or first is None:
        return None
    cut = f"unstack: {{axis: {axis}}}"
    doubts = tuple(
        replace(doubt, alternatives=tuple(replace(way, ops=_flipped((cut, *first))) for way in doubt.alternatives))
        for doubt in match.doubts
    )
    return Match(match.targets, match.sources, (cut, *first), match.reason, doubts)


def _flipped(ops: tuple[OpText, ...]) -> tuple[OpText, ...]:
    """Returns the ops that join or divide a stack in the reverse order; none for arrays that are concatenated."""
    if ops[-1].startswith("stack"):
        return (*ops, ops[-1].replace("stack", "flip"))
    return (ops[0].replace("unstack", "flip"), *ops) if ops[0].startswith("unstack") else ()
