"""Finds the subtrees that mirror the params, by their key paths and never by the name of an optimizer.

A slot is a subtree whose leaves are all named like params: `mu` and `nu` of adam, `trace` of momentum, an EMA. Its key
paths are a subset of the params' paths, since a masked or labeled optimizer keeps no moments for the other params.
`flax.optim` kept the moments of a param below its key path: such a slot has a suffix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache

from migrate.knowledge.naming import PARAM_ROOTS
from migrate.planning.moments.names import FIELDS, PARAM_STATES, name_of
from migrate.planning.moments.nodes import below, children, holders, paths_below
from migrate.tree import AbstractTree, KeyPath, format_path, is_below, natural_key


@dataclass(frozen=True, slots=True)
class Slot:
    """A subtree that mirrors params.

    Attributes:
      prefix: the subtree's node.
      root: the node of the params that it mirrors.
      paths: the relative key paths of all its leaves with data, without the suffix; the params have the same paths.
      suffix: the end of all its key paths that the params do not have.
    """

    prefix: KeyPath
    root: KeyPath
    paths: frozenset[KeyPath]
    suffix: KeyPath = ()

    @property
    def leaves(self) -> tuple[KeyPath, ...]:
        """The key paths of its moments."""
        return _leaves_of(self)

    @property
    def params(self) -> frozenset[KeyPath]:
        """The key paths of the params that it mirrors."""
        return _params_of(self)

    @property
    def pattern(self) -> str:
        """The pattern of its moments, for rules."""
        return "/".join((format_path(self.prefix), "**", *map(str, self.suffix)))

    def param(self, moment: KeyPath) -> KeyPath:
        """Returns the param of the moment at this key path."""
        return self.root + moment[len(self.prefix) : len(moment) - len(self.suffix)]

    def moment(self, param: KeyPath) -> KeyPath | None:
        """Returns the slot's copy of a param, or None if it has none."""
        relative = param[len(self.root) :]
        below = param[: len(self.root)] == self.root
        return self.prefix + relative + self.suffix if below and relative in self.paths else None


@lru_cache(maxsize=1 << 6)
def _leaves_of(slot: Slot) -> tuple[KeyPath, ...]:
    return tuple(slot.prefix + path + slot.suffix for path in sorted(slot.paths))


@lru_cache(maxsize=1 << 6)
def _params_of(slot: Slot) -> frozenset[KeyPath]:
    return frozenset(slot.root + path for path in slot.paths)


def source_slots(tree: AbstractTree) -> dict[KeyPath, tuple[Slot, ...]]:
    """Returns the slots of each root of params in a checkpoint.

    Two networks may have the same structure: a mirror of both belongs to the root that `owner.best_roots` chooses. A
    deeper root that mirrors another is a copy of it (`ema/params` of `params`); a root of the same depth is another
    network. Moments of a known transform that mirror no such root make any node that they mirror a root. A slot and its
    root are in the same source.
    """
    return tree.once(_slots_of_sources)


def _slots_of_sources(tree: AbstractTree) -> dict[KeyPath, tuple[Slot, ...]]:
    return {
        start + root: tuple(replace(slot, prefix=start + slot.prefix, root=start + slot.root) for slot in slots)
        for start, part in tree.by_source.items()
        for root, slots in _source_slots(part).items()
    }


def _source_slots(tree: AbstractTree) -> dict[KeyPath, tuple[Slot, ...]]:
    found: dict[KeyPath, list[Slot]] = {}
    copies: set[KeyPath] = set()
    roots = _param_roots(tree)
    for root in roots:
        if root not in copies:
            rivals = [other for other in roots if len(other) <= len(root)]
            slots: list[Slot] = []
            for node in (root, *_inner_roots(tree, root)):
                slots += [slot for slot in mirrors(tree, node, below(tree, node)) if not _inside(slot.prefix, slots)]
                slots += _below_params(tree, node)
            found[root] = [slot for slot in slots if not any(is_below(slot.prefix, rival) for rival in rivals)]
            copies |= {other for other in roots if _inside(other, found[root])}
    for slot in best_roots(tree, [*_of_unnamed_roots(tree, [slot for slots in found.values() for slot in slots])]):
        root = next((root for root in found if is_below(slot.root, root)), slot.root)
        found.setdefault(root, []).append(slot)
    best = best_roots(tree, [slot for slots in found.values() for slot in slots])
    return {root: tuple(slot for slot in slots if slot in best) for root, slots in found.items()}


