"""Opening one item of a step alone, and the names of further items."""

import orbax.checkpoint as ocp
import pytest

from migrate.codes import AmbiguousItem, NotExpandable, UnknownItem
from migrate.errors import CheckpointError, UsageError
from migrate.formats.step_item import default_name, open_step_item, require_name, require_step


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    root = tmp_path_factory.mktemp("roots") / "run"
    with ocp.CheckpointManager(root) as manager:
        args = ocp.args.Composite(
            state=ocp.args.StandardSave({"w": 1.0, "b": {"c": 2}}), config=ocp.args.JsonSave({"n": 1})
        )
        manager.save(3, args=args, custom_metadata={"mine": 1})
    return root / "3"


def test_an_item_is_opened_as_a_checkpoint_of_its_own(step):
    with open_step_item(step) as reader:
        found = reader.abstract()
        assert (step / "state", ["state"], {}, {"mine": 1}) == (
            found.path,
            list(found.items),
            found.extras,
            found.metadata,
        )
        assert step == reader.folder
        assert all(file.is_relative_to(step / "state") for file in reader.files())
        assert 2 == reader.read(("b", "c"))


def test_items_that_are_not_one_pytree_are_refused(step):
    for item, code in (("config", UnknownItem), ("stat", UnknownItem)):
        with pytest.raises(CheckpointError) as error:
            open_step_item(step, item)
        assert code.number == error.value.diagnostics[0].code


def test_a_step_of_arrays_alone_has_no_pytree(tmp_path):
    import numpy as np

    with ocp.CheckpointManager(tmp_path / "run") as manager:
        manager.save(1, args=ocp.args.Composite(x=ocp.args.ArraySave(np.ones(3)), y=ocp.args.ArraySave(np.ones(3))))
    with pytest.raises(CheckpointError) as error:
        open_step_item(tmp_path / "run" / "1")
    assert NotExpandable.number == error.value.diagnostics[0].code
    assert AmbiguousItem.number != error.value.diagnostics[0].code


def test_a_path_that_does_not_exist_keeps_its_own_error(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        open_step_item(tmp_path / "missing")


def test_a_linked_step_is_its_target(step, tmp_path):
    (tmp_path / "latest").symlink_to(step)
    assert step.resolve() == require_step(tmp_path / "latest")


@pytest.mark.parametrize(
    ("item", "version", "name"),
    [
        ("state", 2, "state_v2"),
        ("state_v2", 3, "state_v3"),
        ("default", "2024.1", "default_v2024-1"),
        ("state", None, "state_new"),
    ],
)
def test_the_default_name_has_the_version(item, version, name):
    assert name == default_name(item, version)
    require_name(name, [item, name])


def test_a_name_has_to_come_after_those_that_exist():
    require_name("b", ["a", "c"])
    require_name("a", ["state"])
    for name, items in (("a", ["b"]), ("state", ["a"]), ("checkpoint", [])):
        with pytest.raises(UsageError):
            require_name(name, items)
