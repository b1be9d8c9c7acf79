"""What becomes of each item; `tests/end_to_end/test_training_script.py` reads the sentences of whole runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from migrate.formats.item_kinds import TYPED_KEY
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.planner import make_plan
from migrate.report.of_items import item_sentences, items_data
from migrate.rules.loader import parse_rules
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree

WEIGHT = AbstractTree({("w",): AbstractLeaf("array", AbstractArray((2,), "float32"))})
KEY = AbstractTree({(): AbstractLeaf("array", AbstractArray((), "key<fry>"))})
STEP = AbstractCheckpoint(
    Path("old"),
    "orbax",
    {"model": WEIGHT, "rng": KEY},
    step=3,
    steps=(1, 3),
    extras={"step": {"step": 3}},
    kinds={"rng": TYPED_KEY},
    unread=("data",),
)
SINGLE = replace(STEP, items={"default": WEIGHT}, kinds={}, extras={}, unread=())
ALONE = replace(STEP, step=None, steps=())


def said(source, destination, rules="[]", target="{}"):
    plan = make_plan(source, parse_rules(f"migrate: 1\ntarget: {target}\nrules: {rules}", "rules.yaml"), None)
    return " ".join(item_sentences(plan, destination)), items_data(plan)


def test_a_checkpoint_that_is_no_step_needs_no_sentence():
    assert ("", []) == said(replace(SINGLE, items={"": WEIGHT}, step=None, steps=()), "new")


def test_items_that_are_kept_dropped_and_not_read():
    text, data = said(STEP, "new/3", "[drop: step]")
    assert (
        "Items: model, rng (random key) written as items; step (JSON) dropped; data not read, so not written." in text
    )
    assert "DST is step 3 (of 2); `CheckpointManager` opens the root new." in text
    assert [("model", "item"), ("rng", "item"), ("step", "dropped"), ("data", "not read")] == [
        (item["name"], item["fate"]) for item in data
    ]


@pytest.mark.parametrize(
    ("source", "destination", "target", "text"),
    [
        (SINGLE, "new", "{}", "as one pytree, which `CheckpointManager` does not open as a step; `--step all` writes"),
        (STEP, "new", "{layout: state}", "`target: {layout: items}` writes a step."),
        (SINGLE, "new", "{layout: items}", "`CheckpointManager` opens it as new/3; `--step all` writes every step"),
        (ALONE, "new", "{}", "DST is the step, not a root: `CheckpointManager` opens it as new/0."),
        (SINGLE, "new.msgpack", "{}", "DST is step 3 (of 2) as a single file."),
    ],
)
def test_what_dst_is_for_a_manager(source, destination, target, text):
    assert text in said(source, destination, target=target)[0]
