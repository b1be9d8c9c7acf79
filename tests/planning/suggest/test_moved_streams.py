"""The random stream of a layer without arrays follows the layers around it."""

import pytest

from tests.planning.suggest.trees import suggested

STREAM = {"key": "key<fry>[]", "count": "uint32[]"}


def block(node, dense, *dropouts):
    """A layer with an array, and others with a stream each."""
    streams = {f"{node}/{drop}/rngs/{name}": text for drop in dropouts for name, text in STREAM.items()}
    return {f"{node}/{dense}/kernel": (4, 5), **streams}


def moves(old, new):
    """Where each key of the source goes, in a plan that creates and drops nothing."""
    plan = suggested(old, new).plan
    assert plan.applicable
    assert [] == [*plan.created, *plan.dropped]
    return {task.sources[0]: task.targets[0] for task in plan.tasks if task.sources[0][-1] == "key"}


def test_the_only_stream_of_a_renamed_block_is_moved_whatever_its_name():
    old = block("blocks/0", "fc", "drop") | block("blocks/1", "fc", "drop")
    new = block("layers/0", "dense", "dropout") | block("layers/1", "dense", "dropout")
    expected = {("blocks", i, "drop", "rngs", "key"): ("layers", i, "dropout", "rngs", "key") for i in ("0", "1")}
    assert expected == moves(old, new)


def test_names_pair_the_streams_of_one_block_and_the_last_one_needs_none():
    old, new = block("block", "fc", "a_drop", "b_drop"), block("layer", "dense", "a_drop", "dropout")
    expected = {
        ("block", "a_drop", "rngs", "key"): ("layer", "a_drop", "rngs", "key"),
        ("block", "b_drop", "rngs", "key"): ("layer", "dropout", "rngs", "key"),
    }
    assert expected == moves(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (block("block", "fc", "a", "b"), block("layer", "dense", "c", "d")),
        (block("block", "fc", "a"), block("layer", "dense", "c", "d")),
        ({"drop/rngs/key": "key<fry>[]"}, {"dropout/rngs/key": "key<fry>[]"}),
    ],
    ids=["two renamed", "one becomes two", "nothing around it"],
)
def test_a_stream_that_nothing_determines_starts_from_a_seed(old, new):
    plan = suggested(old | {"head/kernel": (3, 2)}, new | {"head/kernel": (3, 2)}).plan
    assert sum("rngs" in leaf for leaf in new) == len(plan.created)
