"""Every op against JAX's own expression for it, written without looking at the op."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from migrate.ops.add import Add
from migrate.ops.base import avals
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat, Split
from migrate.ops.crop import Crop
from migrate.ops.flip import Flip
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.ops.roll import Roll
from migrate.ops.scale import Scale
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.ops.stack import Stack, Unstack
from migrate.ops.tile import Tile
from migrate.ops.transpose import Transpose
from migrate.ops.unreplicate import Unreplicate

A = (4, 6)
CASES = [
    (Reshape((2, -1, 3)), [A], lambda x: x.reshape(2, 4, 3)),
    (Reshape(()), [(1, 1)], lambda x: x[0, 0]),
    (Transpose(), [(2, 3, 4)], lambda x: jnp.einsum("abc->cba", x)),
    (Transpose((1, 2, 0)), [(2, 3, 4)], lambda x: jnp.moveaxis(x, 0, -1)),
    (Rearrange("d h k -> d (h k)"), [(4, 2, 3)], lambda x: x.reshape(4, 6)),
    (Rearrange("(h k) d -> d k h", (("h", 2),)), [A], lambda x: x.reshape(2, 2, 6).T),
    (Concat(1), [A, (4, 1), (4, 0)], lambda *xs: jnp.hstack(xs)),
    (Concat(-2), [A, A], lambda *xs: jnp.vstack(xs)),
    (Split(1, (1, 2, 3)), [A], lambda x: jnp.split(x, [1, 3], axis=1)),
    (Stack(-1), [A, A, A], lambda *xs: jnp.dstack(xs)),
    (Stack(), [(), ()], lambda *xs: jnp.array(xs)),
    (Unstack(1), [A], lambda x: tuple(x.T)),
    (Squeeze(-2), [(4, 1, 6)], lambda x: x[:, 0]),
    (Unreplicate(1), [(4, 1, 6)], lambda x: x[:, 0]),
    (ExpandDims(-2), [A], lambda x: x[:, None]),
    (Flip(0), [A], lambda x: x[::-1]),
    (Roll(2, -1), [A], lambda x: jnp.hstack([x[:, 4:], x[:, :4]])),
    (Slice(1, 1, -1, 2), [A], lambda x: x[:, 1:-1:2]),
    (Crop(((1, 3), (0, 5))), [A], lambda x: jax.lax.dynamic_slice(x, (1, 0), (2, 5))),
    (Pad(((1, 0), (0, 2)), 3), [A], lambda x: jnp.pad(x, ((1, 0), (0, 2)), constant_values=3)),
    (Tile((2, 1)), [A], lambda x: jnp.concatenate([x, x])),
    (Scale(-2), [A], lambda x: x + x - x - x - x - x),
    (Scale("sqrt(16)/2"), [A], lambda x: x + x),
    (Add(3), [A], lambda x: x + 1 + 1 + 1),
    (Add("1 - 3"), [A], lambda x: x - 2),
    (Cast("float32"), [A], lambda x: x.astype("float32")),
    (Cast("complex64"), [A], lambda x: x.astype("complex64")),
]


@pytest.mark.sample(2)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
@pytest.mark.parametrize(
    ("op", "shapes", "oracle"), CASES, ids=lambda value: str(value) if hasattr(value, "infer") else ""
)
def test_an_op_does_what_jax_does(op, shapes, oracle, dtype):
    arrays = [
        np.asarray(jnp.arange(start, start + np.prod(s, dtype=int)).reshape(s).astype(dtype))
        for start, s in enumerate(shapes)
    ]

    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(oracle(*map(jnp.asarray, arrays)))]

    actual = op.apply(*arrays)
    assert [array.tolist() for array in expected] == [array.tolist() for array in actual]
    assert avals(*expected) == avals(*actual)


@pytest.mark.parametrize(
    ("op", "shapes", "oracle"), CASES, ids=lambda value: str(value) if hasattr(value, "infer") else ""
)
def test_infer_agrees_with_eval_shape(op, shapes, oracle):
    structs = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]

    expected = [(leaf.shape, leaf.dtype.name) for leaf in jax.tree.leaves(jax.eval_shape(oracle, *structs))]

    inferred = op.infer(*avals(*(np.zeros(shape, jnp.bfloat16) for shape in shapes)))
    assert expected == [(aval.shape, aval.dtype) for aval in inferred]
