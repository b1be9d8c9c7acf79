from migrate.ops.concat import Concat, Split
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.planning.invert.spellings import OpUse, common
from migrate.tree import AbstractArray


def use(op, *shape, count=None):
    """The use of the inverse of an op on one array of this shape."""
    array = AbstractArray(shape, "float32")
    return OpUse(op.inverse(array), op.infer(array), count, op)


def test_an_op_is_spelled_as_it_is_where_that_fits_all():
    assert Reshape((2, 3)) == common([use(Reshape((6,)), 2, 3)])


def test_a_size_that_differs_is_left_open():
    assert Reshape((-1, 3)) == common([use(Reshape((-1,)), 2, 3), use(Reshape((-1,)), 4, 3)])


def test_shapes_that_differ_in_two_sizes_have_no_common_op():
    assert common([use(Reshape((-1,)), 2, 3), use(Reshape((-1,)), 3, 2)]) is None


def test_an_axis_is_counted_from_the_end_where_ranks_differ():
    joined = Concat(-1)
    uses = [
        OpUse(joined.inverse(*arrays), joined.infer(*arrays), 2, joined)
        for shape in ((3,), (4, 3))
        for arrays in [(AbstractArray(shape, "float32"),) * 2]
    ]
    assert Split(-1) == common(uses)


def test_parts_of_different_sizes_are_spelled_out():
    joined = Concat(0)
    arrays = (AbstractArray((1,), "float32"), AbstractArray((2,), "float32"))
    assert Split(0, (1, 2)) == common([OpUse(joined.inverse(*arrays), joined.infer(*arrays), 2, joined)])


def test_a_pattern_keeps_its_names_and_only_the_sizes_that_it_needs():
    merge = Rearrange("d h k -> d (h k)")
    assert Rearrange("d (h k) -> d h k", (("k", 3),)) == common([use(merge, 4, 2, 3), use(merge, 4, 8, 3)])


def test_dots_stay_dots():
    merge = Rearrange("... h k -> ... (h k)")
    assert Rearrange("... (h k) -> ... h k", (("k", 3),)) == common([use(merge, 4, 2, 3), use(merge, 2, 3)])
