"""Reads the arrays of a transformer by their names: what each layer means, and the block and expert that it belongs to.

The same array of all blocks is one column, so that columns are matched once, whatever the number of blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from migrate.knowledge.meanings import (
    ARRAYS,
    BLOCKS,
    CONTEXTS,
    EXPERTS,
    KINDS_OF_BLOCK,
    MEANINGS,
    NORMS,
    REMAINDER,
    ROUTER_OR_GATE,
    SUBLAYER_NORMS,
    SUBLAYERS,
    TORCH_ARRAY,
    Axes,
    plain,
)
from migrate.planning.rule_text.numbers import split_number
from migrate.planning.suggest.layout import ClassifiedLeaf
from migrate.planning.suggest.values import Shape
from migrate.tree import KeyPath

NORM = "norm"
"""The meaning of all norms of a block, which their positions tell apart."""

Cell = tuple[int | None, int | None]
"""The block and the expert of an array; None for an array outside of a list, and for one that holds all of a list."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means: the meaning, the axes of the arrays, and the position of a norm."""

    meaning: str = ""
    axes: Axes = "vector"
    rank: float = 0.0


@dataclass(slots=True)
class Column:
    """The same array of all blocks, or one array outside of them.

    Attributes:
      tower: the key path above the list of blocks; for an array outside of blocks, empty.
      names: the key path of the layer inside its block.
      array: `weight` or `bias`.
      named: what the names mean.
      in_block: whether it belongs to blocks.
      stacked: whether each array holds the blocks along an axis.
      torch: whether the array has a name of PyTorch's.
      kind: which of the layers it is in a block of several layers, and their number; for the last layers, which are no
        block, the number of the first one and 1.
      remains: whether it is of the last layers.
      layer_at, expert_at: the segments with the numbers, counted from the end; 0 for none.
      cells: the arrays.
    """

    tower: KeyPath
    names: KeyPath
    array: str
    in_block: bool
    stacked: bool
    torch: bool
    kind: tuple[int, int]
    layer_at: int
    expert_at: int
    remains: bool = False
    named: Named = field(default_factory=Named)
    cells: dict[Cell, ClassifiedLeaf] = field(default_factory=dict)

    @property
    def first(self) -> ClassifiedLeaf:
        """The array of the first block."""
        return next(iter(self.cells.values()))

    @property
    def shape(self) -> Shape:
        """The shape of each array."""
        return self.first.aval.shape

    @property
    def layers(self) -> list[int]:
        """The numbers of the blocks among all layers, in order."""
        at, count = self.kind
        return sorted({layer * count + at for layer, _ in self.cells if layer is not None})

    @property
    def experts(self) -> list[int]:
        """The numbers of the experts, in order."""
        return sorted({expert for _, expert in self.cells if expert is not None})

    @property
    def is_uniform(self) -> bool:
        """Whether all arrays have one shape, and every block has every expert."""
        shapes = {leaf.aval.shape for leaf in self.cells.values()}
        rows = {layer for layer, _ in self.cells}
        return len(shapes) == 1 and len(self.cells) == len(rows) * max(len(self.experts), 1)

    def at(self, layer: int | None, expert: int | None) -> ClassifiedLeaf | None:
        """Returns the array of one of all layers and one expert."""
        kind, count = self.kind
        if layer is not None:
            layer, rest = divmod(layer - kind, count)
            if rest:
                return None
        return self.cells.get((layer, expert))


def read_columns(leaves: Iterable[ClassifiedLeaf]) -> list[Column]:
    """Returns the arrays of a model as columns."""
    found: dict[object, Column] = {}
    for leaf in leaves:
        column, cell = _column(leaf.place)
        key = (column.tower, column.names, column.array, column.kind, column.stacked, column.layer_at, column.expert_at)
        found.setdefault((*key, leaf.place[-1]), column).cells[cell] = leaf
    columns = list(found.values())
    _count_groups(columns)
    modules = _contexts(columns)
    for column in columns:
        column.named = _named(column, modules)
    _settle_routers(columns)
    _settle_plain_mlps(columns)
    return [_outside(column) if column.named.meaning == "relative positions" else column for column in columns]


