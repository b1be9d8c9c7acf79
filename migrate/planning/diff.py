"""Two abstract trees side by side: which key paths only one of them has, and which differ in shape or dtype."""

from __future__ import annotations

from dataclasses import dataclass

from migrate.planning.box_levels import with_template_paths
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath


@dataclass(frozen=True, slots=True)
class Diff:
    """Mismatched key paths, both ways; leaves that hold no data (`None`, empty containers) take no part.

    Attributes:
      missing: in the target only.
      unexpected: in the source only.
      shape_mismatch, dtype_mismatch: in both, but different; a leaf can be in both lists.
      same: in both and equal.
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
        """Whether nothing differs."""
        return not (self.missing or self.unexpected or self.shape_mismatch or self.dtype_mismatch)


def same_shape(one: AbstractLeaf, other: AbstractLeaf) -> bool:
    """Whether two leaves with data have one shape."""
    return (one.aval and one.aval.shape) == (other.aval and other.aval.shape)


def same_dtype(one: AbstractLeaf, other: AbstractLeaf) -> bool:
    """Whether two leaves with data have one dtype; a Python number and an array of its dtype agree, a string only with
    a string.
    """
    return (one.aval and one.aval.dtype) == (other.aval and other.aval.dtype)


def diff(source: AbstractTree, target: AbstractTree) -> Diff:
    """Compares what `source` holds with what `target` expects, which knows whether a level `value` is a name."""
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
