"""Manifests and B-tree nodes of OCDBT are decoded as TensorStore decodes them; covers `ocdbt_fields`.

`ts.ocdbt.dump` is the oracle. TensorStore calls the form of its result unstable: the tests fail when it changes.
"""

import itertools
import os
from urllib.parse import unquote_to_bytes

import pytest
import tensorstore as ts

from migrate.formats.zarr.crc32c import crc32c
from migrate.formats.zarr.ocdbt_fields import Fields, MalformedError
from migrate.formats.zarr.ocdbt_format import Manifest, decode_manifest, decode_node

REFUSED = "refused"


def open_store(folder, context=None, **config):
    spec = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder}/"}, "config": config}
    return ts.KvStore.open(spec, context=context).result()


def base_of(folder):
    return ts.KvStore.open({"driver": "file", "path": f"{folder}/"}).result()


def dumped_manifest(folder):
    """The content of a manifest as TensorStore prints it, in the form of `shown_manifest`."""
    content = ts.ocdbt.dump(base_of(folder)).result()
    newest = content["versions"][-1]
    lists = [split(node["location"]) for node in content["version_tree_nodes"]]
    root = newest["root"].get("location")
    return content["config"]["uuid"], root and split(root), newest["root_height"], lists


def shown_manifest(content):
    found = decode_manifest(content)
    lists = [shown_place(place) for place in found.version_lists]
    return found.config[0].hex(), found.root and shown_place(found.root), found.root_height, lists


def dumped_node(folder, place):
    """The entries of a node as TensorStore prints them, in the form of `shown_node`."""
    node = ts.ocdbt.dump(base_of(folder), node=place).result()
    return node["height"], [
        (entry["key"], entry["inline_value"])
        if "inline_value" in entry
        else (entry["key"], split(entry.get("indirect_value") or entry["location"])[1:])
        + ((entry["subtree_common_prefix"],) if "location" in entry else ())
        for entry in node["entries"]
    ]


def shown_node(content, base=b""):
    found = decode_node(content, base)
    if found.height:
        pairs = zip(found.keys, found.children, strict=True)
        shown = [(key, shown_place(child.place)[1:], key[: child.common]) for key, child in pairs]
    else:
        pairs = zip(found.keys, found.values, strict=True)
        shown = [(key, tuple(value[:3]) if value.inline is None else value.inline) for key, value in pairs]
    return found.height, shown


def split(location):
    """The base path, the path, the offset and the length in a location that TensorStore prints."""
    _, base, file, offset, length = location.split(":")
    base, file = unquote_to_bytes(base), unquote_to_bytes(file)
    return base, (base + file).decode(errors="surrogateescape"), int(offset), int(length)


def shown_place(place):
    return place.file.base, place.file.path, place.offset, place.length


def nodes_below(folder, location):
    yield location
    for entry in ts.ocdbt.dump(base_of(folder), node=location).result()["entries"]:
        if "location" in entry:
            yield from nodes_below(folder, entry["location"])


def nodes_of(folder):
    return list(nodes_below(folder, ts.ocdbt.dump(base_of(folder)).result()["versions"][-1]["root"]["location"]))


def read(folder, location):
    base, path, offset, length = split(location)
    return base, (folder / path).read_bytes()[offset : offset + length]


@pytest.fixture
def nested(tmp_path):
    """A database with a tree of two levels that refers to the data files of two other databases."""
    context, small = ts.Context(), {"compression": None, "max_decoded_node_bytes": 300, "max_inline_value_bytes": 9}
    target = open_store(tmp_path / "top", context, **small)
    for name in ("p0", "p1:%"):
        part = open_store(tmp_path / "top" / name, context, **small)
        for number in range(9):
            part.write(f"{name}/{number:03}", os.urandom(3 * number)).result()
        transaction = ts.Transaction(atomic=True)
        part.experimental_copy_range_to(target.with_transaction(transaction)).result()
        transaction.commit_async().result()
    return tmp_path / "top"


def test_every_node_is_decoded_as_by_tensorstore(nested):
    places = nodes_of(nested)
    assert {0, 1} <= {dumped_node(nested, place)[0] for place in places}
    assert {b"", b"p0/", b"p1:%/"} >= {split(place)[0] for place in places}
    for place in places:
        base, content = read(nested, place)
        assert dumped_node(nested, place) == shown_node(content, base)
    assert dumped_manifest(nested) == shown_manifest((nested / "manifest.ocdbt").read_bytes())


def test_a_large_compressed_node_is_decoded_as_by_tensorstore(tmp_path):
    store = open_store(tmp_path, max_decoded_node_bytes=1 << 30, max_inline_value_bytes=1000)
    transaction = ts.Transaction()
    for number in range(4000):
        store.with_transaction(transaction).write(f"{number % 7}" * (number % 300) + f"/{number}", bytes(number))
    transaction.commit_async().result()
    (place,) = nodes_of(tmp_path)
    assert dumped_node(tmp_path, place) == shown_node(read(tmp_path, place)[1])


@pytest.mark.parametrize("arity", [1, 2, 4])
def test_every_manifest_of_a_growing_database_is_decoded_as_by_tensorstore(tmp_path, arity):
    store = open_store(tmp_path, version_tree_arity_log2=arity)
    for number in range(18):
        store.write("key", bytes(number)).result()
        assert dumped_manifest(tmp_path) == shown_manifest((tmp_path / "manifest.ocdbt").read_bytes())


def test_the_versions_of_a_numbered_manifest_are_elsewhere(tmp_path):
    open_store(tmp_path, manifest_kind="numbered").write("key", b"value").result()
    found = decode_manifest((tmp_path / "manifest.ocdbt").read_bytes())
    assert Manifest(found.config, is_numbered=True) == found