def _column(place: KeyPath) -> tuple[Column, Cell]:
    """Returns an empty column for the array at a key path, and its cell."""
    at = _list_at(place)
    layer: int | None = None
    layer_at = 0
    tower: KeyPath = ()
    inner = place
    kind = (0, 1)
    if at is not None:
        tower, layer, start = place[: at[0]], at[1], at[2]
        layer_at, inner = (start - 1 - len(place) if layer is not None else 0), place[start:]
        stem, number = split_number(inner[0])
        if layer is None and number is not None and plain(stem) in BLOCKS and len(inner) > 1:
            inner, kind = inner[1:], (number, 0)
    remains = tower[-1:] == (REMAINDER,)
    inner, expert, expert_at = _without_expert(inner)
    names, array = _array(inner)
    names, kind = _kind(names) if at is not None and kind == (0, 1) else (names, kind)
    tower = tower[:-1] if remains else tower
    torch, stacked = place[-1] == TORCH_ARRAY, at is not None and layer is None
    column = Column(tower, names, array, at is not None, stacked, torch, kind, layer_at, expert_at, remains)
    return column, (layer, expert)


def _count_groups(columns: Sequence[Column]) -> None:
    """Completes the kinds of layers that are numbered inside of their blocks: `layers/layers_3`."""
    most: defaultdict[KeyPath, int] = defaultdict(int)
    for column in columns:
        most[column.tower] = max(most[column.tower], column.kind[0] + 1)
    for column in columns:
        if column.kind[1] == 0:
            column.kind = (column.kind[0], most[column.tower])


def _list_at(place: KeyPath) -> tuple[int, int | None, int] | None:
    """Returns the position of the list of blocks, the number of the block, and the position of what is inside."""
    for at, segment in enumerate(place[:-1]):
        stem, number = split_number(segment)
        if plain(segment) in BLOCKS:
            if place[at + 1].isdecimal() and at + 2 < len(place):
                return at, int(place[at + 1]), at + 2
            return at, None, at + 1
        if number is not None and plain(stem) in BLOCKS:
            return at, number, at + 1
    return None


def _without_expert(inner: KeyPath) -> tuple[KeyPath, int | None, int]:
    """Returns the key path inside a block without the list of experts, the expert, and the position of its number."""
    for at, segment in enumerate(inner[:-1]):
        if plain(segment) in EXPERTS:
            if inner[at + 1].isdecimal():
                return (*inner[:at], *inner[at + 2 :]), int(inner[at + 1]), at + 1 - len(inner)
            return (*inner[:at], *inner[at + 1 :]), None, 0
        stem, number = split_number(segment)
        if number is not None and plain(stem) in EXPERTS:
            return (*inner[:at], *inner[at + 1 :]), number, at - len(inner)
    return inner, None, 0


def _array(inner: KeyPath) -> tuple[KeyPath, str]:
    """Returns the layer and its array; an array without a layer of its own is the weight of a layer of its name."""
    if not inner:
        return inner, "weight"
    if inner[-1] in ARRAYS and len(inner) > 1:
        return inner[:-1], ARRAYS[inner[-1]]
    stem = inner[-1].removesuffix("_bias")
    return (*inner[:-1], stem), "weight" if stem == inner[-1] else "bias"


def _kind(names: KeyPath) -> tuple[KeyPath, tuple[int, int]]:
    """Returns names without the end that tells the layers of a block apart, and which of the layers it is."""
    for kinds in KINDS_OF_BLOCK:
        for index, kind in enumerate(kinds):
            if any(name.endswith(f"_{kind}") for name in names):
                return tuple(name.removesuffix(f"_{kind}") for name in names), (index, len(kinds))
    return names, (0, 1)


def _contexts(columns: Sequence[Column]) -> Mapping[object, set[str]]:
    """Returns the places of the modules inside each module of a block, by tower and key path."""
    found: defaultdict[object, set[str]] = defaultdict(set)
    for column in columns:
        for at, name in enumerate(column.names):
            if column.in_block and plain(name) in CONTEXTS:
                found[column.tower, column.names[:at]].add(CONTEXTS[plain(name)])
    return found


