"""Safetensors: files of the format's own library, folders of them, and damaged or hostile files.

Covers `migrate.formats.safetensors.header` and `migrate.formats.safetensors.tree`.
"""

import json
import os
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import TensorSpec, serialize
from safetensors.numpy import load, save_file

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.safetensors.header import DTYPES, read_header, write_header
from migrate.testing.readers import check_reader, same_value
from tests.damage import REFUSED, bits, by_migrate, damages, outcome


def save(path, tensors, metadata=None):
    """What the format's own library writes; it takes NumPy's extension dtypes in this form only."""
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    specs = {
        name: TensorSpec(dtype=a.dtype.name, shape=a.shape, data_ptr=a.ctypes.data, data_len=a.nbytes)
        for name, a in arrays.items()
    }
    path.write_bytes(serialize(specs, metadata=metadata))
    return path


def write_raw(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def paths(path):
    with open_reader(path) as reader:
        return {"/".join(p) for p in reader.abstract().tree.leaves}


def notes(path):
    with open_reader(path) as reader:
        return [(note.code, note.message) for note in reader.abstract().notes]


def refusals(path):
    with pytest.raises(CheckpointError) as caught, open_reader(path) as reader:
        reader.read_all()
    return caught.value.diagnostics


def every_dtype():
    dtypes = {name: np.dtype(getattr(ml_dtypes, name, None) or name) for name in DTYPES.values()}
    return {f"of.{name}": np.arange(6).reshape(2, 3).astype(dtype) for name, dtype in dtypes.items()}


TORCH = {
    "model.embed.weight": np.arange(8, dtype="float32").reshape(4, 2),
    "model.layers.0.q.weight": np.ones((2, 2), ml_dtypes.bfloat16),
    "model.layers.10.q.weight": np.zeros((2, 2), ml_dtypes.bfloat16),
    "step": np.array(7),
    "none": np.zeros((0, 3), "float16"),
}


@pytest.mark.parametrize("tensors", [TORCH, every_dtype(), {}], ids=["typical", "dtypes", "empty"])
def test_files_of_the_library_keep_the_readers_laws(tmp_path, tensors):
    path = save(tmp_path / "model.safetensors", tensors)
    check_reader(lambda: open_reader(path))


def test_every_dtype_survives_bit_for_bit(tmp_path):
    tensors = every_dtype()
    with open_reader(save(tmp_path / "m.safetensors", tensors)) as reader:
        for name, array in tensors.items():
            assert same_value(array, reader.read(tuple(name.split(".")))), name


def test_dotted_names_become_segments_in_natural_order(tmp_path):
    with open_reader(save(tmp_path / "m.safetensors", TORCH)) as reader:
        leaves = list(reader.abstract().tree.leaves)
    assert [("model", "layers", number, "q", "weight") for number in ("0", "10")] == leaves[1:3]


def test_a_lone_part_is_refused_with_the_index_and_the_others(tmp_path):
    for part in (1, 2):
        save_file({f"w{part}": np.ones(2, np.float32)}, tmp_path / f"model-0000{part}-of-00002.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is part 1 of 2 of a checkpoint") as caught:
        open_reader(tmp_path / "model-00001-of-00002.safetensors")
    (found,) = caught.value.diagnostics
    assert "M403" == found.code
    assert "`model.safetensors.index.json`" in found.message
    assert "`model-00002-of-00002.safetensors`" in found.message


def test_names_with_slashes_are_split_there_alone(tmp_path):
    tensors = {"params/Dense_0/kernel": np.ones(2), "params/v1.5": np.ones(2)}
    assert {"params/Dense_0/kernel", "params/v1.5"} == paths(save(tmp_path / "m.safetensors", tensors))


def test_a_name_that_another_begins_with_stays_a_leaf(tmp_path):
    tensors = dict.fromkeys(("a.head", "a.head.scale.x", "a.tail"), np.ones(1))
    path = save(tmp_path / "m.safetensors", tensors)
    assert {"a/head", "a/head.scale.x", "a/tail"} == paths(path)
    ((code, message),) = notes(path)
    assert "M410" == code
    assert "a name that extends another name is not split at every `.`; read as `a/head.scale.x`" == message
    check_reader(lambda: open_reader(path))


def test_metadata_and_era_are_those_of_the_file(tmp_path):
    metadata = {"format": "pt", "migrate": json.dumps({"model": "m", "version": 3}), "note": "{}"}
    with open_reader(save(tmp_path / "m.safetensors", TORCH, metadata)) as reader:
        found = reader.abstract()
    assert {"format": "pt", "migrate": {"model": "m", "version": 3}, "note": "{}"} == found.metadata
    assert ("safetensors", "written by migrate") == (found.format, found.era)


def test_the_file_is_found_by_what_is_in_it(tmp_path):
    path = save(tmp_path / "checkpoint_100", TORCH)
    assert "model/embed/weight" in paths(path)


# --- folders


def sharded(folder, *, index=True):
    folder.mkdir()
    parts = {
        "model-00001-of-00002.safetensors": {"a.w": np.ones(3), "a.b": np.zeros(2)},
        "model-00002-of-00002.safetensors": {"c.w": np.full((2, 2), 5, "int32")},
    }
    for name, tensors in parts.items():
        save(folder / name, tensors, {"format": "pt"})
    names = {tensor: name for name, tensors in parts.items() for tensor in tensors}
    if index:
        content = {"metadata": {"total_size": 1}, "weight_map": names}
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("index", [True, False])
def test_folders_with_and_without_an_index_keep_the_readers_laws(tmp_path, index):
    folder = sharded(tmp_path / "hub", index=index)
    (folder / "config.json").write_text("{}")
    check_reader(lambda: open_reader(folder))
    assert {"a/w", "a/b", "c/w"} == paths(folder)
    (folder / "readme.txt").write_text("")
    assert [
        (
            "M407",
            f"`{folder}` also has files of the model, which only DST in Hugging Face's layout gets: `config.json`",
        ),
        ("M407", f"ignored in `{folder}`, not part of the checkpoint: `readme.txt`"),
    ] == notes(folder)


def test_an_index_opens_what_it_names(tmp_path):
    assert {"a/w", "a/b", "c/w"} == paths(sharded(tmp_path / "hub") / "model.safetensors.index.json")


@pytest.mark.parametrize("index", [True, False])
def test_a_part_that_is_not_there_is_named(tmp_path, index):
    folder = sharded(tmp_path / "hub", index=index)
    (folder / "model-00002-of-00002.safetensors").unlink()
    (found,) = refusals(folder)
    assert "M403" == found.code
    assert "model-00002-of-00002.safetensors" in found.message


def test_a_tensor_that_is_not_where_the_index_says_is_named(tmp_path):
    folder = sharded(tmp_path / "hub")
    save(folder / "model-00002-of-00002.safetensors", {"other": np.ones(1)})
    (found,) = refusals(folder)
    assert ("M403", ("c.w",)) == (found.code, found.paths)


@pytest.mark.parametrize("place", ["../elsewhere.safetensors", "/etc/passwd", "..", ""])
def test_an_index_does_not_lead_out_of_its_folder(tmp_path, place):
    folder = sharded(tmp_path / "hub")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": place}}))
    assert "M404" == refusals(folder)[0].code


def test_two_files_with_one_name_are_a_choice(tmp_path):
    for name in ("model.safetensors", "model.fp16.safetensors"):
        save(tmp_path / name, {"a": np.ones(2)})
    (found,) = refusals(tmp_path)
    assert "M405" == found.code
    assert "`model.fp16.safetensors` and `model.safetensors` both hold `a`" == found.message


# --- the header


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda n: n != "__metadata__"),
        st.tuples(st.sampled_from(sorted(DTYPES.values())), st.lists(st.integers(0, 3), max_size=3).map(tuple)),
        max_size=6,
    ),
    # the library writes several entries in an order of its own
    st.dictionaries(st.just("ü"), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
)
def test_a_header_is_the_one_that_the_library_writes(tensors, metadata):
    arrays = {
        name: np.zeros(shape, np.dtype(getattr(ml_dtypes, dtype, None) or dtype))
        for name, (dtype, shape) in tensors.items()
    }
    specs = {
        name: TensorSpec(dtype=a.dtype.name, shape=a.shape, data_ptr=a.ctypes.data, data_len=a.nbytes)
        for name, a in arrays.items()
    }
    theirs, ours = bytes(serialize(specs, metadata=metadata or None)), write_header(tensors, metadata)
    assert theirs[: len(ours)] == ours
    header = read_header(theirs, None)
    assert tensors == {name: (tensor.dtype, tensor.shape) for name, tensor in header.tensors.items()}
    assert metadata == header.metadata


