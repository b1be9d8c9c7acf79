"""References: every key of a database with the range of its value, and the comparison of two ranges.

Covers `zarr.ocdbt_index` as well.
"""

import gc
import os
import shutil
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.errors import CheckpointError
from migrate.formats.zarr.crc32c import crc32c
from migrate.formats.zarr.ocdbt_format import Reference, ValueRange
from migrate.formats.zarr.ocdbt_index import Index
from migrate.formats.zarr.references import read_value, references, same_reference
from tests.damage import REFUSED, outcome
from tests.engine.sources import every_kind, save
from tests.matrix import examples

CONFIG = {"max_inline_value_bytes": 16, "max_decoded_node_bytes": 1000}


def database(path, context=None, config=CONFIG):
    """A database whose nodes are small, so that a few dozen keys make a tree of several levels."""
    spec = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{path}/"}, "config": config}
    return ts.KvStore.open(spec, context=context).result()


def fill(store, values):
    transaction = ts.Transaction()
    for request in [store.with_transaction(transaction).write(key, value) for key, value in values.items()]:
        request.result()
    transaction.commit_async().result()


def values_of(directory):
    return {key: read_value(reference, directory) for key, reference in references(directory).items()}


def stored(directory):
    store = database(directory, config={})
    return {key.decode(): store.read(key).result().value for key in store.list().result()}


@settings(max_examples=examples(20), deadline=None)
@given(st.dictionaries(st.text("ab/%:ü.0", min_size=1, max_size=9), st.binary(max_size=40), max_size=60))
def test_following_every_reference_gives_the_values_of_the_database(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("store")
    fill(database(folder), {"z": b"", **values})
    assert stored(folder) == values_of(folder)


def test_every_level_of_a_tree_is_read(tmp_path):
    values = {f"layer_{i}.kernel/{j}.0": os.urandom(i) for i in range(40) for j in range(20)}
    fill(database(tmp_path), values)
    base = ts.KvStore.open(f"file://{tmp_path}/").result()
    assert 1 <= ts.ocdbt.dump(base).result()["versions"][-1]["root_height"]
    assert values == values_of(tmp_path)


def test_values_in_a_nested_database_have_paths_from_the_root(tmp_path):
    context, child = ts.Context(), tmp_path / "ocdbt.process_0:%" / "sub"
    values = {f"k{i:03}": os.urandom(i) for i in range(60)}
    fill(database(child, context), values)
    source, target, transaction = database(child, context), database(tmp_path, context), ts.Transaction(atomic=True)
    source.experimental_copy_range_to(target.with_transaction(transaction)).result()
    transaction.commit_async().result()
    assert values == values_of(tmp_path)
    assert {"ocdbt.process_0:%"} == {r.file.split("/")[0] for r in references(tmp_path).values() if r.inline is None}


def test_every_chunk_of_an_orbax_checkpoint_is_found(tmp_path):
    source = save(tmp_path / "old", {**every_kind(), "big": jnp.arange(100_000.0)})
    assert stored(source) == values_of(source)
    assert references(source)["big/0"].file.startswith("ocdbt.process_0/d/")


def test_an_emptied_database_has_no_references(tmp_path):
    fill(database(tmp_path), {"a": b"1"})
    database(tmp_path).delete_range(ts.KvStore.KeyRange()).result()
    assert {} == references(tmp_path)


def test_no_database_is_an_error_with_the_directory(tmp_path):
    with pytest.raises(CheckpointError, match=tmp_path.name) as failure:
        references(tmp_path)
    assert ["M403"] == [d.code for d in failure.value.diagnostics]


def test_a_truncated_index_is_an_error(tmp_path):
    fill(database(tmp_path), {f"k{i}": b"v" * i for i in range(40)})
    for file in (tmp_path / "d").iterdir():
        os.truncate(file, 5)
    with pytest.raises(CheckpointError) as failure:
        references(tmp_path)
    assert ["M404"] == [d.code for d in failure.value.diagnostics]


def test_ten_thousand_keys_take_well_under_a_second(tmp_path):
    fill(database(tmp_path), {f"layer_{i}.kernel/0.0": b"v" * (i % 40) for i in range(10_000)})
    start = time.process_time()
    assert 10_000 == len(references(tmp_path))
    assert time.process_time() - start < 10  # 0.1 s where nothing else runs


def test_a_manifest_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "manifest.ocdbt").symlink_to("/proc/self/mem")  # a regular file whose first byte cannot be read: EIO
    with pytest.raises(CheckpointError, match=r"manifest.ocdbt.*Input/output error"):
        references(tmp_path)


def test_numbered_manifests_are_read(tmp_path):
    store = database(tmp_path, config={"manifest_kind": "numbered"})
    for number in range(20):
        fill(store, {f"k{number}": b"v" * number})
    assert stored(tmp_path) == values_of(tmp_path)
    assert 20 == len(values_of(tmp_path))


def test_a_numbered_manifest_of_another_database_is_refused(tmp_path):
    for name in "ab":
        fill(database(tmp_path / name, config={"manifest_kind": "numbered"}), {"key": b"value"})
    (newest,) = sorted((tmp_path / "b").glob("manifest.0*"))[-1:]
    shutil.copy(newest, tmp_path / "a" / "manifest.00000000000000ff")
    with pytest.raises(CheckpointError, match=r"does not belong to `manifest.ocdbt`"):
        references(tmp_path / "a")