def best_roots(tree: AbstractTree, slots: Collection[Slot]) -> list[Slot]:
    """Returns the slots, each only with the roots that the evidence favors; several where it favors none.

    The evidence, in order: the moments have the shapes of the params, the slot is near the params, and the two have
    names in common.

    Args:
      tree: the slots' tree.
      slots: slots, one for each possible root.
    """
    rivals: defaultdict[tuple[KeyPath, KeyPath], list[Slot]] = defaultdict(list)
    for slot in dict.fromkeys(slots):
        rivals[slot.prefix, slot.suffix].append(slot)
    chosen: list[Slot] = []
    for group in rivals.values():
        evidence = {slot: _evidence(tree, slot) for slot in group} if len(group) > 1 else {}
        best = max(evidence.values(), default=())
        chosen += [slot for slot in group if evidence.get(slot, ()) == best]
    return chosen


def _evidence(tree: AbstractTree, slot: Slot) -> tuple[int, ...]:
    shapes = all(_same_shape(tree, slot.prefix + path + slot.suffix, slot.root + path) for path in slot.paths)
    return (shapes, *nearness(slot.prefix, slot.root))


def nearness(one: KeyPath, other: KeyPath) -> tuple[int, int, int]:
    """Returns how near two nodes are: the length of their common prefix, the names and then the words they share."""
    one = one[: one.index("opt_state")] if "opt_state" in one else one
    names = {part for part in one if not part.isdecimal()} & {*other}
    words = {word for part in one for word in part.split("_")} & {word for part in other for word in part.split("_")}
    return _shared(one, other), len(names), len(words)


def target_slots(tree: AbstractTree, params: Collection[KeyPath]) -> list[Slot]:
    """Returns the slots of a template.

    A template does not name the root of its params, so every shared prefix of them is tried; the topmost mirror is the
    slot.

    Args:
      tree: the template's tree.
      params: key paths in the template to which params go.
    """
    shared = common_prefix(params)
    slots: list[Slot] = []
    for depth in range(len(shared) + 1) if params else ():
        root = shared[:depth]
        relative = {path[depth:] for path in params} | (below(tree, root) if depth else frozenset())
        slots += [slot for slot in mirrors(tree, root, relative) if not _inside(slot.prefix, slots)]
    known = {*params}
    return [*slots, *(slot for slot in _of_unnamed_roots(tree, slots) if slot.params <= known)] if known else []


def mirrors(tree: AbstractTree, root: KeyPath, params: Set[KeyPath]) -> list[Slot]:
    """Returns every topmost node outside the params whose leaves with data are all named like params.

    Args:
      tree: the tree to search.
      root: the node of the params; nothing below it is a mirror. The root of the tree excludes nothing.
      params: the params' key paths below `root`.
    """
    found: list[Slot] = []
    top: KeyPath = ()
    for node in holders(tree, {path[0] for path in params if path}):
        depth = len(node)
        if (root and node[: len(root)] == root) or (top and node[: len(top)] == top):
            continue
        paths = paths_below(tree, node)
        if root[:depth] == node:
            paths = [path for path in paths if path[: len(root)] != root]
        shared = _mirrored(paths, depth, params)
        if shared:
            found.append(Slot(node, root, shared))
            top = node  # the nodes below it follow
    return sorted(found, key=lambda slot: (len(slot.prefix), natural_key(slot.prefix)))


def _mirrored(paths: Sequence[KeyPath], depth: int, params: Set[KeyPath]) -> frozenset[KeyPath] | None:
    """Returns the relative key paths of the leaves below a node of this depth if all of them are those of params."""
    if not paths or paths[0][depth:] not in params:
        return None  # most nodes
    shared = frozenset([path[depth:] for path in paths])
    if not shared <= params or all(path[0] == "count" for path in shared):
        return None  # a count belongs to a schedule, even where a param has this name
    return shared


