"""Arrays below a directory without a record: folders and databases at any depth, and what must not be ignored."""

import json
import os
import shutil
from pathlib import Path

import msgpack
import numpy as np
import pytest
import tensorstore as ts

from migrate.errors import CheckpointError
from migrate.formats.detect import list_steps, open_reader
from migrate.testing.readers import check_reader
from migrate.tree import format_path

CASE = Path(__file__).parents[4] / "shared" / "cases" / "08_raw_tensorstore"
NAMES = ("model/attention/kernel", "model/norm/scale", "optimizer/0/count", "key")


def write(folder, kvstore, array):
    array = np.asarray(array)
    metadata = {"shape": [*array.shape], "chunks": [*array.shape], "dtype": array.dtype.str}
    ts.open({"driver": "zarr", "kvstore": kvstore, "metadata": metadata}, create=True).result().write(array).result()
    return folder


def in_folders(folder, *names):
    """One zarr folder for each name, with its index as the value."""
    for index, name in enumerate(names):
        write(folder, {"driver": "file", "path": f"{folder / name}/"}, np.full((2, 3), index, np.float32))
    return folder


def in_databases(folder, *names):
    """A database in the directory of each array, as `jax.experimental.array_serialization` makes it."""
    for index, name in enumerate(names):
        above, _, last = name.rpartition("/")
        kvstore = {"driver": "ocdbt", "base": f"file://{folder / above}/", "path": f"{last}/"}
        write(folder, kvstore, np.full((2, 3), index, np.float32))
    return folder


def in_own_databases(folder, *names):
    """A database for each array."""
    for index, name in enumerate(names):
        write(folder, {"driver": "ocdbt", "base": f"file://{folder / name}/"}, np.full((2, 3), index, np.float32))
    return folder


def in_one_database(folder, *names):
    for index, name in enumerate(names):
        kvstore = {"driver": "ocdbt", "base": f"file://{folder}/", "path": f"{name}/"}
        write(folder, kvstore, np.full((2, 3), index, np.float32))
    return folder


def values(path, **choice):
    with open_reader(path, **choice) as reader:
        return {format_path(leaf): int(np.ravel(value)[0]) for leaf, value in reader.read_all().items()}


def refusal(path, **choice):
    with pytest.raises(CheckpointError) as caught:
        open_reader(path, **choice)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


WRITERS = pytest.mark.parametrize("writer", [in_folders, in_databases, in_own_databases, in_one_database])


@WRITERS
@pytest.mark.parametrize("names", [NAMES, NAMES[:3], NAMES[:1], ("params/w",), ("a/w", "b/c/w")])
def test_every_array_below_a_directory_is_read_below_its_folders(tmp_path, writer, names):
    folder = writer(tmp_path / "old", *names)
    (folder / "metadata.json").write_text("{}")
    assert {name: index for index, name in enumerate(names)} == values(folder)


@WRITERS
def test_nested_stores_keep_the_laws_of_readers(tmp_path, writer):
    folder = writer(tmp_path / "old", *NAMES)
    check_reader(lambda: open_reader(folder))


@WRITERS
@pytest.mark.parametrize("names", [("Dense_0/kernel", "Dense_1/kernel"), ("0/w", "1/w", "head/w"), ("Dense_0/a/w",)])
def test_numbered_nodes_are_no_steps(tmp_path, writer, names):
    folder = writer(tmp_path / "old", *names)
    assert {name: index for index, name in enumerate(names)} == values(folder)
    assert () == list_steps(folder)


@pytest.mark.parametrize("stem", ["step-", "step_", "", "checkpoint_"])
@WRITERS
def test_steps_of_nested_stores_are_steps(tmp_path, writer, stem):
    for number in (100, 200):
        writer(tmp_path / f"{stem}{number}", *NAMES)
    assert (100, 200) == list_steps(tmp_path)
    assert [*NAMES] == sorted(values(tmp_path), key=NAMES.index)


