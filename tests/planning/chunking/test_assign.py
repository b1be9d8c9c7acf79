"""Arrays whose chunks suit are linked, all others get chunks that suit, and the plan's digest depends on them."""

import pytest

from migrate.api.plans import linked_or_copied
from migrate.api.tuning import choose_chunks
from migrate.planning.chunking.assign import with_chunks
from migrate.planning.chunking.loads import loads_to_come
from migrate.sharding import parse_mesh
from migrate.tree import ChunkShapes
from tests.planning.chunking.placed import plan_of, stored
from tests.planning.plan_file.plans import again

ROWS, COLUMNS = (("x",),), (None, ("x",))
SHAPE = "1024,1024"


def tuned(plan, *meshes):
    return with_chunks(plan, loads_to_come(plan, [parse_mesh(mesh) for mesh in meshes]))


def chunks(plan):
    return {path[0]: leaf.chunks for path, leaf in plan.target.leaves.items()}


def modes(plan):
    return {task.targets[0][0]: task.mode for task in plan.tasks}


def test_chunks_that_suit_are_linked_and_others_are_written_again():
    plan = tuned(
        plan_of({"a": stored(SHAPE, (128, 1024), spec=ROWS), "b": stored(SHAPE, (128, 1024), spec=COLUMNS)}), "x=8"
    )
    assert {"a": "relink", "b": "stream"} == modes(plan)
    assert {"a": ChunkShapes((128, 1024), (128, 1024)), "b": ChunkShapes((1024, 128), (1024, 128))} == chunks(plan)
    assert () == plan.diagnostics


def test_chunks_for_several_meshes_suit_each():
    plan = tuned(plan_of({"a": stored(SHAPE, (1024, 1024), spec=ROWS)}), "x=4", "x=16")
    assert {"a": ChunkShapes((64, 1024), (64, 1024))} == chunks(plan)


def test_an_array_without_a_spec_keeps_its_chunks():
    plan = tuned(plan_of({"a": stored(SHAPE, (1024, 1024), spec=ROWS), "b": stored("8", (1,))}), "x=4")
    assert "relink" == modes(plan)["b"]


def test_chunks_that_no_choice_improves_are_kept_and_noted():
    plan = tuned(plan_of({"a": stored("64", (8,), spec=ROWS), "b": stored(SHAPE, (1024, 1024), spec=ROWS)}), "x=64")
    assert {"a": "relink", "b": "stream"} == modes(plan)
    (note,) = plan.diagnostics
    assert ("M560", ("a",)) == (note.code, note.paths)
    assert note.message.startswith("1 array stays above 1.05×: the worst is `a` with 8×")


def test_the_chunks_of_a_stack_that_suit_are_linked():
    leaves = {f"q{n}": stored(SHAPE, (1024, 1024)) for n in range(2)}
    rule = "rules: [{from: [q0, q1], to: q, ops: [{stack: {axis: 0}}]}]"
    made = {"template": {"q": "2,1024,1024"}, "annotations": {"q": ROWS}}
    assert {"q": "relink"} == modes(tuned(plan_of(leaves, rule, **made), "x=2"))
    assert {"q": "stream"} == modes(
        tuned(plan_of(leaves, rule, template=made["template"], annotations={"q": COLUMNS}), "x=2")
    )


def test_without_links_chunks_that_suit_are_copied_and_others_are_written_again():
    made = plan_of({"a": stored(SHAPE, (128, 1024), spec=ROWS), "b": stored(SHAPE, (128, 1024), spec=COLUMNS)})
    copied = linked_or_copied(made, "never")
    plan, linked = choose_chunks(copied, ["x=8"], link="never"), choose_chunks(made, ["x=8"])
    assert {"a": "copy", "b": "copy"} == modes(copied)
    assert {"a": "relink", "b": "stream"} == modes(linked)
    assert {"a": "copy", "b": "stream"} == modes(plan)
    assert chunks(plan) == chunks(linked)


def test_zarr3_has_chunks_of_about_1_mib_in_large_shards_for_any_mesh():
    plan = tuned(plan_of({"a": stored("32768,8192", (32768, 8192), (32768, 8192), driver="zarr3")}, zarr3=True))
    made = chunks(plan)["a"]
    assert ((8192, 8192), (512, 512)) == (made.outer, made.inner)
    assert () == plan.diagnostics


def test_zarr2_has_the_fewest_chunks_for_any_mesh():
    plan = tuned(plan_of({"a": stored("32768,8192", (32768, 8192))}))
    assert ChunkShapes((2048, 512), (2048, 512)) == chunks(plan)["a"]


def test_inner_chunks_count_and_not_their_shards():
    inner = tuned(plan_of({"a": stored(SHAPE, (1024, 1024), (128, 1024), ROWS, driver="zarr3")}, zarr3=True), "x=8")
    outer = tuned(plan_of({"a": stored(SHAPE, (1024, 1024), (1024, 1024), ROWS, driver="zarr3")}, zarr3=True), "x=8")
    assert {"a": "relink"} == modes(inner)
    assert {"a": "stream"} == modes(outer)
    assert chunks(inner) == chunks(outer)


def test_an_inapplicable_plan_gets_the_problems_of_the_meshes():
    plan = tuned(plan_of({"a": stored(SHAPE, (128, 1024))}), "x=8")
    assert not plan.applicable
    assert {"a": None} == chunks(plan)


def test_scalars_and_arrays_without_elements_have_no_choice():
    plan = tuned(
        plan_of({"a": stored(SHAPE, (128, 1024), spec=ROWS), "e": stored("0,4", (1, 4)), "z": stored("", ())}), "x=8"
    )
    assert [None, None] == [chunks(plan)[name] for name in "ez"]


@pytest.mark.parametrize("zarr3", [False, True])
def test_the_digest_and_the_plan_file_have_the_chunks(zarr3):
    leaf = stored(SHAPE, (1024, 1024), (1024, 1024) if zarr3 else None, ROWS, driver="zarr3" if zarr3 else "zarr2")
    plan = plan_of({"a": leaf}, zarr3=zarr3)
    four, eight = tuned(plan, "x=4"), tuned(plan, "x=8")
    assert 3 == len({plan.digest, four.digest, eight.digest})
    assert chunks(eight) == chunks(again(eight))
    assert eight.digest == again(eight).digest
