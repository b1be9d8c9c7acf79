"""CRC-32C: the checksum of zarr shards."""

import pytest

from migrate.formats.zarr.crc32c import crc32c


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_it_is_what_rfc_3720_says(content, expected):
    assert expected == crc32c(content)