HEADER = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
TWICE = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        (HEADER, b"1234567", None),
        (HEADER, b"123456789", None),
        (HEADER, b"12345678", 90_000_000),
        (b"{garbage", b"", None),
        (b"{" * 5000, b"", None),
        (TWICE, b"1", None),
        ({"a": {**HEADER["a"], "shape": [3]}}, b"12345678", None),
        ({"a": {**HEADER["a"], "shape": [-2]}}, b"12345678", None),
        ({"a": {**HEADER["a"], "shape": "2"}}, b"12345678", None),
        ({"a": {**HEADER["a"], "shape": [True, 2]}}, b"12345678", None),
        ({"a": {**HEADER["a"], "shape": [2**62, 2**62]}}, b"12345678", None),
        ({"a": {**HEADER["a"], "data_offsets": [0]}}, b"12345678", None),
        ({"a": {**HEADER["a"], "data_offsets": [8, 16]}}, b"12345678" * 2, None),
        ({"a": 5}, b"", None),
        ({**HEADER, "b": HEADER["a"]}, b"12345678", None),
        ({**HEADER, "__metadata__": {"a": 1}}, b"12345678", None),
        ({**HEADER, "__metadata__": {"migrate.tree": "{"}}, b"12345678", None),
        ({**HEADER, "__metadata__": {"migrate.tree": '{"paths":{"a":5}}'}}, b"12345678", None),
        ({**HEADER, "__metadata__": {"migrate.tree": '{"containers":{"a":"none"}}'}}, b"12345678", None),
        ({**HEADER, "__metadata__": {"migrate": "{"}}, b"12345678", None),
    ],
)
def test_a_file_that_contradicts_itself_is_damaged(tmp_path, header, data, length):
    (found,) = refusals(write_raw(tmp_path / "m.safetensors", header, data, length))
    assert "M404" == found.code