def _param_roots(tree: AbstractTree) -> list[KeyPath]:
    starts = {path[:4] for path in tree.leaves}
    nodes = {start[:depth] for start in starts for depth in range(1, len(start))}
    roots = [node for node in nodes if node[-1] in PARAM_ROOTS and not any(part in PARAM_ROOTS for part in node[:-1])]
    return sorted(roots, key=lambda node: (len(node), natural_key(node)))


def _inner_roots(tree: AbstractTree, root: KeyPath) -> Iterator[KeyPath]:
    """Yields the collection of params below a root that holds all variables: an optimizer may mirror only that."""
    inner = (*root, "params")
    if any(path[: len(inner)] == inner and path != inner for path in tree.leaves):
        yield inner


def _below_params(tree: AbstractTree, root: KeyPath) -> Iterator[Slot]:
    """Yields the slots of `flax.optim`, which kept the moments of a param below the param's key path."""
    params = below(tree, root)
    nodes = {path[: path.index(PARAM_STATES) + 1] for path in tree.leaves if PARAM_STATES in path[:-2]}
    for node in sorted(nodes, key=natural_key):
        fields: defaultdict[str, set[KeyPath]] = defaultdict(set)
        for path in below(tree, node):
            fields[path[-1]].add(path[:-1])
        for name, paths in fields.items():
            if paths <= params:
                yield Slot(node, root, frozenset(paths), (name,))


def _of_unnamed_roots(tree: AbstractTree, known: Collection[Slot]) -> Iterator[Slot]:
    """Yields slots of known transforms that mirror no known root, for every node that they mirror, shapes included."""
    covered = {slot.prefix for slot in known}
    states = tree.once(_states)
    nodes = [(*state, name) for state, names in states.items() for name in sorted(names)]
    nodes = [node for node in nodes if node not in tree.leaves and not any(is_below(node, one) for one in covered)]
    ends = _ends(tree) if nodes else {}
    for node in nodes:
        paths = below(tree, node)
        longest = max(paths, key=lambda path: (len(path), path))
        for root in ends.get(longest, ()):
            inside = any(root[:depth] in states for depth in range(1, len(root) + 1))
            if not inside and all(_same_shape(tree, node + path, root + path) for path in paths):
                yield Slot(node, root, paths)


def _states(tree: AbstractTree) -> dict[KeyPath, set[str]]:
    """Returns the nodes that could be the state of a known transform, with the names of their children with data."""
    found = {node: children(tree, node) for node in holders(tree, FIELDS)}
    return {node: names for node, names in found.items() if name_of(names)}


def _ends(tree: AbstractTree) -> dict[KeyPath, list[KeyPath]]:
    """Returns for the end of every key path the nodes below which it exists."""
    ends: defaultdict[KeyPath, list[KeyPath]] = defaultdict(list)
    for path in tree.with_data:
        for depth in range(1, len(path)):
            ends[path[depth:]].append(path[:depth])
    return ends


def _same_shape(tree: AbstractTree, one: KeyPath, other: KeyPath) -> bool:
    """Whether there are arrays of one shape at both key paths."""
    ours, theirs = (leaf.aval if (leaf := tree.leaves.get(path)) else None for path in (one, other))
    return ours is not None and theirs is not None and ours.shape == theirs.shape


def _inside(node: KeyPath, slots: Collection[Slot]) -> bool:
    return any(is_below(node, slot.prefix) for slot in slots)


def _shared(one: KeyPath, other: KeyPath) -> int:
    return len(common_prefix((one, other)))


def common_prefix(paths: Collection[KeyPath]) -> KeyPath:
    """Returns the segments with which all paths begin."""
    if not paths:
        return ()
    first, last = min(paths), max(paths)
    return first[: next(_differences(first, last), min(len(first), len(last)))]


def _differences(one: KeyPath, other: KeyPath) -> Iterator[int]:
    return (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
