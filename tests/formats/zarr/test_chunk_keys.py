"""Keys of chunks, as zarr specifies them."""

import pytest

from migrate.formats.zarr.metadata import chunk_key


@pytest.mark.parametrize(
    ("driver", "index", "key"),
    [
        ("zarr2", (), "0"),
        ("zarr2", (3,), "3"),
        ("zarr2", (0, 12), "0.12"),
        ("zarr3", (), "c"),
        ("zarr3", (3,), "c/3"),
        ("zarr3", (0, 12), "c/0/12"),
    ],
)
def test_a_chunk_has_the_key_of_its_driver(driver, index, key):
    assert key == chunk_key(index, driver)
