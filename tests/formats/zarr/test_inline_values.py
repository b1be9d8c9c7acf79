"""Values of an index are shared where they are equal, and kept in a file where they are many."""

import os
import tempfile

import pytest

from migrate.formats.zarr.inline_values import MEMORY_BYTES, InlineValues, ValueFile
from migrate.formats.zarr.ocdbt_format import Reference

MANY = [at.to_bytes(4, "little") * 200 for at in range(3 * MEMORY_BYTES // 800)]


def kept(values):
    found = InlineValues()
    places = [found.keep(b"a/0.0", value) for value in values]
    return [Reference("", offset, len(value), where) for value, (offset, where) in zip(values, places, strict=True)]


def test_equal_metadata_are_one_value():
    values = InlineValues()
    first, second = (values.keep(key, bytes([1, 2, 3]))[1] for key in (b"a/.zarray", b"b/.zarray"))
    assert first is second


def test_few_chunks_stay_in_memory():
    assert {bytes} == {type(one.kept) for one in kept(MANY[:10])}


def test_many_chunks_are_read_from_a_file():
    found = kept(MANY)
    assert MANY == [one.inline for one in found]
    assert all(one.is_inline for one in found)
    assert sum(len(one.kept) for one in found if isinstance(one.kept, bytes)) <= MEMORY_BYTES


def test_chunks_stay_in_memory_without_a_file(monkeypatch):
    def refuse(**_):
        raise OSError("no space")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert MANY == [one.inline for one in kept(MANY)]


@pytest.mark.parametrize("room", [0, 1_000])
def test_chunks_stay_in_memory_once_the_file_is_full(monkeypatch, room):
    write = os.pwrite

    def limited(descriptor, content, offset):
        if offset >= room:
            raise OSError("no space")
        return write(descriptor, content[: room - offset], offset)

    monkeypatch.setattr(os, "pwrite", limited)
    file = ValueFile()
    places = [(file.add(value), len(value)) for value in MANY]
    assert MANY == [file.read(*place) for place in places]
