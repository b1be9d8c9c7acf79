"""The spec of an array comes from the partition file, the annotation, the target's sharding, or the saved one."""

import pytest

from migrate.errors import UsageError
from migrate.planning.chunking.choice import ANY_BOUND, MESH_BOUND
from migrate.planning.chunking.loads import loads_of_target, loads_to_come
from migrate.sharding import parse_mesh
from tests.planning.chunking.placed import partition, plan_of, stored

MESH = parse_mesh("x=4,y=2")
ROWS, COLUMNS = (("x",),), (None, ("y",))


def loads(plan, *meshes, table=None):
    found = loads_to_come(plan, [parse_mesh(mesh) for mesh in meshes], table)
    assert () == found.diagnostics, [one.message for one in found.diagnostics]
    return found


def of(plan, *meshes, path="a", table=None):
    leaf = plan.target.leaves[(path,)]
    return loads(plan, *meshes, table=table).of((path,), leaf.aval.shape)


def test_a_saved_sharding_is_taken_on_the_new_mesh():
    plan = plan_of({"a": stored("8,8", (1, 8), spec=ROWS)})
    assert (((4,), (1,)),) == of(plan, "x=4,y=2")
    assert (((4,), (1,)), ((2,), (1,))) == of(plan, "x=4", "x=2")


def test_a_saved_sharding_follows_a_rename_and_no_op():
    leaves = {"a": stored("8,8", (1, 8), spec=ROWS), "b": stored("8,8", (1, 8), spec=ROWS)}
    plan = plan_of(leaves, 'rules: ["a -> r", {from: b, to: t, ops: [transpose]}]')
    assert (((4,), (1,)),) == of(plan, "x=4", path="r")
    assert () == of(plan, "x=4", path="t")


def test_a_partition_file_decides_alone():
    plan = plan_of({"a": stored("8,8", (1, 8), spec=(("z",),)), "b": stored("8,8", (1, 8), spec=(("z",),))})
    assert (((1,), (2,)),) == of(plan, "x=4,y=2", table=partition(a=COLUMNS))
    assert () == of(plan, "x=4,y=2", path="b", table=partition(a=COLUMNS))


def test_an_annotation_precedes_a_saved_sharding():
    plan = plan_of({"a": stored("8,8", (1, 8), spec=ROWS)}, template={"a": "8,8"}, annotations={"a": COLUMNS})
    assert (((1,), (2,)),) == of(plan, "x=4,y=2")


def test_the_sharding_of_a_target_counts_for_other_meshes():
    plan = plan_of({"a": stored("8,8", (1, 8))}, template={"a": "8,8"}, annotations={"a": ROWS}, mesh=MESH)
    assert (((2,), (1,)),) == of(plan, "x=2")
    found = loads_of_target(plan)
    assert (MESH_BOUND, (((4,), (1,)),)) == (found.bound, found.of(("a",), (8, 8)))


def test_a_portable_target_has_no_load_of_its_own():
    assert loads_of_target(plan_of({"a": stored("8,8", (1, 8))})) is None


def test_parts_may_be_uneven():
    plan = plan_of({"a": stored("9,8", (9, 8), spec=ROWS)})
    assert (((4,), (1,)),) == of(plan, "x=4")


def test_an_axis_that_the_mesh_lacks_is_an_error_that_names_the_way_out():
    plan = plan_of({"a": stored("8,8", (1, 8), spec=(("z",),))})
    (problem,) = loads_to_come(plan, [MESH]).diagnostics
    assert ("M307", ("a",)) == (problem.code, problem.paths)
    assert "the mesh has no axis `z` but `x`, `y`" in problem.message
    assert "the one with which SRC was saved; name its axes in `--for`" in problem.help


def test_meshes_that_divide_nothing_are_an_error():
    plan = plan_of({"a": stored("8,8", (1, 8))})
    (problem,) = loads_to_come(plan, [MESH]).diagnostics
    assert "M561" == problem.code
    assert "no array is divided over `x=4,y=2`" in problem.message
    assert '- "**/kernel": [x]' in problem.help


def test_an_open_axis_is_refused():
    with pytest.raises(UsageError, match="one is -1") as caught:
        loads(plan_of({"a": stored("8,8", (1, 8))}), "x=-1,y=2")
    assert "`--for x=8,y=2`" in caught.value.diagnostics[0].help


def test_without_a_mesh_every_mesh_is_a_load():
    found = loads(plan_of({"a": stored("32,32", (1, 32))}))
    assert ANY_BOUND == found.bound
    assert (((1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),) == found.of(("a",), (32, 32))
