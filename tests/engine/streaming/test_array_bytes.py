"""The bytes of an array do not depend on its layout in memory."""

import zlib

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from migrate import dtypes
from migrate.engine.streaming.array_bytes import (
    Digest,
    contiguous,
    digest,
    digest_of,
    raw_bytes,
    stored_form,
    value_blocks,
)
from migrate.tree import AbstractArray, AbstractLeaf


def test_a_digest_is_that_of_the_bytes_whatever_the_layout():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert digest(array) == digest(np.asfortranarray(array))
    assert digest(array) == digest(array.astype(">f4"))
    assert digest(array) != digest(array.T)


def test_a_digest_of_slabs_is_that_of_the_whole():
    array = np.arange(24, dtype=np.float32).reshape(6, 4)
    parts = Digest()
    for start in range(0, 6, 2):
        parts.update(array[start : start + 2])
    assert digest(array) == str(parts)


@pytest.mark.parametrize("nbytes", [0, 100, (16 << 20) + 5])
def test_a_digest_without_blocks_is_the_same(nbytes):
    array = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    found = Digest(crc=False, blocks=False)
    for part in np.array_split(array, 3):
        found.update(part)
    assert (digest(array), ()) == (str(found), found.blocks)


@pytest.mark.parametrize("nbytes", [0, 100, (16 << 20) + 5])
def test_blocks_without_the_whole_are_the_same(nbytes):
    array = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    found = Digest(whole=False)
    for part in np.array_split(array, 3):
        found.update(part)
    assert digest_of(array).blocks == found.blocks


def test_the_blocks_of_a_value_are_strong_without_their_crc():
    leaf = AbstractLeaf("scalar", AbstractArray((), "int32"))
    assert digest_of(np.int32(7)).blocks == value_blocks(7, leaf)
    assert (value_blocks(7, leaf)[0][8:],) == value_blocks(7, leaf, crc=False)
    assert () == value_blocks(None, AbstractLeaf("none"))


@pytest.mark.parametrize("shape", [(), (3,), (130, 67), (5, 6, 70), (0, 3)])
def test_an_array_in_another_order_is_copied_to_c_order(shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape).T
    laid_out = contiguous(array)
    assert laid_out.flags.c_contiguous
    assert array.shape == laid_out.shape
    assert np.array_equal(array, laid_out)


@pytest.mark.parametrize("layout", [lambda a: a, np.asfortranarray, lambda a: a.astype(">f4")])
def test_raw_bytes_are_little_endian_in_c_order(layout):
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    assert array.tobytes() == bytes(raw_bytes(layout(array)))


def test_an_array_in_c_order_is_not_copied():
    array = np.arange(6.0)
    assert contiguous(array) is array


def test_the_stored_form_of_typed_keys_is_their_words():
    words = np.arange(6, dtype=np.uint32).reshape(3, 2)
    keys = words.view(dtypes.to_numpy("key<fry>")).reshape(3)
    assert words.tolist() == stored_form(keys).tolist()
    assert stored_form(words) is words


@given(st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_blocks_do_not_depend_on_the_parts_and_cover_every_byte(sizes, crc):
    whole = np.arange(sum(sizes), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("migrate.engine.streaming.array_bytes.BLOCK_BYTES", 16)
        found, start = Digest(crc=crc), 0
        for size in sizes:
            found.update(whole[start : start + size])
            start += size
    assert f"xxh3:{xxhash.xxh3_128_hexdigest(whole)}" == str(found)
    parts = [whole[at : at + 16].tobytes() for at in range(0, len(whole), 16)]
    crcs = [f"{zlib.crc32(part):08x}" if crc else "" for part in parts]
    expected = [f"{sum_}{xxhash.xxh3_128_hexdigest(part)}" for sum_, part in zip(crcs, parts, strict=True)]
    assert expected == list(found.blocks)
