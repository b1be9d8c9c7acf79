"""What is committed is, file by file, what the installed Orbax saves for the same tree: this fails when Orbax moves.

Covers `outputs.orbax_files` as well.
"""

import errno
import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts
from click.testing import CliRunner

from migrate.cli.main import migrate
from migrate.engine.outputs.orbax_commit import CommittedItem, commit_item, commit_step
from migrate.formats import digest_record
from migrate.tree import AbstractTree


def everything():
    return {
        "layer": {"w": jnp.ones((4, 3)), "b": jnp.zeros((3,), jnp.bfloat16), "none": None, "dict": {}, "list": []},
        "list": [jnp.ones(2), np.float32(3), {"tuple": ()}],
        "tuple": (jnp.ones(()), 1),
        "key": jax.random.key(0),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 3),
        "numbers": {"int": 3, "float": 2.5, "bool": True, "large": 2**40, "half": np.float16(1)},
        "text": "hello",
        "wide": np.arange(3),
        "ünï": jnp.ones(1),
        "a.b": jnp.ones(1),
        "a/b": jnp.ones(1),
    }


TREES = {
    "everything": everything,
    "one array": lambda: jnp.ones(3),
    "one wide array": lambda: np.arange(3),
    "one number": lambda: 5,
    "one text": lambda: "text",
    "a list": lambda: [jnp.ones(2), {"a": 1}],
    "numbers": lambda: {"a": 1, "b": 2.0},
    "texts": lambda: {"a": "x"},
}
DATA = ("d", "manifest.ocdbt")


def portable(source, target, rules="portable", *options):
    result = CliRunner().invoke(migrate, ["apply", str(rules), str(source), str(target), "--quiet", *options])
    assert 0 == result.exit_code, result.output


def orbax_item(folder, tree, *, zarr3=False):
    handler = ocp.PyTreeCheckpointHandler(use_zarr3=zarr3)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave(tree))


def sidecars(folder):
    """The content of every file that holds no array, by its path; what belongs to databases is left out."""
    return sidecars_of(folder, without=())


def sidecars_of(folder, without):
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path not in without)
    others = (p for p in inside if p.name != digest_record.FILE)
    mine = [p for p in others if not any(part in DATA or part.startswith("ocdbt.process_") for part in p.parts)]
    return {str(path): _content(folder / path) for path in mine}


def _content(path: Path):
    text = path.read_text()
    return json.loads(text) if text.startswith("{") else text


def database(folder):
    """The metadata of every array, by key, and the keys of all chunks."""
    store = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{folder}/"}).result()
    keys = store.list().result()
    arrays = {k.decode(): json.loads(store.read(k).result().value) for k in keys if k.endswith((b".zarray", b".json"))}
    return arrays, {k.decode() for k in keys} - arrays.keys()


def without_values(files):
    """The same files without what has to differ: custom metadata, times, names of directories, devices."""
    for name, content in files.items():
        if name.endswith("_METADATA"):
            content.pop("custom_metadata")
        if name.endswith("_CHECKPOINT_METADATA"):
            times = [content.pop(f"{when}_timestamp_nsecs") for when in ("init", "commit")]
            assert times == sorted(times)
        if name.endswith("commit_success.txt"):
            files[name] = content.rpartition(" ")[0]
        if name.endswith("_sharding"):
            files[name] = all(json.loads(text)["sharding_type"] for text in content.values())
    return files


@pytest.mark.parametrize(
    ("name", "zarr3"), [(name, zarr3) for name in TREES for zarr3 in (False, True) if not (zarr3 and "text" in name)]
)
def test_every_file_of_a_pytree_is_the_one_that_orbax_writes(tmp_path, name, zarr3):
    orbax_item(tmp_path / "theirs", TREES[name](), zarr3=zarr3)
    portable(tmp_path / "theirs", tmp_path / "ours")
    theirs, ours = (without_values(sidecars(tmp_path / who)) for who in ("theirs", "ours"))
    if "wide" in name:
        ours.pop("_sharding")  # so that a typed restore of version 1 takes NumPy arrays, too
    assert theirs == ours


def plain_rules(folder):
    rules = folder / "plain.yaml"
    rules.write_text("migrate: 1\ntarget: {layout: zarr}\nrules: []\n")
    return rules


def plain_item(folder, tree, *, zarr3=False):
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=zarr3)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave(tree))


def arrays_in(folder):
    """The files of all arrays of plain zarr: array metadata and chunks."""
    tops = {path.parent for path in folder.rglob("*") if path.name in (".zarray", "zarr.json")}
    below = {path for top in tops - {folder} for path in top.rglob("*") if path.is_file()}
    return below | {folder / name for name in (".zarray", "zarr.json", "0", "c/0") if (folder / name).is_file()}


def files_of(folder):
    """The bytes of every file of an array, and the JSON of its metadata, by path."""
    named = {str(path.relative_to(folder)): path.read_bytes() for path in arrays_in(folder)}
    return {name: json.loads(data) if name.endswith((".zarray", ".json")) else data for name, data in named.items()}


