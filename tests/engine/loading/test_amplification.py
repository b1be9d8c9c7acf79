"""Read amplification today follows from the source and the rules, afterwards from the chunks that a plan writes."""

import pytest

from migrate.engine.loading.amplification import Amplification, amplifications, worst_device
from migrate.engine.loading.forecast import forecast
from migrate.planning.chunking.assign import with_chunks
from migrate.planning.chunking.loads import loads_of_target, loads_to_come
from migrate.sharding import parse_mesh
from tests.planning.chunking.placed import plan_of, stored

ROWS, COLUMNS = (("x",),), (None, ("x",))
SHAPE, NBYTES = "1024,1024", 4 << 20


def found(plan, *meshes, tuned=True):
    loads = loads_to_come(plan, [parse_mesh(mesh) for mesh in meshes])
    return amplifications(with_chunks(plan, loads) if tuned else plan, loads)


def test_the_source_today_and_the_target_afterwards():
    plan = plan_of({"a": stored(SHAPE, (128, 1024), spec=COLUMNS), "b": stored("8", (8,))})
    one, four = found(plan, "x=1", "x=4")
    assert {("a",): Amplification(4.0, 1.0), ("b",): Amplification(1.0, 1.0)} == four.leaves
    assert (NBYTES // 4 + 32, NBYTES + 32) == (four.today[0].kept, four.today[0].decoded)
    assert [(NBYTES // 4 + 32,) * 2] * 4 == [(device.kept, device.decoded) for device in four.after]
    assert {Amplification(1.0, 1.0)} == set(one.leaves.values())


def test_without_a_choice_the_target_has_one_chunk_for_each_shard_of_its_mesh():
    mesh = parse_mesh("x=4")
    leaves = {"a": stored(SHAPE, (128, 1024))}
    plan = plan_of(leaves, template={"a": SHAPE}, annotations={"a": COLUMNS}, mesh=mesh)
    (same,) = amplifications(plan, loads_of_target(plan))
    assert {("a",): Amplification(4.0, 1.0)} == same.leaves
    (other,) = found(plan, "x=8", tuned=False)
    assert {("a",): Amplification(8.0, 2.0)} == other.leaves


def test_linked_arrays_have_the_chunks_of_their_sources():
    plan = plan_of({"a": stored(SHAPE, (128, 1024), spec=COLUMNS)})
    (load,) = found(plan, "x=4", tuned=False)
    assert ("relink", {("a",): Amplification(4.0, 4.0)}) == (plan.tasks[0].mode, load.leaves)


def test_the_source_is_read_through_the_ops():
    rule = "rules: [{from: a, to: t, ops: [transpose]}]"
    leaves = {"a": stored(SHAPE, (128, 1024))}
    plan = plan_of(leaves, rule, template={"t": SHAPE}, annotations={"t": ROWS})
    (load,) = found(plan, "x=8")
    assert {("t",): Amplification(8.0, 1.0)} == load.leaves


def test_created_arrays_are_read_afterwards_only():
    plan = plan_of(
        {"a": stored(SHAPE, (128, 1024))},
        "rules: [{create: {to: n, init: zeros}}]",
        template={"a": SHAPE, "n": SHAPE},
        annotations={"a": ROWS, "n": ROWS},
    )
    (load,) = found(plan, "x=8")
    assert Amplification(0.0, 1.0) == load.leaves[("n",)]


def test_uneven_parts_have_their_own_factors():
    """Of 1,000 rows in chunks of 125, the parts are rows 0 to 334, to 668 and to 1,000."""
    (load,) = found(plan_of({"a": stored("1000,1024", (125, 1024), spec=ROWS)}), "x=3")
    rows = [(device.kept // 4096, device.decoded // 4096) for device in load.today]
    assert [(334, 375), (334, 500), (332, 375)] == rows
    assert Amplification(500 / 334, 334 / 332) == load.leaves[("a",)]


def test_the_worst_device_is_the_one_with_the_largest_factor():
    (load,) = found(plan_of({"a": stored("1000,1024", (125, 1024), spec=ROWS)}), "x=3")
    assert {"x": 1} == dict(worst_device(load.today).place)
    assert 500 / 334 == load.total.today


def test_any_mesh_has_the_worst_case_of_each_array():
    (load,) = found(plan_of({"a": stored("4096,4096", (4096, 4096))}))
    assert load.mesh is None
    assert {("a",): Amplification(256.0, 1.0)} == load.leaves
    assert Amplification(256.0, 1.0) == load.total


@pytest.mark.parametrize("chunks", [(128, 1024), (100, 300), (1024, 1024)])
def test_a_forecast_and_the_amplification_agree(chunks):
    plan = plan_of({"a": stored(SHAPE, chunks, spec=COLUMNS)})
    loads = loads_to_come(plan, [parse_mesh("x=4,y=2")])
    ((mesh, placed),) = loads.placed
    (load,) = amplifications(plan, loads)
    assert forecast(plan, placed, mesh).devices == load.today
