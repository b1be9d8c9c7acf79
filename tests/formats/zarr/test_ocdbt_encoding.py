"""Databases of one node, as TensorStore and `ocdbt_format` read them."""

import os

import pytest
import tensorstore as ts

from migrate.engine.linking.open_stores import OPTIONS, open_database
from migrate.formats.zarr.ocdbt_encoding import encode_manifest, encode_node
from migrate.formats.zarr.ocdbt_format import NodePlace, ValueRange, decode_manifest, decode_node
from migrate.formats.zarr.references import references

CONTENT = os.urandom(70_000)
LAYERS = [f"layer_{i}/kernel/0.{j}" for i in range(3) for j in range(3)]
CASES = {
    "one value": {"a/0": ValueRange("file", 5, 10)},
    "keys with common beginnings": {
        f"layer_{i}/kernel/0.{j}": ValueRange("file", i, j) for i in range(3) for j in range(3)
    },
    "several files": {f"a/{i}": ValueRange(f"file_{i % 3}", 100 * i, 100) for i in range(200)},
    "long ranges": {"a/0": ValueRange("file", 0, 70_000), "é/0": ValueRange("file", 69_999, 1)},
}


def write(folder, values):
    """Writes the files and the database of some values."""
    for name in {place.file for place in values.values()}:
        (folder / name).write_bytes(CONTENT)
    node = encode_node(values)
    (folder / "node").write_bytes(node)
    (folder / "manifest.ocdbt").write_bytes(
        encode_manifest(b"0123456789abcdef", values, ValueRange("node", 0, len(node)))
    )
    return node


@pytest.mark.parametrize("case", CASES)
def test_the_references_are_decoded(tmp_path, case):
    values = CASES[case]
    node = write(tmp_path, values)
    manifest = decode_manifest((tmp_path / "manifest.ocdbt").read_bytes())
    assert ("node", 0, len(node)) == (manifest.root.file.path, manifest.root.offset, manifest.root.length)
    assert isinstance(manifest.root, NodePlace)
    assert sorted(key.encode() for key in values) == decode_node(node, b"").keys
    assert values == {key: ValueRange(*place[:3]) for key, place in references(tmp_path).items()}


@pytest.mark.parametrize("case", CASES)
def test_tensorstore_reads_the_values(tmp_path, case):
    values = CASES[case]
    write(tmp_path, values)
    store = open_database(tmp_path, ts.Context())
    for key, place in values.items():
        assert CONTENT[place.offset : place.offset + place.length] == store.read(key).result().value


def test_tensorstore_copies_the_entries_by_reference(tmp_path):
    values = CASES["several files"]
    (tmp_path / "d").mkdir()
    write(tmp_path / "d", values)
    context = ts.Context()
    target = open_database(tmp_path, context, config=OPTIONS, assume_config=True)
    transaction = ts.Transaction(atomic=True)
    writing = target.with_transaction(transaction)
    open_database(tmp_path / "d", context).experimental_copy_range_to(writing).result()
    transaction.commit_async().result()
    expected = {key: ValueRange(f"d/{place.file}", place.offset, place.length) for key, place in values.items()}
    assert expected == {key: ValueRange(*place[:3]) for key, place in references(tmp_path).items()}
