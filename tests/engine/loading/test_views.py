"""Views of TensorStore give what the ops give on arrays of NumPy, and refuse what they cannot give."""

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

import migrate
from migrate.engine.loading.views import ArrayView, open_views
from migrate.engine.loading.virtual_arrays import loading_context
from migrate.ops.base import OpError
from migrate.ops.call import Call
from migrate.ops.cast import Cast
from migrate.ops.registry import OPS
from migrate.testing.ops import op_cases
from tests.engine.sources import plan_for, save
from tests.matrix import examples

MOVING = sorted(name for name, op in OPS.items() if op.structural and name not in ("wrap_key_data", "key_data"))
VIEWED = {"transpose", "concat", "split", "stack", "unstack", "slice", "squeeze", "expand_dims", "flip", "crop"}


def viewed(op, arrays):
    """What an op makes of views of arrays; None if it cannot work on views."""
    try:
        return [np.asarray(view.store.read().result()) for view in op.apply(*map(view_of, arrays))]
    except (TypeError, AttributeError):
        return None


def view_of(array):
    return ArrayView(ts.array(np.ascontiguousarray(array).reshape(array.shape)))


@pytest.mark.parametrize("name", MOVING)
@settings(max_examples=examples(25))
@given(data=st.data())
def test_an_op_on_views_gives_what_it_gives_on_arrays(name, data):
    op, arrays = data.draw(op_cases(name))
    arrays = [np.arange(array.size, dtype=np.int32).reshape(array.shape) for array in arrays]
    try:
        expected = op.apply(*arrays)
    except OpError:
        return
    found = viewed(op, arrays)
    if any(not array.size for array in (*arrays, *expected)):
        return
    assert name not in VIEWED or found is not None
    for one, other in zip(expected, expected if found is None else found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("op", [Cast("bfloat16"), Call("numpy:asarray")])
def test_an_op_that_looks_at_values_cannot_take_a_view_for_an_array(op):
    assert viewed(op, [np.ones((2, 2), np.float32)]) is None


def test_parts_are_counted_from_zero_so_that_they_can_be_stacked():
    view = view_of(np.arange(12).reshape(3, 4))
    parts = np.stack([np.flip(view, 0)[:, 1:3], view[:, 2:]])
    expected = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(
        np.stack([np.flip(expected, 0)[:, 1:3], expected[:, 2:]]), parts.store.read().result()
    )


def test_a_negative_index_counts_from_the_end():
    view = view_of(np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(np.arange(12).reshape(3, 4)[-1], view[-1].store.read().result())


@pytest.fixture
def source(tmp_path):
    save(tmp_path / "old", {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.float32)})
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        yield checkpoint.reader


def opened(reader, rule):
    (task,) = [task for task in plan_for(reader, f"rules: [{rule}]", link=False).tasks if ("a",) in task.sources]
    return open_views(task, reader, loading_context())


def test_a_task_that_moves_elements_is_viewed(source):
    views = opened(source, "{from: a, to: c, ops: [transpose, {expand_dims: 0}]}")
    np.testing.assert_array_equal(np.arange(6.0).reshape(2, 3).T[None], views[("c",)].read().result())


@pytest.mark.parametrize(
    "op", ["{cast: {to: bfloat16}}", "{scale: 2}", "{reshape: [-1]}", "{pad: {widths: [[1, 0], [0, 0]]}}"]
)
def test_a_task_that_computes_or_regroups_is_not(source, op):
    assert opened(source, f"{{from: a, to: c, ops: [{op}]}}") is None
