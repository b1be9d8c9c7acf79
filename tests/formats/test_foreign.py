"""Files that are no checkpoints: each is called what it is, and its owner gets the code that exports it."""

import bz2
import gzip
import pickle
import zipfile

import numpy as np
import pytest

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import same_value

TREE = {"params": {"w": np.arange(3, dtype="float32"), "b": np.ones((), "float16")}, "step": 3}
LEAVES = {("params", "w"), ("params", "b"), ("step",)}


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        open_reader(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def dump(path, opened=open, **options):
    with opened(path, "wb") as file:
        pickle.dump(TREE, file, **options)


WRITERS = {
    "model.pkl": dump,
    "model of a friend's.pickle": dump,
    "old.pkl": lambda path: dump(path, protocol=0),
    "no suffix": dump,
    "state.nk": dump,
    "model.pkl.gz": lambda path: dump(path, gzip.open),
    "model.pbz2": lambda path: dump(path, bz2.open),
    "model.npy": lambda path: np.save(path, np.array(TREE, dtype=object)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_pickle_is_refused_with_code_that_exports_it(tmp_path, name):
    WRITERS[name](tmp_path / name)
    found = refusal(tmp_path / name)
    assert "M401" == found.code
    assert "nothing is ever unpickled" in found.message
    assert 5 <= len(found.snippet) <= 7
    exec("\n".join(found.snippet), {})
    with open_reader(found.help.split("`")[1]) as reader:
        assert LEAVES == set(reader.abstract().tree.leaves)
        assert same_value(TREE["params"]["w"], reader.read(("params", "w")))


def test_an_array_of_several_objects_becomes_a_list(tmp_path):
    np.save(tmp_path / "many.npy", np.array([TREE, None], dtype=object))
    exec("\n".join(refusal(tmp_path / "many.npy").snippet), {})
    with open_reader(tmp_path / "many.npy.msgpack") as reader:
        assert {("0", *path) for path in LEAVES} | {("1",)} == set(reader.abstract().tree.leaves)


@pytest.mark.parametrize(
    ("name", "content", "what", "code"),
    [
        ("a.joblib", pickle.dumps(TREE), "joblib", "joblib.load"),
        ("a.pt", pickle.dumps(TREE), "PyTorch", "torch.load"),
        ("pytorch_model.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch", "torch.load"),
        ("a.joblib.gz", gzip.compress(b"x", mtime=0), "joblib", "joblib.load"),
        ("ckpt-1.index", b"\0\0\1\2", "TensorFlow", "tf.train.load_checkpoint"),
    ],
)
def test_other_libraries_are_named_with_their_code(tmp_path, name, content, what, code):
    (tmp_path / name).write_bytes(content)
    found = refusal(tmp_path / name)
    assert what in found.message
    assert code in "\n".join(found.snippet)
    compile("\n".join(found.snippet), name, "exec")


def test_the_index_of_tensorflow_is_named_by_its_part(tmp_path):
    (tmp_path / "ckpt-1.data-00000-of-00001").write_bytes(b"\0\1")
    assert "name its index, `ckpt-1.index`" in refusal(tmp_path / "ckpt-1.data-00000-of-00001").message


@pytest.mark.parametrize(("name", "what"), [("m/data.pkl", "PyTorch"), ("notes.txt", "without arrays of NumPy")])
def test_a_zip_archive_is_called_by_its_content(tmp_path, name, what):
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        archive.writestr(name, b"x")
    assert what in refusal(tmp_path / "old.zip").message


def test_a_zip_archive_of_netket_is_exported_by_its_own_library(tmp_path):
    with zipfile.ZipFile(tmp_path / "state.nk", "w") as archive:
        archive.writestr("object.json", b"{}")
    assert "nqxpack.load" in "\n".join(refusal(tmp_path / "state.nk").snippet)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.99])
def test_a_truncated_archive_is_called_truncated(tmp_path, fraction):
    np.savez(tmp_path / "whole.npz", a=np.arange(1000), b=np.ones(5))
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "old.npz").write_bytes(content[: int(len(content) * fraction)])
    found = refusal(tmp_path / "old.npz")
    assert "M404" == found.code
    assert "it is truncated" in found.message


def test_a_command_prints_the_code_line_by_line(tmp_path):
    from click.testing import CliRunner

    from migrate.cli.main import migrate

    dump(tmp_path / "model.pkl")
    result = CliRunner().invoke(migrate, ["inspect", str(tmp_path / "model.pkl")])
    assert 2 == result.exit_code
    assert "\n      import pickle\n      from flax import serialization\n" in result.output
    result = CliRunner().invoke(migrate, ["inspect", str(tmp_path / "model.pkl"), "--json"])
    assert '"snippet": [' in result.output
