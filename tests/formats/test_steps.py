import pytest
from flax import serialization

from migrate.formats.steps import find_steps, is_temporary

HIDDEN = ".7.state_v2.migrate-123456789012"
"""The name of a working directory whose digest has decimal digits only."""


@pytest.fixture
def root(tmp_path):
    """`root(name, …)`: a directory with checkpoint files of these names."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_bytes(serialization.msgpack_serialize({"w": 1}))
        return find_steps(tmp_path)

    return make


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("7", 7),
        ("0007", 7),
        ("ckpt_7", 7),
        ("my_run_12", 12),
        ("checkpoint_-3", -3),
        ("checkpoint_0.25", 0.25),
        ("checkpoint_1e-3", 0.001),
        ("1795462789661960245", 1795462789661960245),
    ],
)
def test_a_name_is_a_step_when_its_last_part_is_a_number(root, name, number):
    (step,) = root(name).steps
    assert (number, type(number)) == (step.number, type(step.number))


@pytest.mark.parametrize("name", ["latest", "v7", "7_old", "checkpoint_3_gda", "a" * 200 + "x", HIDDEN])
def test_other_names_are_no_steps(root, name):
    found = root(name)
    assert ((), [name]) == (found.steps, [path.name for path in found.others])


def test_a_file_that_is_no_checkpoint_is_no_step(root, tmp_path):
    (tmp_path / "notes_7").write_text("hello")
    assert () == root().steps


def test_steps_sort_as_numbers_and_the_largest_is_the_latest(root):
    found = root("c_10", "c_9", "c_100", "c_-1")
    assert (-1, 9, 10, 100) == found.numbers
    assert 100 == found.choose("latest").number == found.choose(None).number


def test_a_large_step_is_printed_in_full(root):
    with pytest.raises(Exception, match="no step 5") as caught:
        root("1000000").choose(5)
    assert "it has 1000000" == caught.value.diagnostics[0].help


@pytest.mark.parametrize(
    ("name", "temporary"),
    [
        ("5.orbax-checkpoint-tmp", True),
        ("5.orbax-checkpoint-tmp-1690000000", True),
        ("5.partial_save", True),
        ("checkpoint_tmp", True),
        ("my_tmp", False),
        ("5", False),
    ],
)
def test_temporary_names_are_those_of_orbax_and_flax(name, temporary):
    assert temporary == is_temporary(name)


def test_entries_with_the_name_of_a_step_and_without_a_checkpoint_are_lost(root, tmp_path):
    for name in ("checkpoint_8.orbax-checkpoint-tmp-3", "checkpoint_9", "12", "logs_2024", "metrics"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint_10").write_bytes(b"")
    (tmp_path / "logs_2024" / "events").write_bytes(b"x")
    found = root("checkpoint_7")
    assert {8: "checkpoint_8.orbax-checkpoint-tmp-3", 9: "checkpoint_9", 10: "checkpoint_10", 12: "12"} == {
        step.number: step.path.name for step in found.lost
    }