def test_reading_an_index_keeps_no_memory(tmp_path):
    fill(database(tmp_path), {f"layer_{i}.kernel/0.0": b"v" * (i % 40) for i in range(300)})
    references(tmp_path)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(20):
        references(tmp_path)
    gc.collect()
    assert sys.getallocatedblocks() - before < 2000  # a kept index has at least two blocks for each of its keys


@pytest.fixture
def written(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(200)))
    return tmp_path


def test_the_same_range_of_the_same_file_is_equal_and_is_not_read(written):
    os.link(written / "a", written / "b")
    (written / "elsewhere").mkdir()
    os.rename(written / "b", written / "elsewhere" / "b")
    many = 10**12  # too many bytes to read: the test would not end
    os.truncate(written / "a", 4 + many)
    a, b = Reference("a", 4, many), Reference("b", 4, many)
    assert same_reference(a, written, b, written / "elsewhere")


def test_another_range_of_the_same_file_differs(written):
    assert not same_reference(Reference("a", 0, 9), written, Reference("a", 1, 9), written)
    assert not same_reference(Reference("a", 0, 9), written, Reference("a", 0, 8), written)


def test_a_copied_file_is_compared_byte_by_byte(written):
    whole = np.random.default_rng(0).integers(0, 256, 3 << 20, np.uint8)
    changed = whole.copy()
    changed[-1] ^= 1
    (written / "one").write_bytes(whole.tobytes())
    (written / "copy").write_bytes(whole.tobytes())
    (written / "changed").write_bytes(changed.tobytes())
    one = Reference("one", 0, whole.size)
    assert same_reference(one, written, Reference("copy", 0, whole.size), written)
    assert not same_reference(one, written, Reference("changed", 0, whole.size), written)


def test_a_truncated_copy_is_an_error(written):
    (written / "short").write_bytes(bytes(range(100)))
    with pytest.raises(CheckpointError, match="short"):
        same_reference(Reference("a", 0, 200), written, Reference("short", 0, 200), written)


def test_a_range_beyond_the_end_of_its_file_is_an_error_even_if_both_are_the_same_range(written):
    (written / "cut").write_bytes(bytes(100))
    (written / "link").hardlink_to(written / "cut")
    assert same_reference(Reference("cut", 50, 50), written, Reference("link", 50, 50), written)
    with pytest.raises(CheckpointError, match="ends before byte 101"):
        same_reference(Reference("cut", 51, 50), written, Reference("link", 51, 50), written)


def test_inline_values_are_compared(written):
    def inline(value):
        return Reference("", 0, len(value), value)

    assert same_reference(inline(b"abc"), written, inline(b"abc"), written)
    assert not same_reference(inline(b"abc"), written, inline(b"abd"), written)
    assert same_reference(inline(bytes(range(5))), written, Reference("a", 0, 5), written)
    assert same_reference(inline(b""), written, inline(b""), written)


SMALL_NODES = {"compression": None, "max_inline_value_bytes": 8, "max_decoded_node_bytes": 150}
"""Uncompressed nodes of two or three keys each, so that an altered byte is an altered field."""


def tree_of_small_nodes(folder):
    """Writes a database with a tree of several levels; returns its content and the ranges of its nodes."""
    values = {f"layer_{i}/{j}": bytes([i]) * (i + 7 * j) for i in range(4) for j in range(3)}
    fill(database(folder, config=SMALL_NODES), values)
    index = Index(folder)
    nodes = [node.place for node in index.nodes()]
    assert 4 <= len(nodes)
    assert values == stored(folder) == values_of(folder)
    return values, [ValueRange("manifest.ocdbt", 0, (folder / "manifest.ocdbt").stat().st_size), *nodes]


def by_tensorstore(folder):
    """The keys and values that TensorStore reads, in a new context without cached files."""
    store = database(folder, ts.Context(), config={})
    return {key.decode(errors="surrogateescape"): store.read(key).result().value for key in store.list().result()}


def test_every_altered_byte_of_an_index_is_refused(tmp_path):
    _, ranges = tree_of_small_nodes(tmp_path)
    for place in ranges:
        file = tmp_path / place.file
        content = file.read_bytes()
        for at in range(place.offset, place.offset + place.length):
            file.write_bytes(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
            assert REFUSED is outcome(lambda: values_of(tmp_path)), f"byte {at} of {place}"
        file.write_bytes(content)


@pytest.mark.sample(4)
@pytest.mark.parametrize("mask", [0x02, 0x01, 0x10, 0x80])
def test_an_altered_index_with_matching_checksums_is_refused_or_equals_tensorstore(tmp_path, mask):
    """A faulty writer: every field of every node is altered, and its checksum is computed again."""
    _, ranges = tree_of_small_nodes(tmp_path)
    wrong = []
    for place in ranges:
        file = tmp_path / place.file
        content = file.read_bytes()
        node = content[place.offset : place.offset + place.length - 4]
        for at in range(12, len(node)):
            changed = node[:at] + bytes([node[at] ^ mask]) + node[at + 1 :]
            changed += crc32c(changed).to_bytes(4, "little")
            file.write_bytes(content[: place.offset] + changed + content[place.offset + place.length :])
            found = outcome(lambda: values_of(tmp_path), CheckpointError, OSError)
            if found is not REFUSED and found != outcome(lambda: by_tensorstore(tmp_path), ValueError):
                wrong.append((place, at, mask))
        file.write_bytes(content)
    assert [] == wrong
