"""`.npz` files: those that NumPy writes, those of other programs, and damaged or hostile archives."""

import io
import zipfile

import ml_dtypes
import numpy as np
import pytest

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, same_value
from tests.damage import REFUSED, bits, by_migrate, damages, outcome


def refusals(path):
    with pytest.raises(CheckpointError) as caught, open_reader(path) as reader:
        reader.read_all()
    return caught.value.diagnostics


def archive(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


TREE = {
    "params/Dense_0/kernel": np.arange(12, dtype="float32").reshape(4, 3),
    "params/Dense_0/bias": np.ones(3, "float64"),
    "params/fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">i4"),
    "flag": np.array(True),
    "none": np.zeros((0, 3), "complex64"),
    "name": np.array("a model ü"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_keeps_the_readers_laws(tmp_path, save):
    save(tmp_path / "old.npz", **TREE)
    check_reader(lambda: open_reader(tmp_path / "old.npz"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_values_are_those_that_numpy_loads(tmp_path, save):
    save(tmp_path / "old.npz", **TREE)
    with open_reader(tmp_path / "old.npz") as reader, np.load(tmp_path / "old.npz") as loaded:
        assert set(TREE) == {"/".join(path) for path in reader.abstract().tree.leaves}
        for name in TREE.keys() - {"name"}:
            expected = loaded[name].astype(loaded[name].dtype.newbyteorder("="))
            assert same_value(expected, reader.read(tuple(name.split("/")))), name
        assert "a model ü" == reader.read(("name",))


@pytest.mark.parametrize(("separator", "path"), [(None, ("a", "b")), ("/", ("a.b",)), ("", ("a.b",))])
def test_names_are_split_where_they_form_a_tree_or_where_the_rules_say(tmp_path, separator, path):
    np.savez(tmp_path / "old.npz", **{"a.b": np.ones(1)})
    with open_reader(tmp_path / "old.npz", separator=separator) as reader:
        assert [path] == list(reader.abstract().tree.leaves)


def test_two_anonymous_bytes_are_bfloat16_and_that_is_said(tmp_path):
    array = np.arange(3).astype(ml_dtypes.bfloat16)
    archive(tmp_path / "old.npz", {"a.npy": npy(array.view("V2")), "b.npy": npy(array.view("V2"))})
    with open_reader(tmp_path / "old.npz") as reader:
        (note,) = reader.abstract().notes
        assert same_value(array, reader.read(("a",)))
    assert ("M410", ("a", "b")) == (note.code, note.paths)
    assert "`a` and 1 more: NumPy keeps no name for the dtype (`|V2`); read as bfloat16" == note.message


def test_pickled_objects_and_texts_are_leaves_that_cannot_be_read_and_nothing_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "old.npz", good=np.ones(1), one=np.array([Bomb()]), two=np.array({}), text=np.array(["ab"]))
    check_reader(lambda: open_reader(tmp_path / "old.npz"))
    with open_reader(tmp_path / "old.npz") as reader:
        leaves = {"/".join(path): str(leaf) for path, leaf in reader.abstract().tree.leaves.items()}
        assert {
            "good": "float64[1]",
            "one": "Python objects[1]",
            "text": "text[1]",
            "two": "Python objects[]",
        } == leaves
        with pytest.raises(CheckpointError, match="nothing is ever unpickled") as caught:
            reader.read(("one",))
    assert [("M411", ("one",))] == [(d.code, d.paths) for d in caught.value.diagnostics]
    assert not (tmp_path / "ran").exists()


def test_a_dtype_that_jax_does_not_have_is_refused(tmp_path):
    archive(tmp_path / "old.npz", {"a.npy": header(GOOD.replace("<f4", "<f16")) + b"1" * 32})
    assert [("M411", ("a",))] == [(d.code, d.paths) for d in refusals(tmp_path / "old.npz")]


def test_a_name_that_another_begins_with_stays_a_leaf(tmp_path):
    np.savez(tmp_path / "old.npz", **{"a": np.ones(1), "a/b": np.ones(1)})
    with open_reader(tmp_path / "old.npz") as reader:
        assert {("a",), ("a/b",)} == set(reader.abstract().tree.leaves)
        assert ["M410"] == [note.code for note in reader.abstract().notes]


def test_a_zip_without_arrays_is_no_checkpoint(tmp_path):
    (found,) = refusals(archive(tmp_path / "model.pt", {"data.pkl": b"x"}))
    assert "M401" == found.code
    assert "a zip archive of PyTorch" in found.message


def header(text, magic=b"\x93NUMPY\x01\x00"):
    return magic + len(text).to_bytes(2, "little") + text.encode()


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        header(GOOD),
        header(GOOD) + b"123456789",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }") + b"12345678",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }"),
        header("{'descr': '<f4', 'shape': (2,), }") + b"12345678",
        header("__import__('os').getcwd()"),
        header("(" * 3000),
        header(GOOD, b"\x93NUMPX\x01\x00") + b"12345678",
        b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little") + b"x" * 100,
    ],
)
def test_a_member_that_contradicts_itself_is_damaged(tmp_path, content):
    assert "M404" == refusals(archive(tmp_path / "old.npz", {"a.npy": content}))[0].code


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_is_found(tmp_path, compression):
    array = np.random.default_rng(0).normal(size=1000)
    path = archive(tmp_path / "old.npz", {"a.npy": npy(array)}, compression=compression)
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    assert "M404" == refusals(path)[0].code


def test_truncation_is_found(tmp_path):
    np.savez(tmp_path / "old.npz", **TREE)
    content = (tmp_path / "old.npz").read_bytes()
    (tmp_path / "old.npz").write_bytes(content[: len(content) // 2])
    assert refusals(tmp_path / "old.npz")[0].code in ("M401", "M404")


def by_numpy(path):
    with np.load(path) as archive:
        return bits((tuple(name.split("/")), archive[name]) for name in archive.files)


@pytest.mark.sample(3)
@pytest.mark.parametrize("mask", [0x01, 0x80])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_whatever_byte_is_damaged_an_archive_is_refused_or_what_numpy_reads(tmp_path, save, mask):
    path = tmp_path / "a.npz"
    save(path, a=np.arange(6, dtype=np.float32).reshape(2, 3), b=np.arange(3, dtype=np.int16))
    for damage, content in damages(path.read_bytes(), (mask,)):
        path.write_bytes(content)
        found = outcome(lambda: by_migrate(path))
        assert found is REFUSED or found == outcome(lambda: by_numpy(path), Exception), damage


def test_an_array_of_which_less_was_compressed_than_its_shape_needs_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz", {"a.npy": npy(np.arange(6))[:-8]}, compression=zipfile.ZIP_DEFLATED)
    content, sizes = path.read_bytes(), [len(npy(np.arange(6))) - 8, len(npy(np.arange(6)))]
    lies = content.replace(*(size.to_bytes(4, "little") for size in sizes))
    assert lies != content
    path.write_bytes(lies)
    assert "M404" == refusals(path)[0].code


def test_a_version_of_a_header_that_numpy_does_not_know_is_refused(tmp_path):
    content = npy(np.arange(6))
    path = archive(tmp_path / "a.npz", {"a.npy": content[:7] + b"\1" + content[8:]})
    assert "M404" == refusals(path)[0].code
