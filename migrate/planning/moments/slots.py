"""Finds the subtrees that mirror the params, by their key paths and never by the name of an optimizer.

A slot is a subtree whose leaves are all named like params: `mu` and `nu` of adam, `trace` of momentum, an EMA. Its key
paths are a subset of the params' paths, since a masked or labeled optimizer keeps no moments for the other params.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrate.knowledge.naming import PARAM_ROOTS
from migrate.tree import AbstractTree, KeyPath, is_below, natural_key


@dataclass(frozen=True, slots=True)
class Slot:
    """A subtree that mirrors params.

    Attributes:
      prefix: the subtree's node.
      root: the node of the params that it mirrors.
      paths: the relative key paths of all its leaves with data; the params have the same paths.
    """

    prefix: KeyPath
    root: KeyPath
    paths: frozenset[KeyPath]

    def param(self, moment: KeyPath) -> KeyPath:
        """Returns the param of the moment at this key path."""
        return self.root + moment[len(self.prefix) :]

    def moment(self, param: KeyPath) -> KeyPath | None:
        """Returns the slot's copy of a param, or None if it has none."""
        relative = param[len(self.root) :]
        below = param[: len(self.root)] == self.root
        return self.prefix + relative if below and relative in self.paths else None


def source_slots(tree: AbstractTree) -> dict[KeyPath, tuple[Slot, ...]]:
    """Returns the slots of each root of params in a checkpoint.

    Two networks may have the same structure: a mirror of both belongs to the nearest root. A deeper root that mirrors
    another is a copy of it (`ema/params` of `params`); a root of the same depth is another network.
    """
    found: dict[KeyPath, list[Slot]] = {}
    copies: set[KeyPath] = set()
    roots = _param_roots(tree)
    for root in roots:
        if root not in copies:
            rivals = [other for other in roots if len(other) <= len(root)]
            slots = mirrors(tree, root, below(tree, root))
            found[root] = [slot for slot in slots if not any(is_below(slot.prefix, rival) for rival in rivals)]
            copies |= {other for other in roots if _inside(other, found[root])}
    return nearest_only(found)


def nearest_only(found: Mapping[KeyPath, Sequence[Slot]]) -> dict[KeyPath, tuple[Slot, ...]]:
    """Returns the slots by the root they were found for; a slot found for several roots stays only with the nearest."""
    best: dict[KeyPath, int] = {}
    for slot in (slot for slots in found.values() for slot in slots):
        best[slot.prefix] = max(best.get(slot.prefix, 0), _shared(slot.prefix, slot.root))
    return {
        name: tuple(slot for slot in slots if _shared(slot.prefix, slot.root) == best[slot.prefix])
        for name, slots in found.items()
    }


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
        relative = {path[depth:] for path in params} | (set(below(tree, root)) if depth else set())
        slots += [slot for slot in mirrors(tree, root, relative) if not _inside(slot.prefix, slots)]
    return slots


def mirrors(tree: AbstractTree, root: KeyPath, params: Collection[KeyPath]) -> list[Slot]:
    """Returns every topmost node outside the params whose leaves with data are all named like params.

    Args:
      tree: the tree to search.
      root: the node of the params; nothing below it is a mirror. The root of the tree excludes nothing.
      params: the params' key paths below `root`.
    """
    leaves: defaultdict[KeyPath, int] = defaultdict(int)
    shared: defaultdict[KeyPath, set[KeyPath]] = defaultdict(set)
    names: defaultdict[KeyPath, set[str]] = defaultdict(set)
    for path, leaf in tree.leaves.items():
        if leaf.has_data and not (root and path[: len(root)] == root):
            for depth in range(1, len(path)):
                leaves[path[:depth]] += 1
                names[path[:depth]].add(path[depth])
                if path[depth:] in params:
                    shared[path[:depth]].add(path[depth:])
    found: list[Slot] = []
    for node in sorted(shared, key=lambda node: (len(node), natural_key(node))):
        schedule = names[node] == {"count"}  # even where a param has this name
        whole = len(shared[node]) == leaves[node] and not schedule
        if whole and not _inside(node, found):
            found.append(Slot(node, root, frozenset(shared[node])))
    return found


def below(tree: AbstractTree, node: KeyPath) -> frozenset[KeyPath]:
    """Returns the relative key paths of all leaves with data below a node."""
    depth = len(node)
    return frozenset(path[depth:] for path, leaf in tree.leaves.items() if leaf.has_data and path[:depth] == node)


def _param_roots(tree: AbstractTree) -> list[KeyPath]:
    nodes = {path[:depth] for path in tree.leaves for depth in range(1, min(len(path), 4))}
    roots = [node for node in nodes if node[-1] in PARAM_ROOTS and not any(part in PARAM_ROOTS for part in node[:-1])]
    return sorted(roots, key=lambda node: (len(node), natural_key(node)))


def _inside(node: KeyPath, slots: Sequence[Slot]) -> bool:
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
