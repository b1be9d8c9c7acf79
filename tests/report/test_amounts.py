import pytest

from migrate.report.amounts import plural, seconds, size


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


def test_nouns_are_counted():
    assert ["1 leaf", "2 leaves", "0 errors"] == [plural(1, "leaf"), plural(2, "leaf"), plural(0, "error")]


def test_durations():
    durations = (0.04, 1.31, 125.4, 3599.9, 3600, 11_225)
    assert ["0.04 s", "1.3 s", "2 min 5 s", "59 min 59 s", "1 h 0 min", "3 h 7 min"] == list(map(seconds, durations))
