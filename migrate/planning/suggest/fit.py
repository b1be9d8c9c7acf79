"""Decides whether one layer can become another: array by array, by name, shape and kind of Variable."""

from __future__ import annotations

import math
from dataclasses import dataclass

from migrate.knowledge.meanings import TORCH_ARRAY
from migrate.knowledge.naming import COLLECTIONS
from migrate.planning.suggest.convert import SAME, Conversion, convert, may_be_turned
from migrate.planning.suggest.scope import LEAF_NAMES, LayerUnit
from migrate.planning.suggest.tokens import alike, similarity
from migrate.planning.suggest.values import ModelArray

_KERNELS = ("kernel", "w")
"""Names of matrices that are [in, out]."""

_LEAST_ALIKE = 0.6
"""The minimum similarity of array names of which one is Flax's own."""

_SURE_ALIKE = 0.35
"""The similarity of names below which only the shape supports a match of single arrays."""


@dataclass(frozen=True, slots=True)
class LeafMatch:
    """An array of one layer that becomes an array of another."""

    source: str
    target: str
    conversion: Conversion
    turnable: bool = False

    @property
    def torch(self) -> bool:
        """Whether it is a matrix of PyTorch's that becomes one of Flax's, whose orientation is the other."""
        return self.source == TORCH_ARRAY and self.target in _KERNELS


@dataclass(frozen=True, slots=True)
class LayerFit:
    """How one layer becomes another.

    Attributes:
      leaf_matches: the matched arrays.
      share: the share of the arrays of both layers with a counterpart, from 0 to 1.
      cost: how unlikely the conversions are.
    """

    leaf_matches: tuple[LeafMatch, ...]
    share: float
    cost: float

    @property
    def whole(self) -> bool:
        """Whether every array of both layers has a counterpart."""
        return self.share == 1.0


def fit_layer(source: LayerUnit, target: LayerUnit, *, lead: bool = False) -> LayerFit | None:
    """Returns how one layer becomes the other, or None if none of its arrays fits."""
    if source.loose or target.loose:
        return _fit_single(source, target, lead=lead)
    leaf_matches = []
    ours = dict(source.leaves)
    for name, wanted in target.leaves:
        found = [match for mine in ours if (match := _match(mine, ours[mine], name, wanted, lead=lead))]
        if found:
            best = max(found, key=lambda match: (match.source == name, -match.conversion.cost))
            leaf_matches.append(best)
            del ours[best.source]
    if not _main_fits(source, {match.source for match in leaf_matches}):
        return None
    if not _main_fits(target, {match.target for match in leaf_matches}):
        return None
    return _fit(leaf_matches, len(source.leaves), len(target.leaves))


def _main_fits(unit: LayerUnit, matched: set[str]) -> bool:
    """Whether the largest array of a layer has a counterpart: a bias does not move without its kernel."""
    sizes = sorted(((math.prod(item.shape), name) for name, item in unit.leaves), reverse=True)
    return len(sizes) == 1 or sizes[0][0] == sizes[1][0] or sizes[0][1] in matched


def names_alike(source: LayerUnit, target: LayerUnit) -> float:
    """Returns the similarity of the names of two layers, from 0 to 1; a single array also stands for its layer."""
    ends = [(source.path, target.path)]
    if source.loose != target.loose and len(source.leaves) == len(target.leaves) == 1:
        ends.append((source.leaf(source.leaves[0][0]), target.leaf(target.leaves[0][0])))
    if source.loose and target.loose and min(len(source.path), len(target.path)) > 1:
        ends.append((source.path[:-1], target.path[:-1]))
    return max(similarity(one, other) for one, other in ends)


def only_shape(source: LayerUnit, target: LayerUnit) -> bool:
    """Whether two single arrays have only their shape in common."""
    return (source.loose or target.loose) and names_alike(source, target) < _SURE_ALIKE


def _fit(leaf_matches: list[LeafMatch], mine: int, theirs: int) -> LayerFit | None:
    if not leaf_matches:
        return None
    share = 2 * len(leaf_matches) / (mine + theirs)
    return LayerFit(
        tuple(leaf_matches), share, sum(match.conversion.cost for match in leaf_matches) / len(leaf_matches)
    )


def _fit_single(source: LayerUnit, target: LayerUnit, *, lead: bool) -> LayerFit | None:
    """Fits a single array to a single array, regardless of their names."""
    if len(source.leaves) != 1 or len(target.leaves) != 1:
        return None
    ((mine, item),), ((theirs, wanted),) = source.leaves, target.leaves
    found = _match(mine, item, theirs, wanted, lead=lead, strict=False)
    if found is None or (found.conversion.open and alike(mine, theirs) < _LEAST_ALIKE):
        return None
    return _fit([found], 1, 1)


def _match(
    mine: str, item: ModelArray, theirs: str, wanted: ModelArray, *, lead: bool, strict: bool = True
) -> LeafMatch | None:
    if not kinds_agree(item.kind, wanted.kind):
        return None
    if mine != theirs and (strict or {mine, theirs} <= LEAF_NAMES) and alike(mine, theirs) < _LEAST_ALIKE:
        return None
    found = convert(item.shape, wanted.shape, lead=lead)
    if found is None or (found.open and mine == theirs and mine in LEAF_NAMES):
        return None  # Linen's and NNX's own layers store their matrices in the same orientation
    own_layout = mine == theirs and mine in LEAF_NAMES
    turnable = found is SAME and not own_layout and may_be_turned(item.shape, wanted.shape)
    return LeafMatch(mine, theirs, found, turnable)


def kinds_agree(mine: str | None, theirs: str | None) -> bool:
    """Whether an array of one kind of Variable can become the other; running averages never become parameters."""
    if mine is None or theirs is None or mine == theirs:
        return True
    known = set(COLLECTIONS.values())
    return not {mine, theirs} <= known
