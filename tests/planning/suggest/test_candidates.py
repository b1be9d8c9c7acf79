"""Sequences of modules that could correspond, and the order in which they are tried."""

from migrate.planning.suggest.candidates import partners, sequence_candidates
from migrate.planning.suggest.scope import ModuleIndex
from migrate.planning.suggest.values import ModelArray


def index(shapes):
    return ModuleIndex({tuple(path.split("/")): ModelArray(shape) for path, shape in shapes.items()})


BLOCK = {"ln/scale": (4,), "ln/bias": (4,), "up/kernel": (4, 8), "down/kernel": (8, 4)}


def blocks(name, *, count=2, more=None):
    return {f"{name}_{i}/{path}": shape for i in range(count) for path, shape in {**BLOCK, **(more or {})}.items()}


def test_blocks_that_gained_a_leaf_come_before_their_small_layers():
    mine, theirs = index(blocks("a")), index(blocks("b", more={"table/pe": (7, 4)}))
    first = sequence_candidates(mine, theirs)[0]
    assert [("a_0",), ("a_1",)] == [member.node for member in first.mine[0].members]
    assert [("b_0",), ("b_1",)] == [member.node for member in first.theirs[0].members]
    assert not first.exact


def test_equal_blocks_come_before_unequal_ones():
    mine, theirs = index(blocks("a")), index({**blocks("b"), **blocks("c", more={"table/pe": (7, 4)})})
    first, *rest = sequence_candidates(mine, theirs)
    assert (True, ("b_0",)) == (first.exact, first.theirs[0].members[0].node)
    assert any(candidate.theirs[0].node == ("c_0",) for candidate in rest)


def test_members_are_paired_by_shape_where_all_shapes_differ():
    mine = index({f"a_{i}/{n}/kernel": (4 + i, 3) for i in range(2) for n in "xy"})
    theirs = index({f"b_{1 - i}/{n}/kernel": (4 + i, 3) for i in range(2) for n in "xy"})
    one = next(s for s in mine.sequences if len(s.members) == 2)
    other = next(s for s in theirs.sequences if len(s.members) == 2)
    pairs = partners(one, other, mine, theirs, exact=True)
    assert [(("a_0",), ("b_1",)), (("a_1",), ("b_0",))] == [(a.node, b.node) for a, b in pairs]
