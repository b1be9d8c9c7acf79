import pytest

from migrate.cli.phase_state import PhaseState
from migrate.events import PhaseStarted


def test_rate_and_time_left_leave_out_what_an_earlier_run_staged():
    phase = PhaseStarted("stage", 10, 10 << 20, 6, 6 << 20)
    assert ("7/10 leaves", "7 MiB/10 MiB", "512 KiB/s", "6 s left") == PhaseState(phase, 2.0, 1, 1 << 20).numbers


@pytest.mark.parametrize(
    ("elapsed", "left"), [(1.0, "3 s left"), (0.9, "3 s left"), (42.0, "2 min 6 s left"), (3600.0, "3 h 0 min left")]
)
def test_time_left_is_rounded_up_to_seconds(elapsed, left):
    assert left == PhaseState(PhaseStarted("stage", 4, 4096), elapsed, 1, 1024).numbers[3]


@pytest.mark.parametrize(
    ("phase", "done", "share"),
    [
        (PhaseStarted("stage", 2, 4096), (1, 1024), 0.25),
        (PhaseStarted("stage", 2, 4096, 1, 3072), (1, 1024), 1.0),
        (PhaseStarted("measure", 2, 0), (1, 0), 0.5),
        (PhaseStarted("commit", 0, 0), (0, 0), None),
    ],
)
def test_the_part_that_is_done_is_one_of_the_bytes_where_there_are_some(phase, done, share):
    assert share == PhaseState(phase, 1.0, *done).share
