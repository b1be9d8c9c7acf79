"""Windows: a part of a result, made from parts of the inputs, equals the same part of the whole result.

Covers `reshape_windows` as well.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.engine.streaming.array_graph import results
from migrate.engine.streaming.array_sources import ArraySource
from migrate.ops.base import OpError, avals
from migrate.ops.call import Call
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.registry import OPS
from migrate.ops.reshape import Reshape
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims
from migrate.ops.windows import cut, extent, windows
from migrate.planning.model import Task
from migrate.testing.ops import op_cases, op_chains, windows_of
from tests.matrix import examples

TASK = Task((("a",),), (("b",),), (0,), (), (None,), (None,))
MOST_TILES = 40
WITH_WINDOWS = [name for name, op in OPS.items() if object.__new__(op).has_windows]


@dataclass(frozen=True, eq=False)
class Held(ArraySource):
    """An array in memory, of which nothing empty may be read."""

    array: np.ndarray

    def read(self, window):
        assert 0 not in extent(window)
        return cut(self.array, window)


def held(array):
    return Held(*avals(array), tuple(max(size, 1) for size in array.shape), array)


def check(node, expected, window):
    part, made = cut(expected, window), node.read(window)
    assert (part.dtype, part.shape) == (made.dtype, made.shape)
    assert part.tobytes() == made.tobytes()


def check_tiles(node, expected, data):
    """Tiles of any size and one more window, which is often empty."""
    check(node, expected, data.draw(windows_of(expected.shape)))
    if expected.size:
        tile = [data.draw(st.integers(1, size)) for size in expected.shape]
        tiles = list(windows(expected.shape, tile))
        for window in tiles[:: -(-len(tiles) // MOST_TILES)]:
            check(node, expected, window)


@pytest.mark.parametrize("name", WITH_WINDOWS)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_tiles_of_a_result_are_parts_of_the_whole(name, data):
    op, arrays = data.draw(op_cases(name))
    try:
        expected = op.apply(*arrays)
    except OpError:
        return
    nodes = results(TASK, op, tuple(map(held, arrays)))
    assert len(expected) == len(nodes)
    for result, node in zip(expected, nodes, strict=True):
        check_tiles(node, result, data)


@settings(max_examples=examples(150), deadline=None)
@given(chain=op_chains(WITH_WINDOWS), data=st.data())
def test_tiles_of_what_a_chain_of_ops_makes_are_parts_of_the_whole(chain, data):
    node, expected = None, None
    for op, arrays, output in chain:
        nodes = tuple(map(held, arrays))
        node = results(TASK, op, nodes if node is None else (node, *nodes[1:]))[output]
        expected = op.apply(*arrays)[output]
    if node is not None:
        check_tiles(node, expected, data)


BORDER = {
    "expand_dims": [ExpandDims(0), Pad(((1, 0), (0, 0), (0, 0)))],
    "slice": [Slice(0, 1, 4, 2), Pad(((3, 3), (0, 2)))],
    "reshape": [Reshape((2, 2, 6)), Pad(((0, 1), (1, 0), (2, 0)))],
    "rearrange": [Rearrange("(h a) b -> a (b h)", (("h", 2),)), Pad(((3, 3), (1, 1)))],
    "a pad of a pad": [Pad(((2, 2), (0, 0))), ExpandDims(1), Pad(((0, 0), (1, 1), (0, 3)))],
    "nothing but border": [Slice(0, 2, 2), Pad(((2, 1), (1, 0)), 3)],
}


@pytest.mark.parametrize("chain", BORDER)
def test_every_element_of_a_border_can_be_made_alone(chain):
    expected = np.arange(24, dtype=np.float32).reshape(4, 6) + 1
    node = held(expected)
    for op in BORDER[chain]:
        (node,), (expected,) = results(TASK, op, (node,)), op.apply(expected)
    for window in windows(expected.shape, (1,) * expected.ndim):
        check(node, expected, window)


def test_an_op_that_needs_whole_arrays_says_so():
    call = Call("numpy:negative")
    assert not call.has_windows
    with pytest.raises(TypeError, match="call"):
        call.window(avals(np.zeros(2)), 0, ((0, 1),))


def test_every_other_op_can_be_worked_on_in_parts():
    assert ["call"] == [name for name in OPS if name not in WITH_WINDOWS]


@pytest.mark.parametrize(
    ("old", "new", "window", "needed"),
    [
        ((12, 64, 768), (768, 768), ((0, 64), (5, 9)), [((0, 1), (0, 64), (5, 9))]),
        ((768, 768), (12, 64, 768), ((1, 3), (0, 64), (0, 768)), [((64, 192), (0, 768))]),
        ((6, 4), (24,), ((5, 7),), [((1, 2), (1, 3))]),
        ((6, 4), (24,), ((3, 5),), [((0, 1), (3, 4)), ((1, 2), (0, 1))]),
        ((6, 4), (24,), ((3, 13),), [((0, 1), (3, 4)), ((1, 3), (0, 4)), ((3, 4), (0, 1))]),
        ((1, 6, 1), (6,), ((2, 3),), [((0, 1), (2, 3), (0, 1))]),
    ],
)
def test_a_run_of_a_reshape_needs_just_the_elements_of_the_run(old, new, window, needed):
    pull = Reshape(new).window(avals(np.zeros(old)), 0, window)
    assert needed == [part for _, part in pull.needs]


def test_windows_cover_an_array_in_c_order_without_overlap():
    seen = np.concatenate([cut(np.arange(35).reshape(5, 7), w).ravel() for w in windows((5, 7), (2, 3))])
    assert list(range(35)) == sorted(seen)
    assert [((0, 2), (0, 7)), ((2, 4), (0, 7)), ((4, 5), (0, 7))] == list(windows((5, 7), (2, 7)))
