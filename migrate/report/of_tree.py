"""A tree as lines: complete where it is small, and never more than about a screen where it is not.

Subtrees that differ only in an integer of their name are one line with a count (`layers_{0..47} ×48`). What does not
fit after that is cut: levels are opened one after another while there is room, and what stays closed says what is
below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migrate.report.amounts import count, plural, size
from migrate.report.collapse import Line, fold_integers, segments, times
from migrate.report.view import Row
from migrate.tree import AbstractLeaf, AbstractTree

MOST_ROWS = 60
"""Lines of a tree when nobody says how deep it is to be shown."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What lies in a subtree: leaves, elements of their arrays, and bytes of these in host memory."""

    leaves: int = 0
    elements: int = 0
    nbytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.leaves + other.leaves, self.elements + other.elements, self.nbytes + other.nbytes)

    def __mul__(self, times: int) -> Amount:
        return Amount(self.leaves * times, self.elements * times, self.nbytes * times)

    def __str__(self) -> str:
        return f"{plural(self.leaves, 'leaf')}, {count(self.elements)} elements, {size(self.nbytes)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What two leaves must share to be drawn as one: kind, shape and dtype, and how they are stored and sharded."""

    what: str
    storage: str
    amount: Amount


@dataclass(frozen=True)
class Node:
    """A node whose children are drawn names, with what is below each."""

    children: tuple[tuple[str, Node | Signature], ...]
    amount: Amount
    depth: int

    @classmethod
    def of(cls, nested: Mapping[str, Any]) -> Node:
        """The node of nested mappings of signatures; children that differ only in an integer become one."""
        keys = {name: cls.of(below) if isinstance(below, Mapping) else below for name, below in nested.items()}
        lines = [Line(((name,),), (key,), ()) for name, key in keys.items()]
        children: list[tuple[str, Any]] = [(line.columns[0][0], line.key[0]) for line in fold_integers(lines)]
        amount = sum((below.amount * times(name) for name, below in children), Amount())
        depth = 1 + max((below.depth for _, below in children if isinstance(below, Node)), default=0)
        return cls(tuple(children), amount, depth)

    def __hash__(self) -> int:
        return hash((self.amount, self.depth, self.children[0][0] if self.children else ""))

    @property
    def inner(self) -> list[Node]:
        """The children that have children."""
        return [below for _, below in self.children if isinstance(below, Node)]


@dataclass(frozen=True)
class Drawn:
    """The lines of a tree, and what was left out."""

    rows: tuple[Row, ...]
    omitted: str = ""


def draw_tree(tree: AbstractTree, *, depth: int | None = None, verbose: bool = False) -> Drawn:
    """The tree, a line for each node.

    Args:
      tree: what to draw.
      depth: levels to show; as many as fit on a screen without it.
      verbose: everything, and how each leaf is encoded.
    """
    nested: dict[str, Any] = {}
    for path, leaf in tree.leaves.items():
        *above, last = segments(path) or (".",)
        node = nested
        for name in above:
            node = node.setdefault(name, {})
        node[last] = signature(leaf, verbose=verbose)
    root = Node.of(nested)
    opened = _within(root, depth or root.depth) if depth or verbose else _fitting(root, MOST_ROWS)
    rows = list(_rows(root, 0, opened))
    left = 0 if depth or verbose else len(rows) - MOST_ROWS
    if left > 0:
        return Drawn(tuple(rows[:MOST_ROWS]), f"… {left:,} more lines (-v shows everything)")
    cut = len(opened) < len(_within(root, root.depth))
    how = f"/… is closed: --depth N opens N of {root.depth} levels, -v everything" if cut else ""
    return Drawn(tuple(rows), how)


def _within(root: Node, depth: int) -> set[int]:
    """The nodes (by `id`) whose children are shown when that many levels are."""
    level, opened = [root], {id(root)}
    for _ in range(depth - 1):
        level = [below for node in level for below in node.inner]
        opened |= set(map(id, level))
    return opened


def _fitting(root: Node, room: int) -> set[int]:
    """The nodes whose children are shown when only so many lines are: level by level, those with few children first."""
    level, opened, left = [root], {id(root)}, room - len(root.children)
    while level:
        candidates = sorted((below for node in level for below in node.inner), key=lambda node: len(node.children))
        level = []
        for node in candidates:
            if len(node.children) <= left:
                left -= len(node.children)
                level.append(node)
        opened |= set(map(id, level))
    return opened


def _rows(node: Node, level: int, opened: set[int]) -> Iterator[Row]:
    for name, below in node.children:
        number = times(name)
        subject = "  " * (level + 1) + (f"{name} ×{number:,}" if number > 1 else name)
        if isinstance(below, Signature):
            yield Row(subject=subject, detail=f"{below.what}  {below.storage}".rstrip())
        elif id(below) not in opened:
            yield Row(subject=f"{subject}/…", detail=str(below.amount * number))
        else:
            yield Row(subject=subject, detail=str(below.amount * number) if level == 0 else "")
            yield from _rows(below, level + 1, opened)


def signature(leaf: AbstractLeaf, *, verbose: bool = False) -> Signature:
    """How a leaf is described, and what it weighs."""
    storage = leaf.storage
    chunks = storage.chunks if storage else None
    whole = leaf.aval is None or chunks is None or chunks == leaf.aval.shape
    parts = [size(leaf.nbytes)] if leaf.kind == "array" else []
    parts += [] if whole else [f"chunks [{','.join(map(str, chunks or ()))}]"]
    parts += [f"sharded {leaf.sharding}"] if leaf.sharding and any(leaf.sharding.spec) else []
    if verbose and storage:
        parts += [word for word in (storage.driver, storage.codec) if word]
    elements = leaf.aval.size if leaf.aval and leaf.kind == "array" else 0
    return Signature(str(leaf), "  ".join(parts), Amount(1, elements, leaf.nbytes))


def top_amounts(tree: AbstractTree) -> dict[str, Amount]:
    """What lies below each first segment."""
    found: dict[str, Amount] = {}
    for path, leaf in tree.leaves.items():
        name = (segments(path) or (".",))[0]
        found[name] = found.get(name, Amount()) + signature(leaf).amount
    return found