_BY_PLACE: Mapping[tuple[str, str], Named] = {
    (one.place, name): Named(one.name, one.axes)
    for one in reversed(MEANINGS)  # the first of a name counts
    for name in one.names
}
_POSITIONS: Mapping[tuple[str, str], float] = {
    (one.place, name): one.rank for one in reversed(NORMS) for name in one.names
}


def _tails(names: KeyPath) -> list[str]:
    words = [plain(name) for name in names]
    return ["/".join(words[-count:]) for count in range(min(3, len(words)), 0, -1)]


def _named(column: Column, modules: Mapping[object, set[str]]) -> Named:
    """Returns what the names of a column mean; nothing for unknown names."""
    tails = _tails(column.names)
    if not column.in_block:
        return _lookup(tails, ("model",)) or _norm(tails, "model") or Named()
    around = next((CONTEXTS[plain(name)] for name in reversed(column.names[:-1]) if plain(name) in CONTEXTS), None)
    if around == "cross":
        found = _lookup(tails, ("attention",))
        return Named(f"cross {found.meaning}", found.axes) if found else _sublayer(column, {around}) or Named()
    places = (around,) if around else ("mlp", "attention")
    relative = _BY_PLACE.get(("model", tails[-1])) if tails and around == "attention" else None
    if relative and relative.axes == "relative" and plain(column.names[-1]) != "bias":
        return relative
    within = {around} if around else modules.get((column.tower, column.names[:-1]), set())
    return (
        (_norm(tails[:1], "block") if len(tails) == 3 else None)
        or (_lookup(tails, places) if around else None)
        or _sublayer(column, within)
        or _norm(tails, "block")
        or _lookup(tails, places)
        or Named()
    )


def _lookup(tails: Sequence[str], places: Sequence[str]) -> Named | None:
    found = (_BY_PLACE.get((place, tail)) for tail in tails for place in places)
    return next((one for one in found if one), None)


def _norm(tails: Sequence[str], place: str) -> Named | None:
    ranks = (_POSITIONS[place, tail] for tail in tails if (place, tail) in _POSITIONS)
    return next((Named(NORM, "vector", rank) for rank in ranks), None)


def _sublayer(column: Column, within: set[str]) -> Named | None:
    """Returns the norm of an attention or MLP beside which it stands in a module of its own."""
    if plain(column.names[-1]) not in SUBLAYER_NORMS or len(column.names) < 2 or len(within) != 1:
        return None
    return Named(NORM, "vector", SUBLAYERS[next(iter(within))])


def _settle_routers(columns: Sequence[Column]) -> None:
    """Gives the name of a gate the meaning of a router in a module with gates of experts."""
    gates: defaultdict[object, list[Column]] = defaultdict(list)
    for column in columns:
        if column.named.meaning == "gate":
            gates[column.tower, column.kind].append(column)
    for group in gates.values():
        for column in group:
            if plain(column.names[-1]) == ROUTER_OR_GATE and any(plain(o.names[-1]) != ROUTER_OR_GATE for o in group):
                column.named = Named("router", "matrix")


def _settle_plain_mlps(columns: Sequence[Column]) -> None:
    """Gives the first of two matrices of an MLP the meaning of the second of three, which has no gate."""
    meanings: defaultdict[object, set[str]] = defaultdict(set)
    for column in columns:
        meanings[column.tower].add(column.named.meaning)
    for column in columns:
        if column.named.meaning == "gate" and "up" not in meanings[column.tower]:
            column.named = Named("up", "matrix")


def _outside(column: Column) -> Column:
    """Returns a column of the first block that belongs to all blocks as one outside of them."""
    if not column.in_block or len(column.cells) != 1 or column.stacked:
        return column
    cells: dict[Cell, ClassifiedLeaf] = {(None, None): column.first}
    names = (*column.tower, *column.names)
    return Column((), names, column.array, False, False, column.torch, (0, 1), 0, 0, False, column.named, cells)
