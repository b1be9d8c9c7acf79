"""`verify` finds every flipped byte that changes a value; `tests.end_to_end.flips` tries more of them."""

import pytest

from migrate.formats.digest_record import FILE
from tests.end_to_end.flips import KINDS, try_flips, written

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax drops coroutines


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_every_flip_that_changes_a_value(tmp_path, kind):
    counts, missed = try_flips(written(tmp_path, kind), 30, seed=len(kind))
    assert [] == missed
    assert counts["refused"] > 10


def test_without_digests_flips_change_values_unnoticed(tmp_path):
    checkpoint = written(tmp_path, "zarr2, not compressed")
    (checkpoint / FILE).unlink()
    counts, _ = try_flips(checkpoint, 60)
    assert counts["wrong"] > 0
