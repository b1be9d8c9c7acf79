"""Modes from storage alone: relink inside OCDBT, copy where chunks are files, stream where bytes have to change."""

from dataclasses import replace

import pytest

from migrate.planning.relink import choose_modes, chunk_moves
from migrate.tree import AbstractTree, Sharding, Storage
from tests.planning.trees import planned, tree

OCDBT = Storage("zarr2", chunks=(2, 3), encoding="<f4", database=True)


def stored(leaves, storage=OCDBT, **others):
    """Returns a tree whose arrays are stored like this; `others` gives the storage of single leaves."""
    return AbstractTree(
        {path: replace(each, storage=others.get(path[-1], storage)) for path, each in tree(leaves).leaves.items()}, {}
    )


def mode(rules, leaves, storage=OCDBT, *, zarr3=False, target=None, **others):
    plan = planned(rules, leaves)
    (task,) = choose_modes(plan.tasks, stored(leaves, storage, **others), target or plan.target, zarr3=zarr3)
    return task.mode


RENAME = '- "a -> b"'


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (OCDBT, "relink"),
        (replace(OCDBT, database=False), "copy"),
        (replace(OCDBT, encoding=None), "stream"),
        (replace(OCDBT, chunks=None), "stream"),
        (replace(OCDBT, driver="msgpack"), "stream"),
        (replace(OCDBT, driver="zarr3"), "stream"),
    ],
)
def test_the_storage_decides_the_mode(storage, expected):
    assert expected == mode(RENAME, {"a": "4,6"}, storage)


def test_one_checkpoint_does_not_mix_versions_of_zarr():
    assert "relink" == mode(RENAME, {"a": "4,6"}, replace(OCDBT, driver="zarr3"), zarr3=True)
    assert "stream" == mode(RENAME, {"a": "4,6"}, zarr3=True)


@pytest.mark.parametrize(
    ("op", "expected"), [("stack: {axis: 0}", "relink"), ("concat: {axis: 0}", "relink"), ("cast: bfloat16", "stream")]
)
def test_ops_that_only_move_chunks_are_relinked(op, expected):
    if op.startswith("cast"):
        assert expected == mode(f"- {{from: a, to: x, ops: [{{{op}}}]}}", {"a": "4,6"})
    else:
        assert expected == mode(f"- {{from: [a, b], to: x, ops: [{{{op}}}]}}", {"a": "4,6", "b": "4,6"})


def test_arrays_of_one_task_must_be_encoded_alike():
    rule = "- {from: [a, b], to: x, ops: [{stack: {axis: 0}}]}"
    assert "stream" == mode(rule, {"a": "4,6", "b": "4,6"}, b=replace(OCDBT, encoding=">f4"))
    assert "stream" == mode(rule, {"a": "4,6", "b": "4,6"}, b=replace(OCDBT, database=False))


def test_an_array_without_elements_is_streamed():
    assert "stream" == mode(RENAME, {"a": "0,6"})


def sharded(mesh, spec):
    (path, leaf), *_ = tree({"b": "4,6"}).leaves.items()
    return AbstractTree({path: replace(leaf, sharding=Sharding(mesh, spec))}, {})


def test_a_split_target_takes_the_chunks_only_where_they_are_its_shards():
    mesh = (("x", 2),)
    columns, rows = sharded(mesh, (None, ("x",))), sharded(mesh, (("x",),))
    assert "stream" == mode(RENAME, {"a": "4,6"}, target=columns)
    assert "relink" == mode(RENAME, {"a": "4,6"}, replace(OCDBT, chunks=(4, 3)), target=columns)
    assert "stream" == mode(RENAME, {"a": "4,6"}, replace(OCDBT, chunks=(4, 3)), target=rows)


def test_the_moves_name_the_source_of_every_chunk():
    leaves = {"a": "4,6", "b": "4,6"}
    plan = planned("- {from: [a, b], to: x, ops: [{stack: {axis: 0}}]}", leaves)
    (made,) = chunk_moves(plan.tasks[0], stored(leaves), plan.target)
    assert ((2, 4, 6), (1, 2, 3)) == (made.shape, made.chunks)
    assert {0, 1} == {block.array for block in made.blocks}
