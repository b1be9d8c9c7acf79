"""The msgpack `checkpoint` file of Orbax before 0.5.21: values inside, or placeholders for arrays beside it.

Covers `migrate.formats.orbax.tree`, which combines that file with the other records of a tree.
"""

import json
import shutil
from pathlib import Path

import msgpack
import numpy as np
import pytest
from flax import serialization

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader

FIXTURES = Path(__file__).parents[3] / "fixtures"


@pytest.fixture
def item(written, tmp_path):
    """`item(tree)`: an item whose msgpack file is `tree`, beside the string `note` and its arrays: `w`, `opt.m`."""

    def write(tree, declared=None):
        folder = tmp_path / "item"
        arrays = written("plain_zarr2", "typical")
        folder.mkdir()
        for name, stored in (("w", "params.Dense_0.kernel"), ("opt.m", "step")):
            if name in json.dumps((tree, declared), default=str).replace('"m"', "opt.m"):
                shutil.copytree(arrays / stored, folder / name)
        (folder / "_strings.json").write_text(json.dumps({"note": "hello"}))
        (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(tree))
        if declared is not None:
            (folder / "_METADATA").write_text(json.dumps({"tree_metadata": declared}))
        return folder

    return write


def declare(*keys, value_type="jax.Array", skip=False):
    return {
        "key_metadata": [{"key": key, "key_type": 1 if key.isdecimal() else 2} for key in keys],
        "value_metadata": {"value_type": value_type, "skip_deserialize": skip},
    }


@pytest.mark.parametrize(
    ("prefix", "era"),
    [
        ("PLACEHOLDER://", "orbax 0.0.21 to orbax-checkpoint 0.4.2"),
        ("AGGREGATED://", "orbax 0.0.19 to 0.0.20"),
    ],
)
def test_placeholders_lead_to_the_arrays_beside_the_file(item, prefix, era):
    folder = item({"w": f"{prefix}w", "opt": {"m": f"{prefix}opt.m"}, "note": f"{prefix}note", "b": np.ones(2)})
    check_reader(lambda: open_reader(folder))
    with open_reader(folder) as reader:
        drivers = {path[0]: leaf.storage.driver for path, leaf in reader.abstract().tree.leaves.items()}
        values = reader.read_all()
        assert ("orbax zarr", era) == (reader.abstract().format, reader.abstract().era)
    assert {"w": "zarr2", "opt": "zarr2", "note": "json", "b": "msgpack"} == drivers
    assert ((4, 3), 3, "hello") == (values["w",].shape, int(values["opt", "m"]), values["note",])


def test_the_bare_name_of_an_array_stands_for_it(item):
    with open_reader(item({"w": "w", "opt": {"m": "opt.m"}, "text": "w"})) as reader:
        values = reader.read_all()
    assert ((4, 3), "w") == (values["w",].shape, values["text",])


def test_a_specification_stands_for_the_array_in_its_last_folder(item):
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": "/tmp/save.orbax-checkpoint-tmp-1/w"},
        "dtype": "float32",
    }
    with open_reader(item({"w": spec})) as reader:
        assert (4, 3) == reader.read(("w",)).shape


def test_values_inside_keep_the_kinds_that_the_metadata_declares(item):
    declared = {
        "w": declare("w"),
        "opt": declare("opt", "0", "m"),
        "rate": declare("rate", value_type="scalar"),
        "none": declare("none", value_type="None", skip=True),
        "inside": declare("inside", value_type="np.ndarray", skip=True),
    }
    tree = {
        "w": "PLACEHOLDER://w",
        "opt": {"0": {"m": "PLACEHOLDER://opt.m"}},
        "rate": np.array(0.5),
        "none": None,
        "inside": np.ones(2),
    }
    with open_reader(item(tree, declared)) as reader:
        found = reader.abstract().tree
        values = reader.read_all()
    kinds = {path[0]: str(leaf) for path, leaf in found.leaves.items()}
    assert {
        "w": "float32[4,3]",
        "opt": "int64[]",
        "rate": "float64 scalar",
        "none": "none",
        "inside": "float64[2]",
    } == kinds
    assert {("opt",): "list"} == found.containers
    assert (0.5, float) == (values["rate",], type(values["rate",]))


def test_values_alone_are_an_item_too(tmp_path):
    (tmp_path / "checkpoint").write_bytes(msgpack.packb({"a": 1}))
    with open_reader(tmp_path) as reader:
        assert "orbax msgpack" == reader.abstract().format
        assert 1 == reader.read(("a",))


def test_a_placeholder_without_its_array_is_refused(item):
    with pytest.raises(CheckpointError) as caught:
        open_reader(item({"a": {"b": "PLACEHOLDER://a.b"}}))
    assert [("M403", ("a/b",))] == [(found.code, found.paths) for found in caught.value.diagnostics]


def test_a_declared_string_that_is_nowhere_is_refused(item):
    with pytest.raises(CheckpointError) as caught:
        open_reader(item({}, {"lost": declare("lost", value_type="string")}))
    assert [("M403", ("lost",))] == [(found.code, found.paths) for found in caught.value.diagnostics]


@pytest.mark.parametrize(
    "standing", ["PLACEHOLDER://w", "AGGREGATED://w", {"driver": "zarr", "kvstore": {"path": "w"}}]
)
def test_the_file_alone_is_refused_where_its_arrays_lie_beside_it(item, standing):
    folder = item({"w": standing})
    with pytest.raises(CheckpointError) as caught:
        open_reader(folder / "checkpoint")
    (diagnostic,) = caught.value.diagnostics
    assert ("M403", ("w",), True) == (diagnostic.code, diagnostic.paths, f"`{folder}`" in diagnostic.help)