@pytest.mark.sample(5)
@pytest.mark.parametrize("origin", ["database", "plain zarr"])
@pytest.mark.parametrize("link", ["auto", "never"])
@pytest.mark.parametrize(
    ("name", "zarr3"), [("everything", False), ("everything", True), ("one array", False), ("texts", False)]
)
def test_every_file_of_plain_zarr_is_the_one_that_orbax_writes_without_a_database(tmp_path, name, zarr3, link, origin):
    plain_item(tmp_path / "theirs", TREES[name](), zarr3=zarr3)
    (orbax_item if origin == "database" else plain_item)(tmp_path / "source", TREES[name](), zarr3=zarr3)
    how = ("--link", link, "--compression", f"zstd:{3 if zarr3 else 1}") if link == "never" else ()
    portable(tmp_path / "source", tmp_path / "ours", plain_rules(tmp_path), "--verify", "full", *how)
    assert files_of(tmp_path / "theirs") == files_of(tmp_path / "ours")
    folders = (tmp_path / who for who in ("theirs", "ours"))
    theirs, ours = (without_values(sidecars_of(folder, without=arrays_in(folder))) for folder in folders)
    assert theirs == ours
    assert not (tmp_path / "ours" / "manifest.ocdbt").exists()


def test_random_keys_arrays_and_numpy_states_of_a_step_are_the_items_that_orbax_writes(tmp_path):
    items = {
        "model": ocp.args.PyTreeSave({"w": jnp.ones((3, 2))}),
        "typed": ocp.args.JaxRandomKeySave(jax.random.key(7)),
        "several": ocp.args.JaxRandomKeySave(jax.random.split(jax.random.key(1), 3)),
        "words": ocp.args.JaxRandomKeySave(jax.random.PRNGKey(3)),
        "numpy": ocp.args.NumpyRandomKeySave(np.random.RandomState(0).get_state()),
        "state": ocp.args.NumpyRandomKeySave(np.random.RandomState(0).get_state(legacy=False)),
        "array": ocp.args.ArraySave(jnp.arange(3.0)),
        "step": ocp.args.JsonSave({"step": 1}),
    }
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        manager.save(1, args=ocp.args.Composite(**items))
    portable(tmp_path / "root", tmp_path / "new" / "1", "portable", "--verify", "full")
    folders = (tmp_path / who / "1" for who in ("root", "new"))
    theirs, ours = (without_values(sidecars_of(folder, without=arrays_in(folder))) for folder in folders)
    assert theirs == ours
    assert files_of(tmp_path / "root") == files_of(tmp_path / "new")
    with ocp.CheckpointManager(tmp_path / "new") as manager:
        keys = {name: ocp.args.JaxRandomKeyRestore() for name in ("typed", "several", "words")}
        states = {name: ocp.args.NumpyRandomKeyRestore() for name in ("numpy", "state")}
        restored = manager.restore(1, args=ocp.args.Composite(**keys, **states, array=ocp.args.ArrayRestore()))
        assert manager.restore(1).keys() == items.keys()
    assert jax.random.key(7) == restored["typed"]
    assert (jax.random.split(jax.random.key(1), 3) == restored["several"]).all()
    assert jax.random.PRNGKey(3).tolist() == restored["words"].tolist()
    assert [0.0, 1.0, 2.0] == restored["array"].tolist()
    for name in states:
        revived = np.random.RandomState()
        revived.set_state(restored[name])
        assert np.random.RandomState(0).rand() == revived.rand()


@pytest.mark.parametrize("link", ["auto", "never"])
@pytest.mark.parametrize("zarr3", [False, True], ids=["zarr2", "zarr3"])
def test_the_database_has_the_keys_array_metadata_and_options_of_orbax(tmp_path, zarr3, link):
    orbax_item(tmp_path / "theirs", everything(), zarr3=zarr3)
    portable(
        tmp_path / "theirs", tmp_path / "ours", "portable", "--link", link, "--compression", f"zstd:{3 if zarr3 else 1}"
    )
    theirs, ours = (database(tmp_path / who) for who in ("theirs", "ours"))
    assert theirs == ours
    configs = [
        ts.ocdbt.dump(ts.KvStore.open(f"file://{tmp_path / who}/").result()).result()["config"]
        for who in ("theirs", "ours")
    ]
    for config in configs:
        config.pop("uuid")
        config.pop("max_decoded_node_bytes")  # smaller: see `migrate.engine.linking.open_stores.NODE_BYTES`
    assert configs[0] == configs[1]


