"""`Item.files()` of every format (`migrate.formats.base`): a copy of these files alone reads the same."""

import shutil
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from safetensors.numpy import save_file

from migrate.formats.detect import open_reader
from migrate.testing.readers import same_value
from tests.formats.conftest import WRITERS
from tests.formats.flax.streams import write_stream
from tests.formats.sources import flax_file_with_arrays_beside, safetensors_index, sharded_msgpack

FIXTURES = Path(__file__).parents[2] / "fixtures"
STRAYS = ("stray.pkl", "README.md")


def safetensors_folder(folder):
    for part in (1, 2):
        save_file({f"w{part}": np.ones(2, np.float32)}, folder / f"model-0000{part}-of-00002.safetensors")
    return folder


def npz(folder):
    np.savez(folder / "old.npz", a=np.ones(3))
    return folder / "old.npz"


def msgpack(folder):
    (folder / "checkpoint_1").write_bytes(serialization.msgpack_serialize({"w": np.ones(2)}))
    return folder / "checkpoint_1"


def root_of_flax_steps(folder):
    flax_file_with_arrays_beside(folder)
    (folder / "checkpoint_2").write_bytes(serialization.msgpack_serialize({"w": np.ones(2)}))
    return folder


def managed_root(folder):
    with ocp.CheckpointManager(folder, metadata={"team": "vision"}) as manager:
        for step in (1, 2):
            manager.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave({"w": np.full(2, step, np.float32)}),
                    key=ocp.args.JaxRandomKeySave(jax.random.key(0)),
                    config=ocp.args.JsonSave({"depth": 3}),
                ),
            )
    return folder


def json_item(folder):
    return managed_root(folder) / "2" / "config"


def unmerged(folder):
    """The databases of two processes, as a save that was not finished leaves them."""
    for process in (0, 1):
        path = folder / "item" / f"ocdbt.process_{process}"
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(folder / str(process), {f"w{process}": np.ones(2, np.float32)})
        (folder / "item").mkdir(exist_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        shutil.copy(folder / str(process) / "manifest.ocdbt", path)
        shutil.copytree(folder / str(process) / "d", path / "d")
        inner = folder / str(process) / "ocdbt.process_0"
        if inner.exists():
            shutil.copytree(inner, path / "ocdbt.process_0")
        shutil.rmtree(folder / str(process))
    return folder / "item"


def easylm_stream(folder):
    return write_stream(folder / "streaming_params", {("params", "w"): np.ones(2), ("params", "b"): np.zeros(3)})


def equinox(folder):
    return Path(shutil.copy(FIXTURES / "equinox" / "model.eqx", folder))


def keras_weights(folder):
    return Path(shutil.copy(FIXTURES / "keras" / "model.weights.h5", folder))


def keras_archive(folder):
    return Path(shutil.copy(FIXTURES / "keras" / "model.keras", folder))


MAKERS = (
    safetensors_index, safetensors_folder, npz, msgpack, flax_file_with_arrays_beside, root_of_flax_steps,
    managed_root, json_item, sharded_msgpack, easylm_stream, equinox, keras_weights, keras_archive,
)  # fmt: skip


def content_of(path):
    with open_reader(path) as reader:
        checkpoint = reader.abstract()
        return checkpoint.tree, checkpoint.extras, checkpoint.metadata, checkpoint.era, reader.read_all()


def files_of(path):
    with open_reader(path) as reader:
        return [Path(file) for file in reader.files()]


def copy_of_files(path, folder, target):
    """A copy of a checkpoint's files, and of nothing else."""
    for file in files_of(path):
        place = target / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return target / path.relative_to(folder)


def assert_reads_the_same(one, other):
    *first, values = content_of(one)
    *second, copied = content_of(other)
    assert first == second
    assert values.keys() == copied.keys()
    assert all(same_value(value, copied[path]) for path, value in values.items())


def made(make, folder):
    folder.mkdir()
    found = make(folder)
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("make", MAKERS)
def test_a_copy_of_the_files_alone_reads_the_same(tmp_path, make):
    path = made(make, tmp_path / "old")
    for stray in STRAYS:
        (tmp_path / "old" / stray).write_bytes(b"?")
    assert_reads_the_same(path, copy_of_files(path, tmp_path / "old", tmp_path / "copy"))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("tree", ["typical", "host"])
def test_a_copy_of_the_files_of_an_orbax_item_alone_reads_the_same(written, tmp_path, writer, tree):
    if tree == "host" and writer in ("standard", "manager", "version_1"):
        pytest.skip("these writers refuse strings")
    path = written(writer, tree)
    assert_reads_the_same(path, copy_of_files(path, path.parent, tmp_path / "copy"))


def test_the_parts_of_several_processes_are_files_of_the_item(tmp_path):
    path = made(unmerged, tmp_path / "old")
    assert_reads_the_same(path, copy_of_files(path, tmp_path / "old", tmp_path / "copy"))


@pytest.mark.parametrize("make", MAKERS)
def test_no_file_is_listed_twice_or_outside_or_without_being_read(tmp_path, make):
    path = made(make, tmp_path / "old")
    for stray in STRAYS:
        (tmp_path / "old" / stray).write_bytes(b"?")
    files = files_of(path)
    assert sorted(set(files)) == sorted(files)
    assert files
    assert all(file.is_file() and file.is_relative_to(tmp_path / "old") for file in files)
    assert not {file.name for file in files} & set(STRAYS)


def test_other_steps_are_no_files_of_the_chosen_one(tmp_path):
    path = made(managed_root, tmp_path / "old")
    assert not [file for file in files_of(path) if file.is_relative_to(path / "1")]


def test_a_stray_file_in_an_item_is_not_a_file_of_it(written, tmp_path):
    path = shutil.copytree(written("ocdbt_zarr2", "typical"), tmp_path / "item")
    before = files_of(path)
    (path / "stray").mkdir()
    (path / "stray" / "file").write_bytes(b"")
    assert before == files_of(path)
