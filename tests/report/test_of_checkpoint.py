import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from migrate.formats.reader import AbstractCheckpoint
from migrate.report import json as as_json
from migrate.report import text
from migrate.report.diagnostics import draw_findings
from migrate.report.of_checkpoint import checkpoint_report
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Sharding, Storage
from tests.report import large, vit


def test_a_checkpoint_as_text(golden):
    golden("report/checkpoint.txt", text.draw(checkpoint_report(vit.checkpoint())))


def varied():
    sharded = AbstractLeaf(
        "array",
        AbstractArray((8, 4), "bfloat16"),
        storage=Storage("zarr3", (4, 4), "zstd:1"),
        sharding=Sharding((("data", 2),), (("data",),)),
    )
    tree = AbstractTree.build(
        [
            (("params", "a/b", "kernel"), sharded),
            (("params", "key"), AbstractLeaf("array", AbstractArray((), "key<fry>"))),
            (("step",), AbstractLeaf("scalar", AbstractArray((), "int64"))),
            (("name",), AbstractLeaf("string")),
            (("opt_state", "0"), AbstractLeaf("empty", container="tuple")),
            (("opt_state", "1"), AbstractLeaf("none")),
        ]
    )
    return AbstractCheckpoint(
        Path("run"),
        "orbax ocdbt",
        {"state": tree},
        step=300,
        steps=(100, 200, 300),
        extras={"metrics": {"loss": float("nan")}},
        zarr3=True,
    )


def test_kinds_chunks_and_shardings_are_shown(golden):
    golden("report/checkpoint_varied.txt", text.draw(checkpoint_report(varied())))


def test_json_lists_every_leaf_with_all_its_fields(golden):
    drawn = as_json.draw(checkpoint_report(varied()))
    assert "nan" == json.loads(drawn)["items"]["metrics"]["content"]["loss"]
    golden("report/checkpoint_varied.json", drawn)


def test_the_chunks_of_an_array_are_what_is_decoded_at_once():
    stored = Storage("zarr3", (1024, 1024), inner=(256, 1024))
    leaf = AbstractLeaf("array", AbstractArray((2048, 1024), "float32"), storage=stored)
    report = checkpoint_report(replace(varied(), items={"state": AbstractTree({("a",): leaf})}))
    assert "chunks [256,1024]" in report.rows[0].detail
    assert ([1024, 1024], [256, 1024]) == tuple(report.data["leaves"][0][name] for name in ("chunks", "inner_chunks"))


def test_layers_are_one_only_while_their_leaves_are_equal():
    tree = vit.source_tree()
    odd = ("params", "Transformer", "encoderblock_5", "LayerNorm_0", "bias")
    changed = AbstractTree({**tree.leaves, odd: replace(vit.leaf(768), aval=AbstractArray((768,), "float16"))})
    names = [row.subject.strip() for row in checkpoint_report(vit.checkpoint(changed)).rows]
    assert "encoderblock_5" in names
    assert "encoderblock_{0,1,2,3,4,6,7,8,9,10,11} ×11" in names


def test_long_metadata_is_cut_until_asked_for():
    checkpoint = replace(vit.checkpoint(), metadata={"log": "x" * 1000})
    brief, whole = (dict(checkpoint_report(checkpoint, verbose=v).facts)["metadata"] for v in (False, True))
    assert brief.endswith("… (-v shows all)")
    assert json.loads(whole) == {"log": "x" * 1000}


def shown(report):
    return text.draw(report) + draw_findings(report.findings)


@cache
def large_report(**options):
    """The report of ten thousand leaves, made once for tests with the same options."""
    return checkpoint_report(large.checkpoint(), **options)


def test_ten_thousand_leaves_fit_on_a_screen_or_two(golden):
    assert len(large.checkpoint().tree.leaves) >= 10_000
    drawn = shown(large_report())
    assert len(drawn.splitlines()) <= 90
    golden("report/checkpoint_10000.txt", drawn)


def test_ten_thousand_leaves_for_programs(golden):
    payload = json.loads(as_json.draw(large_report()))
    assert len(payload["leaves"]) >= 10_000
    golden("report/checkpoint_10000.json", json.dumps({**payload, "leaves": payload["leaves"][:3]}, indent=2) + "\n")


@pytest.mark.parametrize("depth", [1, 2])
def test_depth_says_how_far_down_and_what_is_below(golden, depth):
    drawn = text.draw(checkpoint_report(large.checkpoint(), depth=depth))
    if depth == 1:
        golden("report/checkpoint_10000_depth_1.txt", drawn)
    assert "/… is collapsed: --depth N expands N of 9 levels, -v all" in drawn


def test_verbose_leaves_nothing_out():
    report = large_report(verbose=True)
    assert "" == report.omitted
    assert not any("/…" in row.subject for row in report.rows)


def test_ten_thousand_leaves_are_drawn_in_time():
    checkpoint = large.checkpoint()
    start = time.process_time()
    checkpoint_report(checkpoint)
    assert time.process_time() - start < 10


def test_notes_on_many_leaves_are_one_with_their_number():
    (assumed, *_) = large_report(verbose=True).findings
    assert assumed.message.startswith("`params/layers/0/attn/q/kernel` was written without its dtype's name")
    assert assumed.message.endswith("; the same for 47 more leaves")
    assert 48 == len(assumed.paths)


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((7,), "7"),
        ((3, 7), "7 of 2: 3, 7"),
        (range(8), "7 of 8: 0, 1, 2, 3, 4, 5, 6, 7"),
        (range(9), "7 of 9: 0, 1, … 8"),
    ],
)
def test_a_few_steps_are_listed_and_many_are_counted(steps, text):
    checkpoint = replace(vit.checkpoint(), step=7, steps=tuple(steps))
    assert text == dict(checkpoint_report(checkpoint).facts)["step"]


def test_the_separator_of_flat_names_is_a_fact():
    split = AbstractCheckpoint(
        Path("old"), "numpy npz", {"": AbstractTree.build([(("a", "w"), vit.leaf(2))])}, separator=","
    )
    report = checkpoint_report(split)
    assert ("names", "split at `,`") in report.facts
    assert "," == report.data["separator"]
    whole = replace(split, items={"": AbstractTree.build([(("w",), vit.leaf(2))])})
    assert "names" not in dict(checkpoint_report(whole).facts)
