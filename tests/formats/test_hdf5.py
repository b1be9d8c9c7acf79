"""HDF5 files and Keras archives: those that Keras wrote, and damaged or hostile ones."""

import builtins
import shutil
import sys
import zipfile
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, same_value

KERAS = Path(__file__).parents[2] / "fixtures" / "keras"
FILES = ("model.keras", "model.weights.h5", "model.h5")
LAYERS = {("first", 0): 0, ("first", 1): 1, ("batch_normalization", 0): 2, ("batch_normalization", 1): 3,
          ("batch_normalization", 2): 4, ("batch_normalization", 3): 5, ("dense", 0): 6, ("dense", 1): 7}  # fmt: skip
"""The positions of the variables of each layer in `model.weights`."""


def refusal(path):
    with pytest.raises(CheckpointError) as caught, open_reader(path) as reader:
        reader.read_all()
    return caught.value.diagnostics[0]


def written(path, write):
    with h5py.File(path, "w") as file:
        write(file)
    return path


@pytest.mark.parametrize("name", FILES)
def test_what_keras_wrote_keeps_the_readers_laws(name):
    check_reader(lambda: open_reader(KERAS / name))


@pytest.mark.parametrize("name", FILES[:2])
def test_the_weights_of_keras_3_are_those_of_the_model(name):
    expected = np.load(KERAS / "values.npz")
    stored = {"first": "dense", "dense": "dense_1"}
    with open_reader(KERAS / name) as reader:
        for (layer, number), position in LAYERS.items():
            value = reader.read(("layers", stored.get(layer, layer), "vars", str(number)))
            assert ("bfloat16" if layer == "dense" else "float32") == value.dtype.name
            assert np.array_equal(expected[str(position)], value.astype("float32"))


def test_the_older_format_has_the_names_of_weights():
    expected = np.load(KERAS / "values.npz")
    with open_reader(KERAS / "model.h5") as reader:
        layer = ("model_weights", "batch_normalization", "sequential", "batch_normalization")
        for position, name in enumerate(("gamma", "beta", "moving_mean", "moving_variance"), start=2):
            assert np.array_equal(expected[str(position)], reader.read((*layer, name)))
        raw = reader.read(("model_weights", "dense", "sequential", "dense", "kernel"))
        assert np.array_equal(expected["6"], raw.astype("float32"))
        assert [note.code for note in reader.abstract().notes if "read as bfloat16" in note.message] == ["M410"]


def test_an_archive_names_its_version_and_what_is_ignored():
    with open_reader(KERAS / "model.keras") as reader:
        assert ("keras archive", "Keras 3.15.1") == (reader.abstract().format, reader.abstract().era)
        assert ["config.json", "metadata.json"] == sorted(reader.abstract().notes[0].paths)


def test_arrays_of_an_uncompressed_archive_are_located_in_it(tmp_path):
    with open_reader(KERAS / "model.keras") as reader:
        (extent,) = reader.extents(("layers", "dense", "vars", "0"))
        assert KERAS / "model.keras" == extent.file
    with zipfile.ZipFile(KERAS / "model.keras") as old, zipfile.ZipFile(tmp_path / "z.keras", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED)
    check_reader(lambda: open_reader(tmp_path / "z.keras"))
    with open_reader(tmp_path / "z.keras") as reader:
        assert reader.extents(("layers", "dense", "vars", "0")) is None


def test_every_kind_of_dataset(tmp_path):
    arrays = {
        "big_endian": np.arange(3, dtype=">f4"),
        "flag": np.array([True, False]),
        "half": np.ones((2, 2), "float16"),
        "complex": np.array([1 + 2j], "complex64"),
        "nothing": np.zeros((0, 3), "int8"),
    }

    def write(file):
        for name, value in arrays.items():
            file[name] = value
        file.create_dataset("packed", data=np.arange(100.0), chunks=(10,), compression="gzip")
        file["name"] = "a model ü"
        file["names"] = ["a", "b"]
        file["bytes"] = np.array([b"ab", b"c"])
        file["struct"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
        file["null"] = h5py.Empty("f4")
        file.create_group("empty")
        fp8 = file.create_dataset("fp8", data=np.ones(2, ml_dtypes.float8_e4m3fn).view("V1"))
        fp8.attrs["dtype"] = "float8_e4m3fn"

    path = written(tmp_path / "old.h5", write)
    check_reader(lambda: open_reader(path))
    with open_reader(path) as reader:
        leaves = {key[0]: str(leaf) for key, leaf in reader.abstract().tree.leaves.items()}
        for name, value in arrays.items():
            assert same_value(value.astype(value.dtype.newbyteorder("=")), reader.read((name,))), name
        assert np.array_equal(np.arange(100.0), reader.read(("packed",)))
        assert "a model ü" == reader.read(("name",))
        assert same_value(np.ones(2, ml_dtypes.float8_e4m3fn), reader.read(("fp8",)))
    assert ("text[2]", "byte strings[2]", "structures[2]", "none") == tuple(
        leaves[name] for name in ("names", "bytes", "struct", "null")
    )
    assert "empty" not in leaves


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fraction", [0.2, 0.9])
def test_a_truncated_file_is_called_truncated(tmp_path, name, fraction):
    content = (KERAS / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * fraction)])
    found = refusal(tmp_path / name)
    assert "M404" == found.code
    assert "truncated" in found.message


def outside(file):
    file["a"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft(file):
    file["a"] = h5py.SoftLink("/b")


def raw(file):
    file.create_dataset("a", (3,), "u1", external=[("/etc/hostname", 0, 3)])


def virtual(file):
    layout = h5py.VirtualLayout((3,), "u1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (3,))
    file.create_virtual_dataset("a", layout)


@pytest.mark.parametrize("write", [outside, soft, raw, virtual])
def test_a_dataset_that_leads_out_of_the_file_is_refused(tmp_path, write):
    assert ("M415", ("a",)) == ((found := refusal(written(tmp_path / "old.h5", write))).code, found.paths)


def test_a_group_that_contains_itself_is_refused(tmp_path):
    def write(file):
        file.create_group("a")["b"] = file["/"]

    assert "contains itself" in refusal(written(tmp_path / "old.h5", write)).message


def test_a_size_that_no_file_can_fill_is_not_allocated(tmp_path):
    path = written(tmp_path / "old.h5", lambda file: file.create_dataset("a", (1 << 40,), "f4", chunks=(1024,)))
    assert "claims" in refusal(path).message


@pytest.mark.sample(3)
@pytest.mark.parametrize("first", [0, 211, 422])
def test_a_flipped_byte_is_read_or_refused(tmp_path, first):
    content = (KERAS / "model.weights.h5").read_bytes()
    for at in range(first, len(content), 633):
        path = tmp_path / "old.h5"
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        try:
            with open_reader(path) as reader:
                reader.read_all()
        except CheckpointError:
            continue


def test_without_h5py_the_error_has_the_command_that_installs_it(monkeypatch, tmp_path):
    real = builtins.__import__

    def no_h5py(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    shutil.copy(KERAS / "model.weights.h5", tmp_path)
    monkeypatch.setattr(builtins, "__import__", no_h5py)
    found = refusal(tmp_path / "model.weights.h5")
    assert "M416" == found.code
    assert "pip install 'migrate-jax[keras]'" in found.help


def test_opening_another_format_does_not_import_h5py(tmp_path):
    import subprocess

    np.savez(tmp_path / "old.npz", a=np.ones(1))
    code = (
        "import sys; from migrate.formats.detect import open_reader; "
        f"open_reader({str(tmp_path / 'old.npz')!r}); sys.exit('h5py' in sys.modules)"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
