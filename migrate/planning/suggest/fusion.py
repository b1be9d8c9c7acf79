"""Layers that are one in one model and several in the other: q, k and v, the gates of recurrent cells, gated MLPs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from migrate.knowledge.layers import LAYERS
from migrate.planning.suggest.assign import assign
from migrate.planning.suggest.convert import convert
from migrate.planning.suggest.fit import kinds_agree
from migrate.planning.suggest.tokens import forms, similarity
from migrate.planning.suggest.values import Doubt, End, Item, OpText, Pair, Scope, Way
from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class Parts:
    """Sibling layers that some models join.

    Attributes:
      names: what they are called, in the order in which they are joined.
      whole: the name of the joined layer, where a known layer of NNX fixes name and order.
    """

    names: tuple[str, ...]
    whole: str | None = None


def _gates() -> Iterator[Parts]:
    """The joins of Flax's own recurrent cells."""
    for layer in LAYERS:
        for leaf in layer.leaves:
            if len(leaf.sources) > 1:
                yield Parts(tuple(source[0] for source in leaf.sources), leaf.target[0])


FUSIONS = (
    *dict.fromkeys(_gates()),
    Parts(("query", "key", "value")),
    Parts(("key", "value")),
    Parts(("gate", "up")),
    Parts(("wi_0", "wi_1")),
)


def fuse(source: Scope, target: Scope, *, lead: bool) -> tuple[Pair, ...]:
    """Sources that are joined into one target, and sources that are cut into several."""
    joined = [pair for parts in FUSIONS for pair in _joins(parts, source, target, lead=lead)]
    cut = [
        _backwards(pair, source, target, lead=lead)
        for parts in FUSIONS
        for pair in _joins(parts, target, source, lead=lead)
    ]
    taken: set[tuple[str, KeyPath]] = set()
    kept: list[Pair] = []
    for pair in (*joined, *filter(None, cut)):
        ends = {("s", end.path) for end in pair.sources} | {("t", end.path) for end in pair.targets}
        if not ends & taken:
            taken |= ends
            kept.append(pair)
    return tuple(kept)


def _joins(parts: Parts, many: Scope, one: Scope, *, lead: bool) -> Iterator[Pair]:
    """Pairs of several arrays on the side that has them apart and one on the other side."""
    groups: list[list[KeyPath]] = []
    for parent, members in _siblings(parts, many).items():
        names = set.intersection(*({path[-1] for path in many if path[:-1] == (*parent, m)} for m in members))
        groups += [[(*parent, member, name) for member in members] for name in sorted(names)]
    wholes = [path for path in one if path not in many and parts.whole in (None, path[-2] if len(path) > 1 else None)]
    ways = {
        (i, j): ops
        for i, group in enumerate(groups)
        for j, whole in enumerate(wholes)
        if whole[-1] == group[0][-1]
        and (ops := _joined(parts, [many[path] for path in group], one[whole], lead=lead)) is not None
    }

    def worth(i: int, j: int) -> float:
        return 1 + similarity(groups[i][0][:-2], wholes[j][:-2]) if (i, j) in ways else 0.0

    for i, j in assign(len(groups), len(wholes), worth):
        others = tuple(wholes[k] for k in range(len(wholes)) if k != j and (i, k) in ways)
        reason, doubts = _why(parts, wholes[j], ways[i, j])
        if others:
            doubts = (*doubts, Doubt(f"{parts.names[0]} and the others fit elsewhere, too", others=others))
        yield Pair(tuple(map(End, groups[i])), (End(wholes[j]),), ways[i, j], reason, doubts)


def _siblings(parts: Parts, scope: Scope) -> dict[KeyPath, tuple[str, ...]]:
    """Modules that hold all the parts, each under one of its names."""
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
    near = [] if strict else sorted(name for name in names if _calls(part, name))
    return near[0] if len(near) == 1 else None


def _calls(part: str, name: str) -> bool:
    written = name.replace("_", "").lower()
    return written in forms(part) - {"proj", "out"} or written.removesuffix("proj") == part


def _joined(parts: Parts, items: list[Item], whole: Item, *, lead: bool) -> tuple[OpText, ...] | None:
    """The ops that join the sources into the target; None when their shapes do not allow it."""
    if not all(kinds_agree(item.kind, whole.kind) for item in items) or not whole.shape:
        return None
    return _concatenated(items, whole, lead=lead) or (None if parts.whole else _stacked(items, whole, lead=lead))


def _concatenated(items: list[Item], whole: Item, *, lead: bool) -> tuple[OpText, ...] | None:
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


def _stacked(items: list[Item], whole: Item, *, lead: bool) -> tuple[OpText, ...] | None:
    shapes = {item.shape for item in items}
    for axis, size in enumerate(whole.shape):
        rest = (*whole.shape[:axis], *whole.shape[axis + 1 :])
        found = convert(next(iter(shapes)), rest, lead=lead) if len(shapes) == 1 and size == len(items) else None
        if found is not None and not found.open:
            return (*found.ops, f"stack: {{axis: {axis - len(whole.shape)}}}")
    return None


def _why(parts: Parts, path: KeyPath, ops: tuple[OpText, ...]) -> tuple[str, tuple[Doubt, ...]]:
    listed = ", ".join(parts.names)
    if parts.whole is not None:
        return f"NNX's own cell joins {listed} in this order", ()
    name = path[-2] if len(path) > 1 else path[-1]
    order = " ".join(reversed(parts.names))
    ways = (Way(f"the same in another order, such as {order}"), *_interleaved(parts, ops))
    return "", (Doubt(f"shapes do not show in which order {listed} stand in `{name}`", ways=ways),)


def _interleaved(parts: Parts, ops: tuple[OpText, ...]) -> tuple[Way, ...]:
    """Heads side by side, each with its own q, k and v; only where heads were merged."""
    merged = next((op for op in ops if op.startswith("rearrange") and "(" in op), None)
    if merged is None or ops[-1] != "concat: {axis: -1}":
        return ()
    left = merged.partition('"')[2].partition(" ->")[0].split()
    *outer, heads, size = left
    apart = " ".join((*outer, heads))
    back = f'"{apart} p {size} -> {" ".join((*outer, f"({heads} p {size})"))}"'
    by_heads = ("expand_dims: {axis: -2}", "concat: {axis: -2}", f"rearrange: {back}")
    return (Way(f"heads side by side, each with its {', '.join(parts.names)}", by_heads),)


def _backwards(pair: Pair, source: Scope, target: Scope, *, lead: bool) -> Pair | None:
    """The way from the joined array to its parts."""
    whole, wanted = source[pair.targets[0].path], [target[end.path] for end in pair.sources]
    last = pair.ops[-1]
    if last.startswith("stack"):
        return None
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
    doubts = tuple(replace(doubt, ways=doubt.ways[:1]) for doubt in pair.doubts)
    return Pair(pair.targets, pair.sources, (cut, *first), pair.reason, doubts)
