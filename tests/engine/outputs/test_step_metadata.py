"""The metadata of a step as items come and go; its content besides handlers and layouts never changes."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from migrate.engine.outputs.step_metadata import add_layout, remove_items, require_place
from migrate.errors import UsageError
from migrate.formats.orbax.layouts import StepLayout, recorded_layouts
from migrate.formats.orbax.metadata import CHECKPOINT_FILE, read_handlers

NAMES = [f"state_{letter}" for letter in "abcdefgh"]
LAYOUT = StepLayout("state", {"model": "lm"})


@pytest.fixture
def step(tmp_path):
    """A step as Orbax 0.12 describes it, without items."""
    content = {
        "item_handlers": {"state": "x"},
        "metrics": {},
        "init_timestamp_nsecs": 1,
        "custom_metadata": {"mine": 1},
    }
    (tmp_path / CHECKPOINT_FILE).write_text(json.dumps(content))
    return tmp_path


def test_several_runs_at_once_lose_no_entry(step):
    before = (step / CHECKPOINT_FILE).read_text()
    with ThreadPoolExecutor(len(NAMES)) as pool:
        list(pool.map(lambda name: add_layout(step, name, LAYOUT), NAMES))
        assert dict.fromkeys(NAMES, LAYOUT) == recorded_layouts(require_place(step))
        assert {"state", *NAMES} == set(read_handlers(step))
        list(pool.map(lambda name: remove_items(step, [name]), NAMES))
    assert before == (step / CHECKPOINT_FILE).read_text()


@pytest.mark.parametrize("content", [None, {"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": 2}])
def test_files_of_old_versions_get_no_handlers_and_are_as_before_afterwards(tmp_path, content):
    file = tmp_path / CHECKPOINT_FILE
    if content is not None:
        file.write_text(json.dumps(content))
    add_layout(tmp_path, "new", LAYOUT)
    assert {"custom_metadata"} == set(json.loads(file.read_text())) - set(content or ())
    assert {"new": LAYOUT} == recorded_layouts(require_place(tmp_path))
    remove_items(tmp_path, ["new"])
    assert content == (json.loads(file.read_text()) if file.exists() else None)


def test_a_dropped_origin_leaves_no_layout_and_the_record_of_the_kept_one(step):
    add_layout(step, "new", LAYOUT)
    add_layout(step, "other_v2", StepLayout("other", {}))
    remove_items(step, ["state"], LAYOUT.record)
    custom = require_place(step)
    assert ({"other_v2"}, "lm", 1) == (set(recorded_layouts(custom)), custom["migrate"]["model"], custom["mine"])
    assert {"new", "other_v2"} == set(read_handlers(step))


def test_what_a_killed_run_left_is_removed(step):
    (step / f".{CHECKPOINT_FILE}.123.new").write_text("{")
    add_layout(step, "new", LAYOUT)
    assert [CHECKPOINT_FILE] == [path.name for path in step.iterdir()]


def test_a_file_without_a_place_is_left_as_it_is(step):
    (step / CHECKPOINT_FILE).write_text('{"custom_metadata": 3}')
    with pytest.raises(UsageError):
        add_layout(step, "new", LAYOUT)
    assert '{"custom_metadata": 3}' == (step / CHECKPOINT_FILE).read_text()