def test_every_file_of_a_step_is_the_one_that_a_checkpoint_manager_writes(tmp_path):
    items = {"state": everything(), "other": {"w": jnp.ones(3)}}
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["loss"])
    with ocp.CheckpointManager(tmp_path / "root", options=options) as manager:
        args = {name: ocp.args.PyTreeSave(tree) for name, tree in items.items()}
        args["config"] = ocp.args.JsonSave({"layers": 3})
        manager.save(7, args=ocp.args.Composite(**args), metrics={"loss": 0.5})
    portable(tmp_path / "root", tmp_path / "ours" / "7")
    theirs, ours = (without_values(sidecars(tmp_path / who / "7")) for who in ("root", "ours"))
    assert theirs == ours


def test_top_level_leaves_become_items_that_orbax_restores(tmp_path):
    tree = {"step": 3, "w": jnp.arange(4.0), "wide": np.arange(3), "text": "x", "model": {"b": jnp.ones(2)}}
    orbax_item(tmp_path / "source", tree)
    rules = tmp_path / "rules.yaml"
    rules.write_text("migrate: 1\ntarget: {layout: items}\nrules: []\n")
    portable(tmp_path / "source", tmp_path / "root" / "0", rules, "--verify", "full")
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        restored = manager.restore(0)
    assert tree["step"] == restored["step"]
    assert "x" == restored["text"]
    np.testing.assert_array_equal(tree["wide"], restored["wide"])
    np.testing.assert_array_equal(tree["w"], restored["w"])
    np.testing.assert_array_equal(tree["model"]["b"], restored["model"]["b"])


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["100% done", "a%20b", "c#d", "e?f", "ünï"])
@pytest.mark.parametrize("ocdbt", [False, True], ids=["plain zarr", "ocdbt"])
def test_a_directory_may_have_any_name(tmp_path, name, ocdbt):
    tree = {"w": jnp.arange(4.0), "wide": np.arange(3)}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt)) as checkpointer:
        checkpointer.save(tmp_path / name / "old", args=ocp.args.PyTreeSave(tree))
    portable(tmp_path / name / "old", tmp_path / name / "new")
    restored = ocp.StandardCheckpointer().restore(tmp_path / name / "new")
    assert [0.0, 1.0, 2.0, 3.0] == restored["w"].tolist()
    assert [0, 1, 2] == restored["wide"].tolist()


def test_a_file_system_without_hard_links_gets_copies(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    orbax_item(tmp_path / "old", {"w": jnp.arange(4.0), "v": jnp.ones((2, 2))})
    monkeypatch.setattr(os, "link", refuse)
    portable(tmp_path / "old", tmp_path / "new")
    assert {1} == {path.stat().st_nlink for path in (tmp_path / "new").rglob("*") if path.is_file()}
    shutil.rmtree(tmp_path / "old")
    assert [0.0, 1.0, 2.0, 3.0] == ocp.StandardCheckpointer().restore(tmp_path / "new")["w"].tolist()


def test_a_manager_goes_on_from_a_step_and_judges_and_deletes_it_as_its_own(tmp_path):
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["loss"], best_mode="min", max_to_keep=2)
    with ocp.CheckpointManager(tmp_path / "old", options=options) as manager:
        manager.save(3, args=ocp.args.StandardSave({"w": jnp.arange(4.0)}), metrics={"loss": 0.5})
    rules = tmp_path / "rules.yaml"
    rules.write_text("migrate: 1\ntarget: {layout: items}\nrules: []\n")
    portable(tmp_path / "old", tmp_path / "root" / "3", rules)
    with ocp.CheckpointManager(tmp_path / "root", options=options) as manager:
        assert (3, 3, {"loss": 0.5}) == (manager.latest_step(), manager.best_step(), manager.metadata(3).metrics)
        for step, loss in ((4, 0.4), (5, 0.3)):
            manager.save(step, args=ocp.args.StandardSave({"w": jnp.ones(4)}), metrics={"loss": loss})
        manager.wait_until_finished()
        assert [4, 5] == manager.all_steps()
    assert ["4", "5"] == sorted(path.name for path in (tmp_path / "root").iterdir())


@pytest.mark.parametrize(
    "commit",
    [
        lambda place, item: commit_item(place, item, {}),
        lambda place, item: commit_step(place, {"state": item}, {}, {}),
    ],
    ids=["item", "step"],
)
def test_a_destination_that_exists_is_left_alone(tmp_path, commit):
    (tmp_path / "store").mkdir()
    (tmp_path / "new").mkdir()
    with pytest.raises(FileExistsError):
        commit(tmp_path / "new", CommittedItem(AbstractTree({}), {}, tmp_path / "store", {}))
    assert [] == list((tmp_path / "new").iterdir())


def test_a_checkpoint_is_marked_as_complete_only_at_its_end(tmp_path):
    item = CommittedItem(AbstractTree({}), {}, tmp_path / "store", {})
    (tmp_path / "store").mkdir()
    with pytest.raises(TypeError):  # custom metadata that JSON cannot hold
        commit_item(tmp_path / "new", item, {"a": object()})
    assert not (tmp_path / "new" / "commit_success.txt").exists()
    commit_item(tmp_path / "whole", item, {})
    assert (tmp_path / "whole" / "commit_success.txt").exists()