def test_a_string_in_a_folder_of_its_own_is_read(item):
    folder = item({"w": "PLACEHOLDER://w", "label": "PLACEHOLDER://label"})
    (folder / "label").mkdir()
    (folder / "label" / "_strings.json").write_text(json.dumps({"label": "cat"}))
    with open_reader(folder) as reader:
        assert "cat" == reader.read(("label",))
        assert () == reader.abstract().notes


def test_an_array_that_no_record_names_is_refused(item, written):
    folder = item({"w": "PLACEHOLDER://w"})
    shutil.copytree(written("plain_zarr2", "typical") / "step", folder / "opt.m")
    with pytest.raises(CheckpointError) as caught:
        open_reader(folder)
    (diagnostic,) = caught.value.diagnostics
    assert ("M405", ("opt.m",)) == (diagnostic.code, diagnostic.paths)


def test_a_folder_with_a_backslash_in_its_name_reads_as_old_versions_wrote_it(item, written):
    folder = item({"back\\slash": "PLACEHOLDER://back\\slash"})
    shutil.rmtree(folder / "w", ignore_errors=True)
    shutil.copytree(written("plain_zarr2", "typical") / "step", folder / "back\\slash")
    check_reader(lambda: open_reader(folder))
    with open_reader(folder) as reader:
        assert 3 == int(reader.read(("back\\slash",)))
        assert None is reader.location(("back\\slash",))


T5X_SPEC = {"driver": "zarr", "dtype": "float32", "kvstore": {"driver": "file", "path": "target.w"}}


@pytest.fixture
def t5x(tmp_path):
    """A checkpoint of T5X with a bfloat16 array, stored as its words, and one number in the msgpack file."""
    import tensorstore as ts

    words = np.arange(0x3F80, 0x3F86, dtype=np.uint16).reshape(2, 3)
    metadata = {"shape": [2, 3], "chunks": [2, 3], "dtype": "<u2", "compressor": {"id": "gzip"}}
    spec = {"driver": "zarr", "kvstore": f"file://{tmp_path}/target.w/", "metadata": metadata}
    ts.open(spec, create=True).result().write(words).result()
    state = {"target": {"w": {**T5X_SPEC, "dtype": "uint16"}}, "state": {"step": np.int32(7)}}
    content = serialization.msgpack_serialize({"version": 3, "optimizer": state})
    (tmp_path / "checkpoint").write_bytes(content)
    return tmp_path


def test_t5x_s_words_are_bfloat16_and_a_note_says_so(t5x):
    check_reader(lambda: open_reader(t5x))
    with open_reader(t5x) as reader:
        checkpoint = reader.abstract()
        w = reader.read(("optimizer", "target", "w"))
        assert None is reader.location(("optimizer", "target", "w"))
        assert 3 == reader.read(("version",))
    assert ("t5x zarr", "t5x 2021 to 2023") == (checkpoint.format, checkpoint.era)
    assert [[1.0, 1.0078125, 1.015625], [1.0234375, 1.03125, 1.0390625]] == w.astype(float).tolist()
    assert [("M410", ("target.w",))] == [(note.code, note.paths) for note in checkpoint.notes]


def test_words_of_others_stay_words(t5x):
    """The same specification in a file of the first Orbax, which stored bfloat16 as it is."""
    (t5x / "checkpoint").write_bytes(msgpack.packb({"w": {**T5X_SPEC, "dtype": "uint16"}}))
    with open_reader(t5x) as reader:
        assert "uint16[2,3]" == str(reader.abstract().tree.leaves["w",])


def test_an_altered_placeholder_is_not_read_as_a_string(tmp_path):
    shutil.copytree(FIXTURES / "linen_2024/cnn_standard/ckpt", tmp_path / "copy")
    file = next((tmp_path / "copy").rglob("checkpoint"))
    file.write_bytes(file.read_bytes().replace(b"PLACEHOLDER://", b"pLACEHOLDER://", 1))
    with pytest.raises(CheckpointError, match="is damaged: the placeholder of"):
        open_reader(tmp_path / "copy")


def test_a_placeholder_does_not_name_the_array_of_another_leaf(tmp_path):
    shutil.copytree(FIXTURES / "linen_2024/cnn_standard/ckpt", tmp_path / "copy")
    file = next((tmp_path / "copy").rglob("checkpoint"))
    file.write_bytes(file.read_bytes().replace(b"//params.Conv_1.kernel", b"//params.Conv_0.kernel", 1))
    with pytest.raises(CheckpointError, match=r"names `params\.Conv_0\.kernel`, although `params\.Conv_1\.kernel`"):
        open_reader(tmp_path / "copy")


def test_an_altered_name_of_a_placeholder_is_not_read_as_another_leaf(tmp_path):
    shutil.copytree(FIXTURES / "linen_2024/cnn_standard/ckpt", tmp_path / "copy")
    file = next((tmp_path / "copy").rglob("checkpoint"))
    file.write_bytes(file.read_bytes().replace(b"\xa6kernel", b"\xa6karnel", 1))
    with pytest.raises(CheckpointError, match=r"is damaged: it has an array `.*karnel`, and `_METADATA` has no leaf"):
        open_reader(tmp_path / "copy")
