"""A zstd frame is read block by block, to its end and no further."""

import io
import os
import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.formats.zarr.zstd_stream import ZstdStream, decompress_into

MIB = 1 << 20
CONTENTS = {
    "nothing": b"",
    "a byte": b"x",
    "zeros": bytes(3 * MIB + 5),
    "noise": os.urandom(MIB + 1),
    "numbers": np.arange(700_001, dtype=np.float32).tobytes(),
    "two whole blocks": os.urandom(1 << 18),
}


def read_all(encoded, step=100_000):
    stream, parts = ZstdStream(io.BytesIO(encoded)), []
    while part := stream.read(step):
        assert len(part) <= step
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("level", [-5, 1, 9])
@pytest.mark.parametrize("options", [{}, {"write_checksum": True}, {"write_content_size": False}], ids=str)
def test_a_frame_gives_what_went_in(name, level, options):
    encoded = zstandard.ZstdCompressor(level=level, **options).compress(CONTENTS[name])
    assert CONTENTS[name] == read_all(encoded)


def test_a_frame_that_was_written_as_a_stream_gives_what_went_in():
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    encoded = b"".join(compressor.compress(CONTENTS["numbers"][at : at + 777]) for at in range(0, 20_000, 777))
    encoded += compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) + compressor.flush()
    assert CONTENTS["numbers"][: 26 * 777] == read_all(encoded, 13)


def test_a_block_of_four_bytes_that_stands_for_many_is_not_decoded_with_the_next():
    encoded = zstandard.compress(bytes(64 * MIB))
    assert len(encoded) < 8_000
    stream = ZstdStream(io.BytesIO(encoded))
    tracemalloc.start()
    try:
        assert 64_000 == len(b"".join(stream.read(1000) for _ in range(64)))
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.data())
def test_every_truncation_is_an_error(content, checksum, data):
    encoded = zstandard.ZstdCompressor(write_checksum=checksum).compress(content)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(zstandard.ZstdError):
        read_all(encoded[:cut])


@pytest.mark.parametrize("tail", [b"\0", zstandard.compress(b""), zstandard.compress(b"more")])
@pytest.mark.parametrize("checksum", [False, True])
def test_whatever_follows_a_frame_is_an_error(tail, checksum):
    encoded = zstandard.ZstdCompressor(write_checksum=checksum).compress(b"content")
    with pytest.raises(zstandard.ZstdError, match="follows"):
        read_all(encoded + tail)


def test_another_checksum_is_an_error():
    encoded = zstandard.ZstdCompressor(write_checksum=True).compress(CONTENTS["numbers"])
    with pytest.raises(zstandard.ZstdError, match="checksum"):
        read_all(encoded[:-1] + bytes([encoded[-1] ^ 1]))


@pytest.mark.parametrize("head", [b"", b"\x28\xb5\x2f\xfd", b"gzip or something else", bytes(20)])
def test_what_is_no_frame_is_an_error(head):
    with pytest.raises(zstandard.ZstdError):
        read_all(head)


def at_once(encoded, size):
    content = bytearray(size)
    decompress_into(memoryview(encoded), memoryview(content))
    return bytes(content)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("options", [{}, {"write_checksum": True}, {"write_content_size": False}], ids=str)
def test_a_frame_in_memory_gives_what_went_in(name, options):
    encoded = zstandard.ZstdCompressor(level=1, **options).compress(CONTENTS[name])
    assert CONTENTS[name] == at_once(encoded, len(CONTENTS[name]))


@pytest.mark.parametrize("options", [{}, {"write_checksum": True}, {"write_content_size": False}], ids=str)
@pytest.mark.parametrize("name", ["a byte", "zeros", "numbers"])
def test_a_frame_in_memory_of_another_size_or_length_is_refused(name, options):
    content = CONTENTS[name]
    encoded = zstandard.ZstdCompressor(level=1, **options).compress(content)
    for damaged, size in (
        *((encoded[:-cut], len(content)) for cut in (1, 3, 5, len(encoded) // 2, len(encoded))),
        (encoded + b"\0", len(content)),
        (encoded + encoded, len(content)),
        (encoded, len(content) + 1),
        (encoded, len(content) - 1),
    ):
        with pytest.raises(zstandard.ZstdError):
            at_once(damaged, size)


def test_the_checksum_of_a_frame_in_memory_is_verified():
    encoded = bytearray(zstandard.ZstdCompressor(level=1, write_checksum=True).compress(CONTENTS["numbers"]))
    encoded[-1] ^= 1
    with pytest.raises(zstandard.ZstdError):
        at_once(encoded, len(CONTENTS["numbers"]))
