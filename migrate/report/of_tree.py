"""A tree as lines: complete if it is small, otherwise about as many lines as fit on a screen.

Subtrees that differ only in an integer of their name share one line with a count (`layers_{0..47} ×48`). If the rest
does not fit, levels are expanded one after another while there is room; collapsed nodes show their totals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrate.report.amounts import count, plural, size
from migrate.report.collapse import Line, merge_integers, segments, times
from migrate.report.view import Row
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

MOST_ROWS = 60
"""The most lines of a tree without a depth."""


@dataclass(frozen=True, slots=True)
class Amount:
    """The size of a subtree: leaves, elements of their arrays, and bytes of the arrays in host memory."""

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
    """Properties that leaves on one line have in common: kind, shape, dtype, storage and sharding."""

    what: str
    storage: str
    amount: Amount


@dataclass(frozen=True)
class TreeNode:
    """A node whose children are printed names with their subtrees."""

    children: tuple[tuple[str, TreeNode | Signature], ...]
    amount: Amount
    depth: int

    @classmethod
    def of(cls, nested: Mapping[str, Any]) -> TreeNode:
        """Builds the node of nested mappings of signatures; children that differ only in an integer are merged."""
        keys = {name: cls.of(below) if isinstance(below, Mapping) else below for name, below in nested.items()}
        lines = [Line(((name,),), (key,), ()) for name, key in keys.items()]
        children: list[tuple[str, Any]] = [(line.columns[0][0], line.key[0]) for line in merge_integers(lines)]
        amount = sum((below.amount * times(name) for name, below in children), Amount())
        depth = 1 + max((below.depth for _, below in children if isinstance(below, TreeNode)), default=0)
        return cls(tuple(children), amount, depth)

    def __hash__(self) -> int:
        return hash((self.amount, self.depth, self.children[0][0] if self.children else ""))

    @property
    def inner(self) -> list[TreeNode]:
        """The children that have children."""
        return [below for _, below in self.children if isinstance(below, TreeNode)]


@dataclass(frozen=True)
class Drawn:
    """The lines of a tree, and a sentence about omitted ones."""

    rows: tuple[Row, ...]
    omitted: str = ""


def draw_tree(tree: AbstractTree, *, depth: int | None = None, verbose: bool = False) -> Drawn:
    """Draws the tree, a line for each node.

    Args:
      tree: the tree.
      depth: levels to show; by default as many as fit on a screen.
      verbose: whether to show everything, with the encoding of each leaf.
    """
    nested: dict[str, Any] = {}
    for path, leaf in tree.leaves.items():
        *above, last = _names(path)
        node = nested
        for name in above:
            node = node.setdefault(name, {})
        node[last] = signature(leaf, verbose=verbose)
    root = TreeNode.of(nested)
    expanded = _within(root, depth or root.depth) if depth or verbose else _fitting(root, MOST_ROWS)
    rows = list(_rows(root, 0, expanded))
    left = 0 if depth or verbose else len(rows) - MOST_ROWS
    if left > 0:
        return Drawn(tuple(rows[:MOST_ROWS]), f"… {left:,} more lines (-v shows all)")
    cut = len(expanded) < len(_within(root, root.depth))
    how = f"/… is collapsed: --depth N expands N of {root.depth} levels, -v all" if cut else ""
    return Drawn(tuple(rows), how)


def _names(path: KeyPath) -> Sequence[str]:
    """Returns the names of a key path's nodes; joined with `/` they are its text.

    The slash around an empty segment is shown with its neighbor: `a/` and `b` for `a//b`.
    """
    names: list[str] = []
    for text in segments(path):
        if names and not (text and names[-1].strip("/")):
            names[-1] += f"/{text}"
        else:
            names.append(text)
    return names if len(path) > 1 else [format_path(path)]


def _within(root: TreeNode, depth: int) -> set[int]:
    """Returns the nodes (by `id`) whose children are shown if that many levels are expanded."""
    level, expanded = [root], {id(root)}
    for _ in range(depth - 1):
        level = [below for node in level for below in node.inner]
        expanded |= set(map(id, level))
    return expanded


def _fitting(root: TreeNode, room: int) -> set[int]:
    """Returns the nodes to expand within a number of lines: level by level, nodes with few children first."""
    level, expanded, left = [root], {id(root)}, room - len(root.children)
    while level:
        candidates = sorted((below for node in level for below in node.inner), key=lambda node: len(node.children))
        level = []
        for node in candidates:
            if len(node.children) <= left:
                left -= len(node.children)
                level.append(node)
        expanded |= set(map(id, level))
    return expanded


def _rows(node: TreeNode, level: int, expanded: set[int]) -> Iterator[Row]:
    for name, below in node.children:
        number = times(name)
        subject = "  " * (level + 1) + (f"{name} ×{number:,}" if number > 1 else name)
        if isinstance(below, Signature):
            yield Row(subject=subject, detail=f"{below.what}  {below.storage}".rstrip())
        elif id(below) not in expanded:
            yield Row(subject=f"{subject}/…", detail=str(below.amount * number))
        else:
            yield Row(subject=subject, detail=str(below.amount * number) if level == 0 else "")
            yield from _rows(below, level + 1, expanded)


def signature(leaf: AbstractLeaf, *, verbose: bool = False) -> Signature:
    """Returns the description of a leaf and its size."""
    storage = leaf.storage
    chunks = (storage.inner or storage.chunks) if storage else None
    whole = leaf.aval is None or chunks is None or chunks == leaf.aval.shape
    parts = [size(leaf.nbytes)] if leaf.kind == "array" else []
    parts += [] if whole else [f"chunks [{','.join(map(str, chunks or ()))}]"]
    parts += [f"sharded {leaf.sharding}"] if leaf.sharding and any(leaf.sharding.spec) else []
    if verbose and storage:
        parts += [word for word in (storage.driver, storage.codec) if word]
    elements = leaf.aval.size if leaf.aval and leaf.kind == "array" else 0
    return Signature(str(leaf), "  ".join(parts), Amount(1, elements, leaf.nbytes))


def top_amounts(tree: AbstractTree) -> dict[str, Amount]:
    """Returns the size below each first segment."""
    found: dict[str, Amount] = {}
    for path, leaf in tree.leaves.items():
        name = format_path(path[:1])
        found[name] = found.get(name, Amount()) + signature(leaf).amount
    return found
