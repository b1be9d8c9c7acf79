"""Files are read like bytes, and a file that is truncated meanwhile is refused instead of killing the process."""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from flax import serialization
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import migrate
from migrate.errors import CheckpointError
from migrate.formats.file_view import FileView

CONTENT = bytes(np.random.default_rng(0).integers(0, 256, 40_000, np.uint8))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("view") / "file"
    path.write_bytes(CONTENT)
    return path


@given(places=st.lists(st.tuples(st.integers(-50_000, 50_000), st.integers(-50_000, 50_000)), max_size=8))
def test_it_has_the_bytes_of_the_file(file, places):
    view = FileView(file)
    assert len(CONTENT) == len(view)
    for start, stop in places:
        assert CONTENT[start:stop] == view[start:stop]
        if 0 <= start < len(CONTENT):
            assert CONTENT[start] == view[start]


@pytest.mark.parametrize("dtype", [np.dtype("<f4"), np.dtype(ml_dtypes.bfloat16), np.dtype(bool)])
def test_arrays_have_the_bytes_at_their_offset(file, dtype):
    array = FileView(file).array(dtype, 1000, 36)
    assert CONTENT[36 : 36 + array.nbytes] == array.tobytes()
    assert (dtype, (1000,)) == (array.dtype, array.shape)
    assert 0 == FileView(file).array(dtype, 0, len(CONTENT)).size


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="it is empty"):
        FileView(tmp_path / "file")


def test_its_descriptor_is_closed_with_it(file):
    before = len(os.listdir("/proc/self/fd"))
    views = [FileView(file) for _ in range(5)]
    assert before + 5 == len(os.listdir("/proc/self/fd"))
    del views
    assert before == len(os.listdir("/proc/self/fd"))


TREE = {"a": np.arange(30_000, dtype=np.float32), "b": np.ones(5, np.float32)}
WRITERS = {
    "old.msgpack": lambda path: path.write_bytes(serialization.msgpack_serialize(TREE)),
    "old.safetensors": lambda path: save_file(TREE, path),
    "old.npz": lambda path: np.savez(path, **TREE),
    "old.npy": lambda path: np.save(path, TREE["a"]),
}
READ = """
import os, sys, migrate
from migrate.errors import CheckpointError
for file in sys.argv[1:]:
    with migrate.open_checkpoint(file) as checkpoint:
        os.truncate(file, 0)
        for path in checkpoint.abstract.tree.leaves:
            try:
                checkpoint.read(path)
            except CheckpointError as error:
                print(os.path.basename(file))
"""


def test_a_file_that_is_emptied_after_it_was_opened_is_refused(tmp_path):
    expected = []
    for name, write in WRITERS.items():
        write(tmp_path / name)
        with migrate.open_checkpoint(tmp_path / name) as checkpoint:
            expected += [name] * len(checkpoint.abstract.tree.leaves)
    command = [sys.executable, "-c", READ, *(str(tmp_path / name) for name in WRITERS)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, expected) == (run.returncode, run.stdout.split()), run.stderr
