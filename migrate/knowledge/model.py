"""The words in which the table of layers is written. Rows are values: they ask nothing of Flax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.tree import KeyPath

OpData = Mapping[str, Any]
"""An op as a rule file writes it, such as `{"concat": {"axis": -1}}`."""

InitData = str | Mapping[str, Any]
"""What a rule file writes behind `init:`."""


@dataclass(frozen=True, slots=True)
class LeafMapping:
    """An array of the NNX layer, and the arrays of the Linen layer that it is made of.

    Attributes:
      sources: key paths below the Linen layer, in the order in which the ops take them.
      target: the key path below the NNX layer.
      ndim: the fewest and the most dimensions of each source; None for no bound. Lifted layers have one more for every
        lift that stacks.
      collection: the Linen collection that holds the sources.
      ops: what happens on the way. Axes count from the end, so that they hold for stacked layers, too.
      optional: whether a layer may do without it (`use_bias=False`, no decode cache).
    """

    sources: tuple[KeyPath, ...]
    target: KeyPath
    ndim: tuple[int, int | None]
    collection: str = "params"
    ops: tuple[OpData, ...] = ()
    optional: bool = False

    @property
    def keeps_name(self) -> bool:
        """Whether it is the same array under the same name."""
        return self.sources == (self.target,) and not self.ops


@dataclass(frozen=True, slots=True)
class DroppedLeaf:
    """An array of the Linen layer that the NNX layer has no place for.

    Attributes:
      source: the key path below the Linen layer.
      assert_zero: whether the outputs stay the same only if it is zero throughout.
    """

    source: KeyPath
    assert_zero: bool = False
    collection: str = "params"


@dataclass(frozen=True, slots=True)
class CreatedLeaves:
    """Leaves of the NNX layer that the Linen layer has no source for.

    Attributes:
      targets: key paths below the NNX layer.
      init: how they begin.
      optional: whether a layer may do without them.
    """

    targets: tuple[KeyPath, ...]
    init: InitData
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """One row: a layer of Linen and the layer of NNX that computes the same.

    Attributes:
      linen: classes of `flax.linen` whose variables have this form; empty where Linen has no such layer.
      nnx: the class of `flax.nnx`.
      leaves: array by array; every array of the two layers is in `leaves`, `losses`, `fresh` or below `children`.
      children: submodules, below the Linen layer and below the NNX layer; their own rows say what is in them.
      note: what else has to be known, in one or two sentences.
    """

    linen: tuple[str, ...]
    nnx: str
    leaves: tuple[LeafMapping, ...] = ()
    children: tuple[tuple[KeyPath, KeyPath], ...] = ()
    losses: tuple[DroppedLeaf, ...] = ()
    fresh: tuple[CreatedLeaves, ...] = ()
    note: str = ""

    @property
    def keeps_names(self) -> bool:
        """Whether renaming the layer is all that there is to do."""
        return not self.losses and all(leaf.keeps_name for leaf in self.leaves)

    @property
    def collections(self) -> tuple[str, ...]:
        """The Linen collections that hold its leaves, `params` first."""
        found = dict.fromkeys(leaf.collection for leaf in self.leaves)
        return tuple(found) or (("params",) if self.children else ())
