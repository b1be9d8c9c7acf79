"""Which data files of a source are worth a link; `test_relink.py` has whole runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.engine.linking.worth import is_worth_linking, unworthy_files
from migrate.formats.zarr.ocdbt_format import Reference


@pytest.mark.parametrize(
    ("needed", "stored", "size", "worth"),
    [
        (100, 100, 100, True),
        (50, 100, 100, True),
        (49, 100, 100, False),
        (10, 10, 100, True),  # all that the source has in it: nothing is lost by this plan
        (10, 11, 100, False),
    ],
)
def test_a_file_is_linked_for_half_of_it_or_for_all_that_the_source_has_in_it(needed, stored, size, worth):
    assert worth == is_worth_linking(needed, stored, size)


@given(st.integers(1, 100), st.integers(0, 100), st.integers(0, 100))
def test_a_copy_writes_less_than_it_saves(needed, dropped, dead):
    size = needed + dropped + dead
    if not is_worth_linking(needed, needed + dropped, size):
        assert needed < size - needed


def reference(file, offset, length):
    return Reference(file, offset, length, None)


def test_files_of_which_little_is_needed_are_found(tmp_path):
    for name, size in (("small", 100), ("large", 100), ("other", 50)):
        (tmp_path / name).write_bytes(bytes(size))
    entries = {
        "a/0": reference("small", 0, 10),
        "b/0": reference("small", 10, 90),
        "c/0": reference("large", 0, 60),
        "d/0": reference("large", 60, 40),
        "e/0": reference("other", 0, 50),
    }
    assert {"small"} == unworthy_files(entries, {"a/0", "c/0"}, tmp_path)
    assert set() == unworthy_files(entries, set(entries), tmp_path)


def test_array_metadata_are_no_chunks(tmp_path):
    (tmp_path / "d").write_bytes(bytes(1000))
    entries = {
        "a/.zarray": reference("d", 0, 300),
        "a/0": reference("d", 300, 100),
        "b/zarr.json": reference("d", 400, 9),
    }
    assert set() == unworthy_files(entries, {"a/0"}, tmp_path)
