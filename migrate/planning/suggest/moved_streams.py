"""Random streams of layers that have another name in the template.

A layer such as `Dropout` has a stream and no array, so that no shape places it. The layers around it do: if `blocks/0`
becomes `layers/0`, the only stream below the one is the only stream below the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set

from migrate.planning.suggest.layout import ClassifiedLeaf
from migrate.planning.suggest.values import Endpoint, Match
from migrate.tree import KeyPath

_Streams = dict[KeyPath, dict[KeyPath, ClassifiedLeaf]]
"""The leaves of each stream by the key path of its layer, and below it by their own."""


def moved_streams(
    mine: Mapping[KeyPath, ClassifiedLeaf], theirs: Mapping[KeyPath, ClassifiedLeaf], matches: Iterable[Match]
) -> list[Match]:
    """Returns the matches of random streams whose layers moved.

    Args:
      mine: the leaves of the source's streams, without those that keep their key path.
      theirs: the leaves of the template's streams, likewise.
      matches: the matches of the model's arrays, which place the layers.
    """
    ours, wanted, moves = _by_layer(mine), _by_layer(theirs), _moved_nodes(matches)
    pairs = {layer: target for layer in ours for target in _counterpart(layer, ours, wanted, moves)}
    unique = {layer: target for layer, target in pairs.items() if [*pairs.values()].count(target) == 1}
    return [
        Match((Endpoint((*layer, *end)),), (Endpoint((*target, *end)),), (), "the random stream of the same layer")
        for layer, target in unique.items()
        if _alike(ours[layer], wanted[target])
        for end in ours[layer]
    ]


def _by_layer(leaves: Mapping[KeyPath, ClassifiedLeaf]) -> _Streams:
    streams: defaultdict[KeyPath, dict[KeyPath, ClassifiedLeaf]] = defaultdict(dict)
    for place, leaf in leaves.items():
        if "rngs" in place:
            at = place.index("rngs")
            streams[place[:at]][place[at:]] = leaf
    return dict(streams)


def _moved_nodes(matches: Iterable[Match]) -> dict[KeyPath, KeyPath]:
    """Returns the nodes of the source that became one node of the template, all arrays below them agreeing."""
    targets: defaultdict[KeyPath, set[KeyPath]] = defaultdict(set)
    for match in matches:
        if len(match.sources) == len(match.targets) == 1:
            source, target = match.sources[0].path, match.targets[0].path
            for end in range(1, min(len(source), len(target))):
                targets[source[:-end]].add(target[:-end])
    return {node: next(iter(found)) for node, found in targets.items() if len(found) == 1}


def _counterpart(
    layer: KeyPath, ours: _Streams, wanted: _Streams, moves: Mapping[KeyPath, KeyPath]
) -> Iterator[KeyPath]:
    """Yields the layer of the template that has the stream, if the nearest node that moved determines it."""
    node = next((layer[:end] for end in range(len(layer), 0, -1) if layer[:end] in moves), None)
    if node is None:
        return
    here, there = _ends(ours.keys(), node), _ends(wanted.keys(), moves[node])
    own = layer[len(node) :]
    if own in there:
        yield moves[node] + own
    elif len(here - there) == len(there - here) == 1:
        yield moves[node] + next(iter(there - here))


def _ends(layers: Set[KeyPath], node: KeyPath) -> set[KeyPath]:
    return {layer[len(node) :] for layer in layers if layer[: len(node)] == node}


def _alike(one: Mapping[KeyPath, ClassifiedLeaf], other: Mapping[KeyPath, ClassifiedLeaf]) -> bool:
    return {end: leaf.aval for end, leaf in one.items()} == {end: leaf.aval for end, leaf in other.items()}
