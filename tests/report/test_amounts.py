import pytest

from migrate.report.amounts import parse_size, plural, seconds, size


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (3_076_000, "2.9 MiB"),
        (216 << 20, "216 MiB"),
        (1 << 60, "1024 PiB"),
    ],
)
def test_bytes_are_printed_in_binary_units(nbytes, text):
    assert text == size(nbytes)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("2GiB", 2 << 30), ("512 MB", 512_000_000), ("1000", 1000), ("1.5KiB", 1536), ("3G", 3 * 10**9)],
)
def test_sizes_are_read_as_people_write_them(text, nbytes):
    assert nbytes == parse_size(text)


@pytest.mark.parametrize("text", ["", "GiB", "-1", "two", "1 GiBs"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_nouns_are_counted():
    assert ["1 leaf", "2 leaves", "0 errors"] == [plural(1, "leaf"), plural(2, "leaf"), plural(0, "error")]


def test_durations():
    assert ["0.04 s", "1.3 s", "2 min 5 s"] == [seconds(0.04), seconds(1.31), seconds(125.4)]