def test_folders_and_databases_of_one_tree_are_read_together(tmp_path):
    folder = in_folders(tmp_path / "old", "d/w", "model/w")
    in_databases(folder, "optimizer/mu", "optimizer/deep/nu/w")
    write(folder, {"driver": "ocdbt", "base": f"file://{folder}/optimizer/deep/", "path": "a/b/"}, np.full(3, 5))
    expected = {"d/w": 0, "model/w": 1, "optimizer/mu": 0, "optimizer/deep/nu/w": 1, "optimizer/deep/a/b": 5}
    assert expected == values(folder)


def test_a_placeholder_stands_for_an_array_in_a_database_of_its_own(tmp_path):
    folder = in_own_databases(tmp_path / "old", "params/Dense_0/kernel", "opt.mu")
    tree = {"params": {"w": "PLACEHOLDER://params/Dense_0/kernel"}, "opt": {"mu": "PLACEHOLDER://opt.mu"}}
    (folder / "checkpoint").write_bytes(msgpack.packb(tree))
    assert {"params/w": 0, "opt/mu": 1} == values(folder)
    check_reader(lambda: open_reader(folder))


def test_zeros_that_a_database_does_not_store_are_read(tmp_path):
    folder = in_databases(tmp_path / "old", *NAMES)
    write(folder, {"driver": "ocdbt", "base": f"file://{folder / 'model'}/", "path": "zero/"}, np.zeros(3, np.int32))
    assert 0 == values(folder)["model/zero"]


def test_groups_of_zarr_3_are_no_arrays(tmp_path):
    folder = in_folders(tmp_path / "old", *NAMES)
    for place in (folder / "model", folder / "optimizer"):
        (place / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group"}))
    assert set(NAMES) == values(folder).keys()


def test_dots_in_the_names_of_folders_stay_and_the_rules_may_split_them(tmp_path):
    folder = in_folders(tmp_path / "old", "model/layers.0/w", "model/layers.1/w")
    assert {"model/layers.0/w", "model/layers.1/w"} == values(folder).keys()
    assert {r"model\/layers/0\/w", r"model\/layers/1\/w"} == values(folder, separator=".").keys()


@pytest.mark.parametrize("name", ["model/more.npz", "more.safetensors", "model/deep/checkpoint"])
def test_a_file_that_could_hold_arrays_is_refused(tmp_path, name):
    folder = in_folders(tmp_path / "old", *NAMES)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")
    assert "M405" == refusal(folder).code


def test_nested_stores_beside_an_item_or_a_step_with_a_record_are_refused(written, tmp_path):
    step = tmp_path / "root" / "7"
    shutil.copytree(written("plain_zarr2", "typical"), step / "default")
    in_folders(step / "extra", "a/b/w")
    found = refusal(step)
    assert ("M405", ("extra",), True) == (found.code, found.paths, "--item default" in found.help)
    open_reader(step, item="default").close()
    in_folders(tmp_path / "root" / "model", "a/b/w")
    (step / "extra").rename(tmp_path / "extra")
    found = refusal(tmp_path / "root")
    assert ("M405", ("model",), True) == (found.code, found.paths, "--step 7" in found.help)
    open_reader(tmp_path / "root", step=7).close()


def test_a_pipe_in_a_database_is_refused_before_it_is_read(tmp_path):
    folder = in_databases(tmp_path / "old", "Dense_0/a/w", "Dense_1/a/w")
    for data in folder.glob("*/*/d/*"):
        data.unlink()
        os.mkfifo(data)
    assert "M415" == refusal(folder).code


@pytest.mark.skipif(not CASE.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", ["old", "old_ocdbt"])
def test_what_array_serialization_of_jax_leaves_is_read_whole(name):
    with open_reader(CASE / name) as reader:
        leaves = {format_path(path): str(leaf) for path, leaf in reader.abstract().tree.leaves.items()}
        assert 7 == int(reader.read(("optimizer_state", "0", "count")))
    assert {
        "model/transformer/embeddings/token_embeddings/weight": "float32[11,4]",
        "model/transformer/layers/mlp/c_fc/weight": "float32[3,8,4]",
        "optimizer_state/0/count": "int32[]",
        "training_key": "uint32[2]",
    } == leaves