def result(decode, *errors):
    try:
        return decode()
    except errors:
        return REFUSED


def altered(content, masks=(0x01, 0x02, 0x10, 0x80)):
    """Alters each byte behind the length; the checksum matches again."""
    body = content[:-4]
    for at, mask in itertools.product(range(12, len(body)), masks):
        changed = body[:at] + bytes([body[at] ^ mask]) + body[at + 1 :]
        yield at, changed + crc32c(changed).to_bytes(4, "little")


def test_an_altered_manifest_is_refused_where_tensorstore_refuses_it(tmp_path):
    store = open_store(tmp_path, version_tree_arity_log2=1, compression=None)
    for number in range(11):
        store.write("key", bytes(number)).result()
    file = tmp_path / "manifest.ocdbt"
    content = file.read_bytes()
    assert 2 <= len(shown_manifest(content)[3])
    for at, changed in altered(content):
        file.write_bytes(changed)
        expected = result(lambda: dumped_manifest(tmp_path), ValueError, NotImplementedError)
        found = result(lambda: shown_manifest(changed), MalformedError)  # noqa: B023 - called at once
        assert found in (expected, REFUSED), f"byte {at}"
        assert (REFUSED == expected) == (REFUSED == found), f"byte {at}"


def test_an_altered_node_is_refused_where_tensorstore_refuses_it(nested):
    for place in nodes_of(nested)[:6]:
        base, path, offset, length = split(place)
        file = nested / path
        whole = file.read_bytes()
        for at, changed in altered(whole[offset : offset + length], masks=(0x01, 0x80)):
            file.write_bytes(whole[:offset] + changed + whole[offset + length :])
            expected = result(lambda: dumped_node(nested, place), ValueError)  # noqa: B023 - called at once
            found = result(lambda: shown_node(changed, base), MalformedError)  # noqa: B023
            assert found in (expected, REFUSED), f"byte {at}"
            assert REFUSED != expected or REFUSED == found, f"byte {at}"
        file.write_bytes(whole)


def some_node(tmp_path):
    store = open_store(tmp_path)
    store.write("key", b"value").result()
    (place,) = nodes_of(tmp_path)
    return read(tmp_path, place)[1]


def with_checksum(body):
    body = body[:4] + (len(body) + 4).to_bytes(8, "little") + body[12:]
    return body + crc32c(body).to_bytes(4, "little")


def test_every_truncation_and_every_byte_behind_a_compressed_node_is_refused(tmp_path):
    content = some_node(tmp_path)
    decode_node(with_checksum(content[:-4]), b"")
    for end in range(len(content) - 4):
        with pytest.raises(MalformedError):
            decode_node(content[:end], b"")
        with pytest.raises(MalformedError):
            decode_node(with_checksum(content[:end]), b"")
    with pytest.raises(MalformedError, match="data follows the frame"):
        decode_node(with_checksum(content[:-4] + b"\0"), b"")


def plain_node(path=b"d/a", keys=(b"a", b"b"), after=b""):
    """A leaf node that is not compressed, with values in a data file."""
    table = bytes([1, len(path), 0]) + path
    columns = bytes(max(0, len(keys) - 1)) + bytes(map(len, keys)) + b"".join(keys)
    values = bytes([3] * len(keys)) + bytes([1] * len(keys)) + bytes(len(keys)) + bytes(range(len(keys)))
    body = b"\0\0" + b"\0" + table + bytes([len(keys)]) + columns + values + after
    return with_checksum(b"\x0c\xdb\x20\xde" + bytes(8) + body)


def test_a_node_that_was_written_by_hand_is_decoded():
    assert (0, [(b"a", ("d/a", 0, 3)), (b"b", ("d/a", 1, 3))]) == shown_node(plain_node())


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (plain_node(keys=(b"b", b"a")), "not in order"),
        (plain_node(keys=(b"a", b"a")), "not in order"),
        (plain_node(keys=()), "0 entries"),
        (plain_node(after=b"\0"), "1 bytes follow"),
        (plain_node(path=b"../other/d/a"), "outside"),
        (plain_node(path=b"/etc/passwd"), "outside"),
        (plain_node(path=b"a/../../b"), "outside"),
        (plain_node()[:-1] + b"\0", "checksum"),
        (b"\x0c\xdb", "too few"),
    ],
)
def test_a_faulty_node_is_refused_by_what_is_wrong(node, why):
    with pytest.raises(MalformedError, match=why):
        decode_node(node, b"")


def varint(number):
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


NUMBERS = [0, 1, 127, 128, 300, (1 << 16) - 1, (1 << 32) - 1, (1 << 63) + 5, (1 << 64) - 1]


@pytest.mark.parametrize("repeat", [1, 9])
def test_numbers_are_read_in_short_and_long_columns(repeat):
    fields = Fields(b"".join(map(varint, NUMBERS * repeat)) + b"rest")
    assert NUMBERS * repeat == fields.varints(len(NUMBERS) * repeat)
    assert b"rest" == fields.take(4)


@pytest.mark.parametrize("before", [0, 40])
@pytest.mark.parametrize(("bits", "number"), [(16, 1 << 16), (32, 1 << 32), (64, 1 << 64), (64, 1 << 70)])
def test_a_number_of_too_many_bits_is_refused(before, bits, number):
    with pytest.raises(MalformedError, match=f"longer than {bits} bits"):
        Fields(bytes(before) + varint(number)).varints(before + 1, bits)


@pytest.mark.parametrize("count", [3, 50])
def test_a_column_that_ends_early_is_refused(count):
    with pytest.raises(MalformedError, match="truncated"):
        Fields(bytes(count - 1) + b"\x80").varints(count)
