"""The chunks that hold a block of an array, against a count of every element."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from migrate.engine.verification.chunk_places import MOST_CHUNKS, chunks_of_block


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=3), st.integers(0, 200), st.data()
)
def test_no_chunk_of_a_block_is_left_out(axes, start, data):
    shape, chunk = zip(*axes, strict=True)
    size = int(np.prod(shape)) * 2
    start %= size
    stop = data.draw(st.integers(start + 1, size))
    touched = {tuple(np.array(np.unravel_index(at // 2, shape)) // chunk) for at in range(start, stop)}
    found = chunks_of_block(shape, chunk, 2, range(start, stop))
    assert {tuple(map(int, index)) for index in touched} <= set(found) or len(found) == MOST_CHUNKS


def test_one_row_of_a_matrix_names_only_its_chunks():
    assert ((1, 0), (1, 1)) == chunks_of_block((4, 8), (2, 4), 1, range(16, 24))
    assert ((),) == chunks_of_block((), (), 4, range(4))
