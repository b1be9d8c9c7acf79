"""Msgpack files of Flax and early Orbax.

Covers `migrate.formats.flax.msgpack_index`, which finds the arrays in a file.
"""

import struct
import tempfile
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np
import pytest
from flax import serialization
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader, same_value
from tests.damage import REFUSED, bits, by_migrate, damages, outcome

TREE = {
    "params": {
        "Dense_0": {"kernel": np.arange(12, dtype=np.float32).reshape(4, 3), "bias": np.ones(3, ml_dtypes.bfloat16)}
    },
    "step": 7,
    "rate": 0.5,
    "flag": False,
    "name": "héllo",
    "none": None,
    "empty": {},
    "complex": 1 + 2j,
    "narrow": np.float32(2.5),
    "big": 2**63 + 1,
    "matrix": np.zeros((0, 3), np.int8),
    "small": np.arange(4).astype(ml_dtypes.int4),
    "fp8": np.ones((), ml_dtypes.float8_e4m3fn),
}


@pytest.fixture
def file(tmp_path):
    def write(content, name="any name.bin"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else serialization.msgpack_serialize(content))
        return path

    return write


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        open_reader(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def array_ext(shape, dtype, data, code=1):
    return msgpack.ExtType(code, msgpack.packb((shape, dtype, data), use_bin_type=True))


def test_a_file_of_any_name_keeps_the_laws(file):
    path = file(TREE)
    check_reader(lambda: open_reader(path))


def test_every_leaf_comes_back_with_its_kind_and_every_bit(file):
    with open_reader(file(TREE)) as reader:
        found = reader.read_all()
        kinds = {path[0]: str(leaf) for path, leaf in reader.abstract().tree.leaves.items() if len(path) == 1}
    assert same_value(TREE["params"]["Dense_0"]["kernel"], found["params", "Dense_0", "kernel"])
    assert same_value(TREE["params"]["Dense_0"]["bias"], found["params", "Dense_0", "bias"])
    for name in ("step", "rate", "flag", "name", "none", "complex", "big", "matrix", "small", "fp8"):
        assert same_value(TREE[name], found[name,]), name
    assert kinds == {
        "step": "int64 scalar",
        "rate": "float64 scalar",
        "flag": "bool scalar",
        "name": "string",
        "none": "none",
        "empty": "empty dict",
        "complex": "complex128 scalar",
        "narrow": "float32[]",
        "big": "uint64 scalar",
        "matrix": "int8[0,3]",
        "small": "int4[4]",
        "fp8": "float8_e4m3fn[]",
    }


def test_a_large_array_in_pieces_is_one_leaf(file, monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 40)
    array = np.arange(35, dtype=np.float32).reshape(5, 7)
    content = serialization.msgpack_serialize({"table": array, "other": 1})
    assert b"__msgpack_chunked_array__" in content
    with open_reader(file(content)) as reader:
        assert "float32[5,7]" == str(reader.abstract().tree.leaves["table",])
        assert same_value(array, reader.read(("table",)))


def test_a_bare_array_is_a_leaf_at_the_root(file):
    with open_reader(file(np.arange(3))) as reader:
        assert [0, 1, 2] == reader.read(()).tolist()


def test_orbax_lists_and_tuples_are_containers(file):
    content = msgpack.packb({"list": [1, [2], []], "tuple": msgpack.ExtType(4, msgpack.packb([3, 4]))})
    with open_reader(file(content)) as reader:
        tree = reader.abstract().tree
        values = reader.read_all()
    assert {("list",): "list", ("list", "1"): "list", ("tuple",): "tuple"} == tree.containers
    assert (1, 2, 3, 4) == (values["list", "0"], values["list", "1", "0"], values["tuple", "0"], values["tuple", "1"])
    assert "empty list" == str(tree.leaves["list", "2"])


def test_a_dtype_without_a_name_is_bfloat16_and_a_note_says_so(file):
    bits = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    content = msgpack.packb({"w": array_ext((2,), "<V2", bits.tobytes()), "f": array_ext((1,), "<f4", b"\0\0\x80?")})
    with open_reader(file(content)) as reader:
        checkpoint = reader.abstract()
        assert same_value(bits, reader.read(("w",)))
        assert [1.0] == reader.read(("f",)).tolist()
    assert "flax before 0.3.2" == checkpoint.era
    assert [("M410", ("w",))] == [(note.code, note.paths) for note in checkpoint.notes]


def test_big_endian_arrays_come_in_native_order(file):
    content = msgpack.packb({"w": array_ext((2,), ">f4", np.array([1, 2], ">f4").tobytes())})
    with open_reader(file(content)) as reader:
        assert same_value(np.array([1, 2], np.float32), reader.read(("w",)))


def test_bare_bytes_read_as_uint8_and_a_note_says_so(file):
    with open_reader(file(msgpack.packb({"raw": b"abc"}))) as reader:
        assert b"abc" == reader.read(("raw",)).tobytes()
        assert ["M410"] == [note.code for note in reader.abstract().notes]


def test_values_cannot_be_written(file):
    with open_reader(file({"w": np.ones(3)})) as reader:
        assert not reader.read(("w",)).flags.writeable


def test_opening_a_file_of_four_gigabytes_reads_none_of_it(tmp_path):
    size = (1 << 32) - 64
    payload = b"\x93\x91" + b"\xce" + struct.pack(">I", size) + b"\xa5uint8" + b"\xc6" + struct.pack(">I", size)
    path = tmp_path / "sparse"
    with path.open("wb") as out:
        out.write(b"\x81\xa1w" + b"\xc9" + struct.pack(">I", len(payload) + size) + b"\x01" + payload)
        out.truncate(out.tell() + size)
    with open_reader(path) as reader:
        assert f"uint8[{size}]" == str(reader.abstract().tree.leaves["w",])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x81\xa1w\xc6\xff\xff\xff\xffab", "truncated: 4294967295 bytes"),
        (b"\xdf\xff\xff\xff\xff\xa1a", "truncated"),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", "truncated"),
        (b"\x81\xa1a" * 5000 + b"\x01", "nested deeper"),
        (b"\x81\xa1a" + b"\x91" * 5000 + b"\x01", "nested deeper"),
        (b"\x81\xa1a\xc1", "0xc1 does not begin a msgpack value"),
        (b"\x82\xa1a\x01\xa1a\x02", "occurs twice"),
        (b"\x81\xa1a\x01\x00\x00", "its tree ends at byte 4 of 6, and zeros follow"),
        (b"\x81\xa1a\x01\x02", "its tree ends at byte 4 of 5, and the number `2` follows"),
        (b"\x81\xa1a\x01\xc1\xc1", "the 2 bytes after byte 4 are not msgpack"),
        (b"\x81\xa2\xff\xfe\x01", "not UTF-8"),
        (msgpack.packb({"w": msgpack.ExtType(9, b"")}), "9 is not an extension type"),
        (msgpack.packb({"w": msgpack.ExtType(1, b"\x01")}), "not shape, dtype and bytes"),
        (msgpack.packb({"w": msgpack.ExtType(2, b"\x91\x01")}), "complex"),
        (msgpack.packb({"w": array_ext((3,), "float32", b"12345678")}), "more or fewer bytes"),
        (msgpack.packb({"w": array_ext((-3,), "float32", b"")}), "shape or dtype"),
        (msgpack.packb({"w": array_ext((2**60, 2**60, 0), "float32", b"1")}), "more or fewer bytes"),
        (msgpack.packb({"w": {"__msgpack_chunked_array__": True, "shape": {}, "chunks": {}}}), "pieces"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_the_reason(file, content, why):
    diagnostic = refusal(file(content))
    assert "M404" == diagnostic.code
    assert why in diagnostic.message
    assert "copy it again" in diagnostic.help


@pytest.mark.parametrize("dtype", ["nonsense", "float128"])
def test_a_dtype_that_jax_does_not_have_is_refused(file, dtype):
    diagnostic = refusal(file(msgpack.packb({"a": {"w": array_ext((1,), dtype, b"12345678")}})))
    assert ("M411", ("a/w",)) == (diagnostic.code, diagnostic.paths)


@pytest.mark.parametrize(
    ("dtype", "content"),
    [
        ("|O", "Python objects[1]"),
        ("object", "Python objects[1]"),
        ("<M8[s]", "dates or times[1]"),
        ("datetime64[s]", "dates or times[1]"),
        ("<U3", "text[1]"),
        ("str96", "text[1]"),
        ("bytes24", "byte strings[1]"),
        ("[('a', '<f4')]", "structures[1]"),
    ],
)
def test_an_array_of_text_or_objects_does_not_bar_the_file(file, dtype, content):
    path = file(msgpack.packb({"names": array_ext((1,), dtype, b"12345678"), "w": array_ext((1,), "float32", b"1234")}))
    check_reader(lambda: open_reader(path))
    with open_reader(path) as reader:
        assert [content, "float32[1]"] == [str(leaf) for leaf in reader.abstract().tree.leaves.values()]
        assert [("w",)] == list(reader.read_all())
        with pytest.raises(CheckpointError, match="which no array of JAX has") as caught:
            reader.read(("names",))
    assert ("M411", ("names",)) == (caught.value.diagnostics[0].code, caught.value.diagnostics[0].paths)


def test_arrays_outside_the_file_do_not_pass_for_text(file):
    assert "M403" == refusal(file({"w": "//GDAPlaceholder:params/w"})).code


def named_tuple(name, **fields):
    names = dict(zip("0123", fields, strict=False))
    return {"name": name, "fields": names, "values": dict(zip("0123", fields.values(), strict=False))}


def test_named_tuples_of_the_first_versions_are_dicts_of_their_fields(file):
    path = file({"opt": {"0": named_tuple("Adam", count=1, mu={"w": 2.5}), "1": named_tuple("Empty")}})
    check_reader(lambda: open_reader(path))
    with open_reader(path) as reader:
        values, notes = reader.read_all(), reader.abstract().notes
    assert {("opt", "0", "count"): 1, ("opt", "0", "mu", "w"): 2.5, ("opt", "1"): None} == values
    assert [("M410", ("opt/0", "opt/1"))] == [(note.code, note.paths) for note in notes]


@pytest.mark.parametrize(
    "change", [{"values": {"0": 1}}, {"fields": {"0": "a", "2": "b"}}, {"fields": ["a", "b"]}, {"name": 1}, {"more": 1}]
)
def test_a_dict_that_only_resembles_a_named_tuple_stays_as_it_is(file, change):
    tree = {**named_tuple("Pair", a=1, b=2), **change}
    with open_reader(file({"pair": tree})) as reader:
        assert ("pair", "name") in reader.abstract().tree.leaves


def test_every_truncation_of_a_file_is_refused(file):
    content = serialization.msgpack_serialize(TREE)
    for length in range(3, len(content), 7):
        assert "M404" == refusal(file(content[:length])).code, length


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
ARRAYS = st.sampled_from(["float32", "int8", "bool", "complex64", "bfloat16", "int4"]).map(
    lambda name: np.arange(4).reshape(2, 2).astype(getattr(ml_dtypes, name, None) or name)
)
TREES = st.recursive(
    SCALARS | ARRAYS, lambda child: st.dictionaries(st.text(max_size=3), child, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict | np.ndarray))


def leaves_of(tree, path=()):
    if isinstance(tree, dict) and tree:
        for key, child in tree.items():
            yield from leaves_of(child, (*path, key))
    else:
        yield path, None if isinstance(tree, dict) else tree


@given(TREES)
def test_what_flax_writes_is_what_is_read(tree):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(serialization.msgpack_serialize(tree))
        with open_reader(path, unbox="never", separator="") as reader:
            found = reader.read_all()
    expected = dict(leaves_of(tree))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert same_value(value, found[name]), name


CONTENT = serialization.msgpack_serialize(TREE)


@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(changes):
    content = bytearray(CONTENT)
    for position, byte in changes:
        content[position] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        try:
            with open_reader(path) as reader:
                reader.read_all()
        except CheckpointError:
            pass


def by_flax(path):
    restored = serialization.msgpack_restore(path.read_bytes())
    return bits((tuple(map(str, path)), value) for path, value in leaves_of(restored))


def test_whatever_byte_is_damaged_a_file_is_refused_or_what_flax_reads(tmp_path):
    tree = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.float32(2), "z": 1 + 2j, "s": "text", "i": -3}
    path = tmp_path / "a.msgpack"
    for damage, content in damages(serialization.to_bytes(tree)):
        path.write_bytes(content)
        found = outcome(lambda: by_migrate(path))
        assert found is REFUSED or found == outcome(lambda: by_flax(path), Exception), damage


@pytest.mark.parametrize(
    "content",
    [
        msgpack.ExtType(1, msgpack.packb([[2], "int8", b"ab"]) + b"\0"),
        msgpack.ExtType(3, msgpack.packb([[], "int8", b"a"]) + b"\0"),
        msgpack.ExtType(2, msgpack.packb([1.0, 2.0]) + b"\0"),
        msgpack.ExtType(4, msgpack.packb([1, 2]) + b"\0"),
        msgpack.ExtType(4, msgpack.packb("ab")),
        msgpack.ExtType(4, msgpack.packb({"a": 1})),
        msgpack.ExtType(4, msgpack.packb(7)),
    ],
    ids=["array", "number", "complex", "tuple", "text as a tuple", "mapping as a tuple", "number as a tuple"],
)
def test_an_extension_that_holds_more_or_something_else_is_refused(tmp_path, content):
    path = tmp_path / "a.msgpack"
    path.write_bytes(msgpack.packb({"a": content}))
    assert REFUSED is outcome(lambda: by_migrate(path))
