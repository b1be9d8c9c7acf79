"""OCDBT of TensorStore 0.1.35, which no later version reads; it wrote the files (`tensorstore_0_1_35/write.py`)."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.zarr.ocdbt_0_1_35 import ByteRange, is_early, read_entries, value_of
from migrate.testing.readers import check_reader
from tests.damage import REFUSED, outcome
from tests.matrix import examples

HERE = Path(__file__).parent / "tensorstore_0_1_35"


@pytest.fixture
def item(tmp_path):
    return shutil.copytree(HERE / "item", tmp_path / "item")


def test_today_s_tensorstore_does_not_read_it():
    with pytest.raises(ValueError, match="Length in header"):
        ts.KvStore.open({"driver": "ocdbt", "base": f"file://{HERE}/item/"}).result().list().result()


def test_an_item_reads_as_it_was_written():
    check_reader(lambda: open_reader(HERE / "item"))
    with open_reader(HERE / "item") as reader:
        checkpoint, values = reader.abstract(), reader.read_all()
    assert ("orbax ocdbt", "orbax 0.1.7 or orbax-checkpoint 0.1.8, with tensorstore 0.1.35") == (
        checkpoint.format,
        checkpoint.era,
    )
    assert np.array_equal(np.arange(600, dtype=np.float32).reshape(20, 30), values["params", "kernel"])
    assert [0.0, 0.5, 1.0] == values["params", "bias"].tolist()
    assert (np.int32(7), np.int32) == (values["step",], values["step",].dtype)
    assert [[0, 1, 2], [3, 4, 5]] == values["mlp/~/linear", "w"].tolist()


def test_chunks_are_not_offered_to_those_who_use_tensorstore():
    with open_reader(HERE / "item") as reader:
        leaf = reader.abstract().tree.leaves["params", "kernel"]
        assert (None, None) == (reader.location(("params", "kernel")), leaf.storage.encoding)
        assert not leaf.storage.database


def test_a_tree_with_inner_nodes_has_every_key_and_value():
    expected = json.loads((HERE / "deep" / "EXPECTED.json").read_text())
    assert expected == {key: value_of(entry).hex() for key, entry in read_entries(HERE / "deep").items()}


def test_a_database_of_today_is_no_early_one(written):
    assert is_early(HERE / "item")
    assert not is_early(written("ocdbt_zarr2", "typical"))
    assert not is_early(HERE)


def test_a_lost_data_file_is_named(item):
    for file in (item / "d").iterdir():
        file.unlink()
    with pytest.raises(CheckpointError) as caught:
        open_reader(item)
    assert ["M403"] == [found.code for found in caught.value.diagnostics]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_damaged_tree_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / "item"
    shutil.copytree(HERE / data.draw(st.sampled_from(["item", "deep"])), folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name == "d")
    file = data.draw(st.sampled_from([folder / "manifest.ocdbt", *files]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        for entry in read_entries(folder).values():
            value_of(entry)
    except CheckpointError:
        return


def totals(folder):
    """Keys of a database, and bytes of the values that lie in data files."""
    entries = read_entries(folder)
    return len(entries), sum(entry.nbytes for entry in entries.values() if not isinstance(entry, bytes))


@pytest.mark.sample(7)
@pytest.mark.parametrize("name", ["item", "deep"])
@pytest.mark.parametrize("mask", [0x02, 0x80])
@pytest.mark.parametrize("first", [0, 1])
def test_no_damage_loses_or_adds_a_key_or_a_byte_of_a_data_file(tmp_path, name, mask, first):
    """The version wrote no checksums, but it counted what is below the root."""
    folder = shutil.copytree(HERE / name, tmp_path / "store")
    expected = totals(folder)
    manifest = folder / "manifest.ocdbt"
    for place in [ByteRange(manifest, 0, manifest.stat().st_size), *nodes_of(folder)]:
        whole = place.file.read_bytes()
        for at in range(place.offset + first, place.offset + place.nbytes, 2):
            place.file.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
            assert outcome(lambda: totals(folder)) in (expected, REFUSED), (place, at, mask)
        place.file.write_bytes(whole)


def test_every_truncation_and_every_addition_of_a_manifest_is_refused(tmp_path):
    folder = shutil.copytree(HERE / "deep", tmp_path / "store")
    manifest = folder / "manifest.ocdbt"
    whole = manifest.read_bytes()
    for content in [*(whole[:end] for end in range(len(whole))), whole + b"\0", whole + whole]:
        manifest.write_bytes(content)
        assert REFUSED is outcome(lambda: read_entries(folder))


def nodes_of(folder):
    with pytest.MonkeyPatch.context() as patch:
        places = []
        patch.setattr(ByteRange, "read", lambda place, read=ByteRange.read: places.append(place) or read(place))
        read_entries(folder)
    return places


def varints(*numbers):
    def one(number):
        return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + one(number >> 7)

    return b"".join(map(one, numbers))


FILE = bytes(range(16))
LEAF = b"\0" + varints(2) + varints(1) + varints(2, 1) + b"abc" + varints(2 << 1, 1 << 1) + b"xyz"
"""Two keys, `ab` and `ac`, with the values `xy` and `z`."""


def written_by_hand(folder, leaf=LEAF, *, head=b"\0\0", counted=(2, None, 0), height=0, after=b""):
    """A database of one node that is not compressed."""
    node = bytes.fromhex("0cdb20de") + head + leaf
    (folder / "d").mkdir(exist_ok=True)
    (folder / "d" / FILE.hex()).write_bytes(node)
    keys, tree, values = counted
    root = varints(1, 1) + bytes([height]) + FILE + varints(0, len(node)) + varints(keys, tree or len(node), values)
    manifest = b"\0\0" + b"sixteen bytes...."[:16] + varints(100, 1000) + b"\4" + varints(0) + root
    (folder / "manifest.ocdbt").write_bytes(bytes.fromhex("0cdb3a2a") + manifest + bytes(8) + varints(0) + after)
    return folder


def test_a_database_that_was_written_by_hand_is_read(tmp_path):
    assert {"ab": b"xy", "ac": b"z"} == read_entries(written_by_hand(tmp_path))


@pytest.mark.parametrize(
    "fault",
    [
        {"after": b"\0"},
        {"leaf": LEAF + b"\0"},
        {"leaf": LEAF[:-1]},
        {"leaf": b"\0" + varints(0), "counted": (0, None, 0)},
        {"leaf": LEAF.replace(varints(1) + varints(2, 1), varints(3) + varints(2, 1))},
        {"head": b"\0\2"},
        {"head": b"\1\0"},
        {"counted": (3, None, 0)},
        {"counted": (2, None, 1)},
        {"counted": (2, 1, 0)},
        {"height": 1},
    ],
    ids=[
        "bytes behind the manifest",
        "bytes behind a node",
        "a node that is cut off",
        "a node without keys",
        "a key that shares more than the one before has",
        "another compression",
        "another version",
        "another number of keys",
        "other bytes of values",
        "other bytes of nodes",
        "another height",
    ],
)
def test_a_database_that_contradicts_itself_is_refused(tmp_path, fault):
    written_by_hand(tmp_path, **fault)
    with pytest.raises(CheckpointError) as caught:
        read_entries(tmp_path)
    assert ["M404"] == [found.code for found in caught.value.diagnostics]


@pytest.mark.parametrize("length", [0, 256])
def test_a_manifest_of_today_whose_length_is_another_one_is_no_early_one(tmp_path, length):
    manifest = bytes.fromhex("0cdb3a2a") + length.to_bytes(8, "little") + bytes(range(100))
    (tmp_path / "manifest.ocdbt").write_bytes(manifest)
    assert not is_early(tmp_path)


def test_a_manifest_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "manifest.ocdbt").write_bytes(b"0" * 100)

    def failing(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(CheckpointError, match=r"manifest.ocdbt.*Input/output error") as caught:
        is_early(tmp_path)
    assert ["M404"] == [found.code for found in caught.value.diagnostics]