def test_a_huge_declared_header_costs_no_memory(tmp_path):
    path = write_raw(tmp_path / "m.safetensors", b"{", length=99_999_999)
    os.truncate(path, 1 << 36)  # a sparse file: the length is possible, but the header is no JSON
    tracemalloc.start()
    (found,) = refusals(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "M404" == found.code
    assert peak < 500 << 20


def test_dtypes_that_jax_lacks_are_refused_leaf_by_leaf(tmp_path):
    header = {
        "a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]},
        "b": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]},
        "c": {"dtype": "I128", "shape": [1], "data_offsets": [2, 18]},
    }
    found = refusals(write_raw(tmp_path / "m.safetensors", header, b"x" * 18))
    assert [("M411", ("a",)), ("M411", ("c",))] == [(d.code, d.paths) for d in found]
    assert "packs several values into a byte" in found[0].message


def test_a_record_does_not_put_leaves_below_leaves(tmp_path):
    record = json.dumps({"paths": {"a": "x", "b": "x/y"}})
    tensors = {"a": np.ones(1), "b": np.ones(1)}
    assert "M404" == refusals(save(tmp_path / "m.safetensors", tensors, {"migrate.tree": record}))[0].code


def by_the_library(path):
    return bits((tuple(name.split("/")), value) for name, value in load(path.read_bytes()).items())


def test_whatever_byte_is_damaged_a_file_is_refused_or_what_the_library_reads(tmp_path):
    tensors = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "a/c": np.arange(4, dtype=np.int16)}
    path = save(tmp_path / "a.safetensors", tensors)
    for damage, content in damages(path.read_bytes()):
        path.write_bytes(content)
        found = outcome(lambda: by_migrate(path))
        assert found is REFUSED or found == outcome(lambda: by_the_library(path), Exception), damage


def test_the_config_of_an_adapter_belongs_to_it(tmp_path):
    save_file({"x": np.ones(2, np.float32)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"r": 4}')
    for path in (tmp_path, tmp_path / "adapter_model.safetensors"):
        with open_reader(path) as reader:
            assert {"r": 4} == reader.abstract().adapter
            assert () == reader.abstract().notes
            assert tmp_path / "adapter_config.json" in list(reader.files())
    save_file({"x": np.ones(2, np.float32)}, tmp_path / "other.safetensors")
    with open_reader(tmp_path / "other.safetensors") as reader:
        assert {} == reader.abstract().adapter
    (tmp_path / "adapter_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="adapter_config"):
        open_reader(tmp_path / "adapter_model.safetensors")
