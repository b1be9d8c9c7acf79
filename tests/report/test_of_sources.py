"""Each of several sources has its own account in a report."""

import json
from dataclasses import replace
from pathlib import Path

from migrate.engine.receipt import SourceUsed
from migrate.planning.planner import make_plan
from migrate.report.html import draw
from migrate.report.json import payload
from migrate.report.of_plan import plan_report
from migrate.report.of_sources import source_sentences, sources_data, used_sources_data
from migrate.rules.loader import parse_rules
from tests.planning.trees import checkpoint

RULES = "migrate: 1\nsources: {lora: null}\nrules: ['lora:a -> w', {drop: 'lora:b'}]"
LORA = replace(checkpoint({"a": "2", "b": "3", "c": "4"}), path=Path("adapter"), format="safetensors")


def planned(**sources):
    rules = RULES if sources else "migrate: 1\nrules: []"
    return make_plan(checkpoint({"k": "2"}, sources=sources), parse_rules(rules, "rules.yaml"), None)


def test_used_dropped_and_neither_are_counted_for_each_source():
    assert [
        "SRC = old (test, 1 leaf): 1 used.",
        "lora = adapter (safetensors, 3 leaves): 1 used, 1 dropped, 1 neither.",
    ] == list(source_sentences(planned(lora=LORA)))


def test_items_of_another_source_are_not_carried_over():
    step = replace(LORA, extras={"config": {}}, unread=("data",))
    text = list(source_sentences(planned(lora=step)))[1]
    assert text.endswith("1 neither; not carried over: config, data.")
    assert ["config", "data"] == sources_data(planned(lora=step))["sources"][1]["items_left_behind"]


def test_one_source_needs_no_account():
    assert ([], {}) == (list(source_sentences(planned())), sources_data(planned()))
    assert {} == used_sources_data(())


def test_programs_and_pages_get_the_same_account():
    report = plan_report(planned(lora=LORA), "new")
    (main, lora) = json.loads(json.dumps(payload(report)))["sources"]
    assert ("", 1, 1, 0) == (main["name"], main["leaves"], main["used"], main["dropped"])
    assert ("lora", "adapter", 3, 1, 1) == tuple(lora[n] for n in ("name", "path", "leaves", "used", "dropped"))
    assert LORA.structure_hash == lora["structure_hash"]
    assert "lora = adapter (safetensors, 3 leaves)" in draw(report)
    assert report.title.endswith("old (test, 1 leaf) + adapter → new (orbax, 2 leaves)")


def test_a_receipt_names_path_structure_and_files():
    found = used_sources_data([SourceUsed("lora", Path("adapter"), "sha256:1", "sha256:2")])
    expected = {"name": "lora", "path": "adapter", "structure_hash": "sha256:1", "files": "sha256:2"}
    assert {"sources": [expected]} == found
