"""Compares two abstract trees: key paths that only one of them has, and leaves that differ in shape or dtype."""

from __future__ import annotations

from dataclasses import dataclass

from migrate.notebook import ShownInNotebook
from migrate.planning.box_levels import with_template_paths
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath


@dataclass(frozen=True, slots=True)
class Diff(ShownInNotebook):
    """Differences in both directions; leaves without data (`None`, empty containers) are ignored.

    Attributes:
      missing: key paths that only the target has.
      unexpected: key paths that only the source has.
      shape_mismatch, dtype_mismatch: key paths in both trees whose leaves differ; a leaf can be in both lists.
      same: key paths in both trees whose leaves are equal.
    """

    source: AbstractTree
    target: AbstractTree
    missing: tuple[KeyPath, ...]
    unexpected: tuple[KeyPath, ...]
    shape_mismatch: tuple[KeyPath, ...]
    dtype_mismatch: tuple[KeyPath, ...]
    same: tuple[KeyPath, ...]

    @property
    def equal(self) -> bool:
        """Whether the trees agree."""
        return not (self.missing or self.unexpected or self.shape_mismatch or self.dtype_mismatch)


def same_shape(one: AbstractLeaf, other: AbstractLeaf) -> bool:
    """Whether two leaves with data have the same shape."""
    return (one.aval and one.aval.shape) == (other.aval and other.aval.shape)


def same_dtype(one: AbstractLeaf, other: AbstractLeaf) -> bool:
    """Whether two leaves with data have the same dtype.

    A Python number and an array of its dtype agree; a string agrees only with a string.
    """
    return (one.aval and one.aval.dtype) == (other.aval and other.aval.dtype)


def diff(source: AbstractTree, target: AbstractTree) -> Diff:
    """Compares the source with the target, whose key paths decide whether a level `value` is a name."""
    source = with_template_paths(source, target)
    ours = {path: leaf for path, leaf in source.leaves.items() if leaf.has_data}
    theirs = {path: leaf for path, leaf in target.leaves.items() if leaf.has_data}
    both = [path for path in theirs if path in ours]
    shapes = tuple(path for path in both if not same_shape(ours[path], theirs[path]))
    types = tuple(path for path in both if not same_dtype(ours[path], theirs[path]))
    differ = {*shapes, *types}
    return Diff(
        source,
        target,
        missing=tuple(path for path in theirs if path not in ours),
        unexpected=tuple(path for path in ours if path not in theirs),
        shape_mismatch=shapes,
        dtype_mismatch=types,
        same=tuple(path for path in both if path not in differ),
    )
