"""Windows: a part of a result, made from parts of the inputs, is what it is when it is cut out of the whole."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.engine.streaming.array_graph import results
from migrate.engine.streaming.array_sources import Source
from migrate.ops.base import OpError, avals
from migrate.ops.call import Call
from migrate.ops.registry import OPS
from migrate.ops.reshape import Reshape
from migrate.ops.windows import can_pull, cut, pull, windows
from migrate.planning.model import Task
from migrate.testing.ops import op_cases

PULLED = sorted(set(OPS) - {"call"})
TASK = Task((("a",),), (("b",),), (0,), (), (None,), (None,))


@dataclass(frozen=True, eq=False)
class Held(Source):
    """An array in memory."""

    array: np.ndarray

    def read(self, window):
        return cut(self.array, window)


def held(array):
    return Held(*avals(array), tuple(max(size, 1) for size in array.shape), array)


def drawn_window(data, shape):
    starts = [data.draw(st.integers(0, size - 1)) for size in shape]
    return tuple((start, data.draw(st.integers(start + 1, size))) for start, size in zip(starts, shape, strict=True))


@pytest.mark.parametrize("name", PULLED)
@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_window_is_what_it_is_when_it_is_cut_from_the_whole(name, data):
    op, arrays = data.draw(op_cases(name))
    try:
        expected = op.apply(*arrays)
    except OpError:
        return
    nodes = results(TASK, op, tuple(map(held, arrays)))
    assert len(expected) == len(nodes)
    for result, node in zip(expected, nodes, strict=True):
        if result.size and all(array.size for array in arrays):
            window = drawn_window(data, result.shape)
            part, made = cut(result, window), node.read(window)
            assert (part.dtype, part.shape) == (made.dtype, made.shape)
            assert part.tobytes() == made.tobytes()


def test_an_op_that_needs_whole_arrays_says_so():
    call = Call("numpy:negative")
    assert not can_pull(call)
    with pytest.raises(TypeError, match="call"):
        pull(call, avals(np.zeros(2)), 0, ((0, 1),))


def test_every_other_op_can_be_worked_on_in_parts():
    assert PULLED == sorted(name for name in OPS if can_pull(object.__new__(OPS[name])))


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
    way = pull(Reshape(new), avals(np.zeros(old)), 0, window)
    assert needed == [part for _, part in way.needs]


def test_windows_cover_an_array_in_c_order_without_overlap():
    seen = np.concatenate([cut(np.arange(35).reshape(5, 7), w).ravel() for w in windows((5, 7), (2, 3))])
    assert list(range(35)) == sorted(seen)
    assert [((0, 2), (0, 7)), ((2, 4), (0, 7)), ((4, 5), (0, 7))] == list(windows((5, 7), (2, 7)))
