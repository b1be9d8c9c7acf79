"""Every format reads the same from a bucket as from a local path."""

import zipfile

import h5py
import numpy as np
import pytest
import tensorstore as ts
from flax import serialization
from safetensors.numpy import save_file

from migrate.errors import CheckpointError
from migrate.formats.detect import list_steps, open_reader
from migrate.formats.root import read_root
from migrate.testing.readers import same_value
from tests.buckets.traffic import Fault
from tests.engine.sources import mixed, save
from tests.formats.sources import flax_file_with_arrays_beside, safetensors_index, sharded_msgpack

WRITER_NAMES = ("ocdbt_zarr2", "plain_zarr2", "ocdbt_zarr3", "plain_zarr3", "standard", "manager", "version_1")
ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.arange(70_000)}


def require_same(local, far, **choice):
    with open_reader(local, **choice) as one, open_reader(far, **choice) as other:
        ours, theirs = one.abstract(), other.abstract()
        assert ours.tree.structure_hash == theirs.tree.structure_hash
        assert (ours.format, ours.era, ours.step, ours.steps) == (theirs.format, theirs.era, theirs.step, theirs.steps)
        assert ours.metadata == theirs.metadata
        assert ours.extras == theirs.extras
        assert () == theirs.problems
        assert len(list(one.files())) == len(list(other.files()))
        values = other.read_all()
        for path, value in one.read_all().items():
            assert same_value(value, values[path]), path


@pytest.mark.parametrize("writer", WRITER_NAMES)
def test_what_orbax_writes(written, writer, bucket):
    folder = written(writer, "typical")
    require_same(folder, bucket.upload(folder, "runs/1"))


def test_a_step_of_a_root(written, bucket):
    root = written("manager", "typical").parent.parent
    far = bucket.upload(root, "root")
    assert list_steps(root) == list_steps(far)
    assert read_root(root).numbers == read_root(far).numbers
    for step in list_steps(root):
        require_same(root, far, step=step)


def npz(folder):
    np.savez_compressed(folder / "x.npz", **ARRAYS)
    return folder / "x.npz"


def npy(folder):
    np.save(folder / "x.npy", ARRAYS["b/c"])
    return folder / "x.npy"


def msgpack(folder):
    (folder / "x.msgpack").write_bytes(serialization.to_bytes(ARRAYS))
    return folder / "x.msgpack"


def safetensors(folder):
    save_file(ARRAYS, folder / "x.safetensors")
    return folder / "x.safetensors"


def hdf5(folder):
    with h5py.File(folder / "x.h5", "w") as file:
        for name, array in ARRAYS.items():
            file[name] = array
    return folder / "x.h5"


def keras(folder):
    with zipfile.ZipFile(folder / "x.keras", "w") as archive:
        archive.write(hdf5(folder), "model.weights.h5")
    (folder / "x.h5").unlink()
    return folder / "x.keras"


@pytest.mark.parametrize("write", [npz, npy, msgpack, safetensors, hdf5, keras])
def test_a_single_file(write, bucket, tmp_path):
    file = write(tmp_path)
    require_same(file, bucket.upload(file, f"files/{file.name}"))


@pytest.mark.parametrize("write", [sharded_msgpack, lambda folder: safetensors_index(folder)[0].parent])
def test_a_folder_of_files(write, bucket, tmp_path):
    folder = write(tmp_path)
    require_same(folder, bucket.upload(folder, "folder"))


def test_a_file_with_arrays_beside(bucket, tmp_path):
    file, _ = flax_file_with_arrays_beside(tmp_path)
    bucket.upload(tmp_path, "run")
    require_same(file, f"{bucket.url}/run/{file.name}")


def test_databases_of_processes_that_were_never_merged(bucket, tmp_path):
    for process, (name, array) in enumerate(ARRAYS.items()):
        base = {"driver": "file", "path": f"{tmp_path}/run/ocdbt.process_{process}/"}
        kvstore = {"driver": "ocdbt", "base": base, "path": f"{name.replace('/', '.')}/"}
        spec = {"driver": "zarr", "kvstore": kvstore}
        ts.open(spec, create=True, dtype=array.dtype, shape=array.shape).result().write(array).result()
    require_same(tmp_path / "run", bucket.upload(tmp_path / "run", "run"))


def test_objects_that_mark_directories_are_no_files(written, bucket):
    folder = written("plain_zarr2", "typical")
    far = bucket.upload(folder, "run")
    for marker in ("run/", "run/empty/"):
        bucket.store().write(marker, b"").result()
    require_same(folder, far)


def test_a_listing_of_several_pages(bucket, bucket_servers, tmp_path):
    (tmp_path / "x").mkdir()
    bucket.upload(safetensors(tmp_path), "x/x.safetensors")
    for request in [bucket.store().write(f"x/{n:04}.txt", b"") for n in range(1100)]:
        request.result()
    bucket.path.refresh()
    assert 1101 == len(list((bucket.path / "x").iterdir()))


def test_a_missing_checkpoint_is_named_with_its_url(bucket):
    with pytest.raises(CheckpointError, match=rf"`{bucket.url}/none` does not exist"):
        open_reader(f"{bucket.url}/none")


def test_a_bucket_that_does_not_exist_is_named(bucket):
    url = f"{bucket.scheme}://absent-{bucket.name}/x"
    with pytest.raises(CheckpointError) as caught:
        open_reader(url)
    assert url in caught.value.diagnostics[0].message


def test_a_refused_request_is_explained(bucket, written):
    far = bucket.upload(written("ocdbt_zarr2", "typical"), "run")
    bucket.traffic.faults.append(Fault("GET", bucket.name, times=100, status=403))
    with pytest.raises(CheckpointError, match="cannot be reached") as caught:
        open_reader(far)
    assert "M418" == caught.value.diagnostics[0].code
    assert "credentials" in caught.value.diagnostics[0].help
    bucket.traffic.reset()


@pytest.mark.matrix
def test_requests_are_repeated_while_the_server_is_busy(bucket, written):
    folder = written("ocdbt_zarr2", "typical")
    far = bucket.upload(folder, "run")
    bucket.traffic.faults += [Fault("GET", bucket.name, times=3, skip=skip) for skip in (0, 2, 4)]
    require_same(folder, far)
    assert 9 == bucket.traffic.made


def test_a_truncated_file_is_named_with_its_url(bucket, tmp_path):
    far = bucket.upload(save(tmp_path / "old", mixed()), "run")
    store = bucket.store()
    contents = {key: store.read(key).result().value for key in bucket.keys("run/ocdbt.process_0/d/")}
    for name, content in contents.items():
        store.write(name, content[: len(content) // 2]).result()
    with open_reader(far) as reader:
        messages = [problem.message for problem in reader.abstract().problems]
    assert messages
    assert all("is truncated" in message and f"`{bucket.url}/run/ocdbt.process_0/d/" in message for message in messages)
