"""The config of the new checkpoint: `config:` rules on hyperparameters and JSON items, and every mistake in them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.planning.config import flatten, nest, plan_config
from migrate.planning.planner import make_plan
from migrate.report.diagnostics import draw_findings
from migrate.report.view import findings
from migrate.rules.loader import parse_rules
from migrate.template.facts import ModelFacts
from tests.planning.configs import CONFIGS, HEAD, after, contents, planned_config, random_rules, source
from tests.planning.trees import Template

LM = {"num_layers": 4, "width": 64, "heads": 8, "dropout_rate": 0.1, "model": {"old": {"x": 1, "y": [1, {}]}, "z": {}}}


def test_a_name_without_a_rule_stays_and_a_renamed_one_keeps_its_place():
    assert list({"layers": 4, "width": 64}) == list(after("  - num_layers -> layers", {"num_layers": 4, "width": 64}))


def test_rules_rename_set_compute_and_drop():
    rules = """
  - {from: num_layers, to: layers}
  - {to: scan_layers, value: true}
  - {from: [width, heads], to: head_dim, value: "{width} // {heads}"}
  - {from: dropout_rate, drop: true}
  - {from: "model/old/**", to: "model/**"}
"""
    expected = {"layers": 4, "head_dim": 8, "model": {"x": 1, "y": [1, {}], "z": {}}, "scan_layers": True}
    assert json.dumps(expected) == json.dumps(after(rules, LM))


@pytest.mark.parametrize(
    ("rules", "before", "expected"),
    [
        ("  - {from: [a, b], to: '{x:a|b}'}", None, "M107"),
        ("  - {to: c, value: '{a}'}", {"a": "gelu"}, {"a": "gelu", "c": "gelu"}),
        ("  - {to: c, value: '{a} * {a} - 1'}", {"a": 3}, {"a": 3, "c": 8}),
        ("  - {from: a, to: a, value: '-{a}'}", {"a": 3}, {"a": -3}),
        ("  - {from: a, to: b}\n  - {from: b, to: a}", {"a": 1, "b": 2}, {"b": 1, "a": 2}),
        ("  - {from: a, to: a, value: null}", {"a": 3}, {"a": None}),
        (r"  - {to: c, value: '\{a}'}", {"a": 3}, {"a": 3, "c": "{a}"}),
        ("  - drop: [a, 'm/**']", {"a": 3, "m": {"x": 1, "y": 2}}, {}),
        ("  - {drop: '**', except: 'm/*'}", {"a": 3, "m": {"x": 1, "y": {"z": 2}}}, {"m": {"x": 1}}),
        ("  - {from: 'l_{i:int}/d', to: 'l/{i+1}/d'}", {"l_0": {"d": 5}}, {"l": {"1": {"d": 5}}}),
        ("  - {from: {regex: '(?P<n>[ab])'}, to: 'm/{n}'}", {"a": 1, "b": 2}, {"m": {"a": 1, "b": 2}}),
        ("  - {from: z, to: y, optional: true}\n  - {to: x, value: '{z}', optional: true}", {"a": 1}, {"a": 1}),
        ("  - {to: c, value: '{a} + (-{a}) % 128'}", {"a": 300}, {"a": 300, "c": 384}),
        ("  - {from: a, to: a, value: {x: 1, y: {z: [], e: {}}}}", {"a": 3}, {"a": {"x": 1, "y": {"z": [], "e": {}}}}),
        ("  - {to: m/x, value: 1}\n  - {from: a, to: n/y}", {"m": {}, "a": 3, "n": {}}, {"m": {"x": 1}, "n": {"y": 3}}),
        ("  - {to: a/b, value: 1}\n  - drop: a", {"a": 300}, {"a": {"b": 1}}),
    ],
)
def test_what_rules_make_of_a_config(rules, before, expected):
    if before is None:
        with pytest.raises(Exception, match="captured"):
            after(rules, {"a": 1})
    else:
        assert json.dumps(expected) == json.dumps(after(rules, before))


def test_a_json_item_changes_only_where_a_rule_names_it():
    checkpoint = source({"heads": 1}, config={"heads": 2}, metrics={"heads": 3})
    found = contents(planned_config("  - {in: config, from: heads, to: num_heads}", checkpoint))
    assert {"": {"heads": 1}, "config": {"num_heads": 2}, "metrics": {"heads": 3}} == found


def test_json_items_that_metadata_hold_are_changed_there():
    checkpoint = replace(source(), metadata={"migrate": {"items": {"config": {"heads": 2}, "other": 3}}, "mine": 1})
    found = contents(planned_config("  - {in: config, from: heads, to: num_heads}", checkpoint))
    assert {"num_heads": 2} == found["config"]


def test_a_value_can_be_set_where_the_source_has_no_record():
    assert {"scan_layers": True} == after("  - {to: scan_layers, value: true}")


MISTAKES = {
    "unknown name": "  - num_layer -> layers",
    "unknown name in a wildcard": '  - "modle/old/** -> model/**"',
    "unknown name in a formula": "  - {to: head_dim, value: '{width} // {head}'}",
    "a mapping": "  - model -> net",
    "in the item": "  - n_ctx -> context",
    "not in the item": "  - {in: config, from: width, to: w}",
    "taken twice": "  - num_layers -> layers\n  - drop: num_layers",
    "written twice": "  - num_layers -> layers\n  - {to: layers, value: 3}",
    "taken twice by one rule": "  - drop: ['model/**', model/z]",
    "written twice by one rule": "  - {from: 'model/old/{x}', to: y}",
    "exists": "  - {to: heads, value: 16}",
    "a rename onto a name": "  - width -> heads",
    "a value and a mapping": "  - {to: width/x, value: 16}",
    "a mapping and a value": "  - heads -> model",
    "the whole config": '  - "{x}/old/** -> **"\n  - {from: "{h:heads}/**", to: "**"}',
    "inexact": "  - {to: head_dim, value: '{width} // 7'}",
    "not an integer": "  - {to: rate, value: '{dropout_rate} * 2'}",
    "zero": "  - {to: rate, value: '{width} // ({heads} - 8)'}",
    "negative index": "  - '{x:int} -> {x-1}'",
    "unknown item": "  - {in: confg, from: n_ctx, to: x}",
    "an item of another kind": "  - {in: metrics, to: x, value: 1}",
}


def test_every_mistake_names_the_place_the_name_and_the_next_step(golden):
    checkpoint = source({**LM, "0": 1}, config={"n_ctx": 128}, metrics=[1])
    texts = []
    for title, rules in MISTAKES.items():
        plan = planned_config(rules, checkpoint)
        assert not plan.applicable, title
        drawn = draw_findings(findings(plan.diagnostics, lambda _, rules=rules: HEAD + rules))
        texts.append(f"# {title}\n{drawn}")
    golden("planning/config_mistakes.txt", "\n".join(texts))


def test_an_item_that_rules_drop_cannot_be_changed():
    rules = "migrate: 1\nrules: [{drop: config}]\nconfig: [{in: config, from: heads, to: num_heads}]"
    _, found = plan_config(parse_rules(rules, "rules.yaml").config, source(config={"heads": 2}), ["config"])
    assert ["M623"] == [one.code for one in found]


def test_an_item_that_is_not_read_or_is_a_pytree_is_called_that():
    checkpoint = replace(source(), unread=("data",), items={"state": source().tree})
    found = planned_config("  - {in: data, to: x, value: 1}\n  - {in: state, to: x, value: 1}", checkpoint).diagnostics
    assert ["the item `data` is not read", "the item `state` is a pytree, not JSON"] == [one.message for one in found]


def test_a_checkpoint_without_a_record_names_the_command_that_adds_one():
    (found,) = planned_config("  - a -> b", source()).diagnostics
    assert "migrate stamp SRC" in found.help


class Modelled(Template):
    """A template of which the attributes are known."""

    def __init__(self, **attributes):
        super().__init__({"w": "2"})
        self.facts = ModelFacts(attributes={name: (value,) for name, value in attributes.items()})


def test_the_template_is_compared_with_the_config_after_the_rules():
    checkpoint = source({"heads": 8}, config={"n_heads": 8})
    rules = "  - heads -> num_heads\n  - {in: config, from: n_heads, to: num_heads}"
    template = Modelled(num_heads=16, heads=9)
    (found,) = planned_config(rules, checkpoint, template).diagnostics
    assert "M310" == found.code
    assert found.message == (
        "the record has num_heads 8, the template has 16; the JSON item `config` has num_heads 8, the template has 16"
    )
    assert found.help.endswith("or correct the `config:` rules: give `num_heads` its `value:`")
    fixed = "  - {from: heads, to: num_heads, value: 16}"
    assert () == planned_config(fixed, checkpoint, template).diagnostics


def test_hyperparameters_that_rules_change_are_not_those_of_the_template():
    template = Modelled(num_heads=8)
    template.facts = replace(template.facts, hyperparameters={"num_heads": 8, "other": 1})
    plan = planned_config("  - heads -> num_heads", source({"heads": 8}), template)
    assert {"num_heads": 8} == contents(plan)[""]
    assert {"num_heads": 8, "other": 1} == contents(planned_config("  []", source({"heads": 8}), template))[""]


def test_the_digest_of_a_plan_is_that_of_its_rules_and_not_of_the_values():
    one, other = (planned_config("  - a -> b", source({"a": value})) for value in (1, 2))
    assert one.digest == other.digest
    changed = replace(one.rules, config=())
    assert one.digest != replace(one, rules=changed).digest


def test_json_may_be_nested_deeply():
    content = {"a": 1}
    for _ in range(5000):
        content = {"x": content}
    assert [5001] == [len(path) for path in flatten(content)]


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.text(), inner | st.lists(inner)), max_leaves=8))
def test_flattening_and_nesting_are_inverse(content):
    if isinstance(content, dict):
        assert content == nest(flatten(content).items())


@given(st.data())
def test_random_rules_account_for_every_name(data):
    leaves = data.draw(CONFIGS)
    rules = data.draw(random_rules(leaves, exact=False))
    plan = planned_config(f"  {json.dumps(rules)}", source(nest(leaves.items())))
    found = flatten(contents(plan)[""])
    gone = {path for change in plan.config.changes for path in change.sources}
    written = {change.target: change.value for change in plan.config.changes if change.target is not None}
    assert found == {path: value for path, value in leaves.items() if path not in gone} | written


def test_the_example_of_the_documentation_plans():
    page = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8").partition("## Config")[2]
    text = f"migrate: 1\n{page.split('```')[1].removeprefix('yaml')}"
    record = {"num_layers": 4, "act": "relu", "width": 64, "heads": 8, "dim": 64, "dropout_rate": 0.1}
    checkpoint = source({**record, "model": {"old": {"x": 1}}}, config={"n_embd": 64})
    found = contents(make_plan(checkpoint, parse_rules(text, "rules.md"), None))
    expected = {"layers": 4, "act": "gelu", "head_dim": 8, "dim": 64, "model": {"x": 1}, "scan_layers": True}
    assert {"": {**expected, "mlp_dim": 256}, "config": {"width": 64}} == found
