"""The types of the layer table. Rows are plain values and do not import Flax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.tree import KeyPath

OpData = Mapping[str, Any]
"""An op in the form of a rule file, such as `{"concat": {"axis": -1}}`."""

InitData = str | Mapping[str, Any]
"""The value of `init:` in a rule file."""


@dataclass(frozen=True, slots=True)
class LeafMapping:
    """An array of the NNX layer and the arrays of the Linen layer from which it is computed.

    Attributes:
      sources: key paths below the Linen layer, in the order of the ops' inputs.
      target: the key path below the NNX layer.
      ndim: the minimum and maximum number of dimensions of each source; None for no maximum. Lifted layers have one
        more for each lift that stacks.
      collection: the Linen collection of the sources.
      ops: the ops to apply. Axes count from the end, so that they are also right for stacked layers.
      optional: whether some layers lack it (`use_bias=False`, no decode cache).
    """

    sources: tuple[KeyPath, ...]
    target: KeyPath
    ndim: tuple[int, int | None]
    collection: str = "params"
    ops: tuple[OpData, ...] = ()
    optional: bool = False

    @property
    def keeps_name(self) -> bool:
        """Whether array and name are the same in both layers."""
        return self.sources == (self.target,) and not self.ops


@dataclass(frozen=True, slots=True)
class DroppedLeaf:
    """An array of the Linen layer without a counterpart in the NNX layer.

    Attributes:
      source: the key path below the Linen layer.
      assert_zero: whether the outputs stay the same only if the array is zero.
      collection: the Linen collection of the source.
    """

    source: KeyPath
    assert_zero: bool = False
    collection: str = "params"


@dataclass(frozen=True, slots=True)
class CreatedLeaves:
    """Leaves of the NNX layer without a source in the Linen layer.

    Attributes:
      targets: key paths below the NNX layer.
      init: their initial value.
      optional: whether some layers lack them.
    """

    targets: tuple[KeyPath, ...]
    init: InitData
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """One row: a Linen layer and the NNX layer with the same outputs.

    Attributes:
      linen: the classes of `flax.linen` whose variables have this form; empty if Linen has no such layer.
      nnx: the class of `flax.nnx`.
      leaves: the arrays of both layers; every array is in `leaves`, `losses`, `fresh` or below `children`.
      children: the submodules below the Linen and the NNX layer; their own rows describe them.
      losses: the arrays that are dropped.
      fresh: the leaves that are created.
      note: further information, in one or two sentences.
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
        """Whether the migration only renames the layer."""
        return not self.losses and all(leaf.keeps_name for leaf in self.leaves)

    @property
    def collections(self) -> tuple[str, ...]:
        """The Linen collections of its leaves, in table order."""
        found = dict.fromkeys(leaf.collection for leaf in self.leaves)
        return tuple(found) or (("params",) if self.children else ())
