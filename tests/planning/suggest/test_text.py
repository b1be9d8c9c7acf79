"""The text of a rule file: it loads, quotes what needs quotes, and writes reasons and doubts as comments."""

import yaml

from migrate.planning.rule_text.rule_drafts import RuleDraft, text_of
from migrate.planning.suggest.leftovers import LeftoverRule
from migrate.planning.suggest.text import alternatives_of, rule_file
from migrate.planning.suggest.values import Alternative, Doubt
from tests.planning.suggest.trees import tree


def draft(source, target, ops=(), **more):
    a, b = tuple(source.split("/")), tuple(target.split("/"))
    return RuleDraft((text_of(a),), (text_of(b),), ops, frozenset({a}), frozenset({b}), **more)


def text(rules=(), settled=(), unplaced=((), ()), **more):
    return rule_file(
        head=more.pop("head", ()),
        target={"template": "m:f"},
        rules=rules,
        settled=settled,
        unplaced=unplaced,
        source=tree({"a": (2,), "b": (3,)}),
        template=tree({"x": (2,)}),
        **more,
    )


def test_a_file_without_rules_is_a_rule_file():
    assert {"migrate": 1, "target": {"template": "m:f"}, "rules": []} == yaml.safe_load(text())


def test_a_rename_is_a_string_and_ops_are_a_mapping():
    rules = [draft("a", "x", reasons=("the same",)), draft("b", "y", ("squeeze: {axis: 0}",))]
    written = text(rules)
    assert ["a -> x", {"from": "b", "to": "y", "ops": [{"squeeze": {"axis": 0}}]}] == yaml.safe_load(written)["rules"]
    assert '  - "a -> x"  # the same' in written.splitlines()


def test_a_long_rule_has_a_line_for_each_field():
    (line,) = [each for each in text([draft("a" * 100, "b" * 100, ("flip: {axis: 0}",))]).splitlines() if "ops" in each]
    assert "    ops: [{flip: {axis: 0}}]" == line


def test_a_doubt_is_a_comment_with_its_alternatives():
    doubt = Doubt("why", others=(("z",),), alternatives=(Alternative("turned", ("transpose: [1, 0]",)),))
    lines = text([draft("a", "x", doubts=((("a",), doubt),))]).splitlines()
    at = lines.index("  # unproved: why")
    assert ["  #   or: a -> z", "  #   or: turned: ops: [{transpose: [1, 0]}]", '  - "a -> x"'] == lines[
        at + 1 : at + 4
    ]


def test_more_than_three_alternatives_are_counted():
    doubt = Doubt("why", alternatives=tuple(Alternative(f"way {i}") for i in range(11)))
    assert "  #   … 8 more (`--json` lists all)" in text([draft("a", "x", doubts=((("a",), doubt),))])


def test_drops_and_creations_have_their_reason_above():
    rules = (
        LeftoverRule("drop", ("a/**",), "", "not needed"),
        LeftoverRule("drop", ("b",), "zero", "checked"),
        LeftoverRule("create", ("c",), "zeros", "new"),
    )
    written = text(settled=rules)
    assert [
        {"drop": "a/**"},
        {"drop": {"from": "b", "assert": "zero"}},
        {"create": {"to": "c", "init": "zeros"}},
    ] == yaml.safe_load(written)["rules"]
    assert "  # not needed" in written.splitlines()


def test_leaves_that_are_not_placed_are_listed_with_their_shapes():
    written = text(unplaced=((("b",),), (("x",),)))
    assert "#   b  float32[3]" in written.splitlines()
    assert "#   x  float32[2]" in written.splitlines()


def test_without_comments_the_rules_are_the_same():
    rules = [draft("a", "x", doubts=((("a",), Doubt("why")),))]
    assert "unproved" not in text(rules, comments=False)
    assert yaml.safe_load(text(rules)) == yaml.safe_load(text(rules, comments=False))


def test_programs_get_targets_and_ops():
    doubt = Doubt("why", others=(("z",),), alternatives=(Alternative("turned", ("transpose: [1, 0]",)),))
    assert [{"target": "z"}, {"way": "turned", "ops": "[{transpose: [1, 0]}]"}] == alternatives_of([doubt])


def test_one_part_of_an_unstacked_array_stands_for_all_of_them():
    doubt = Doubt("why", others=(("m", "0"), ("m", "1")))
    unstacked = RuleDraft(
        (("a",),),
        (("l", "{i}"),),
        ("unstack: {axis: 0, over: i}",),
        frozenset({("a",)}),
        frozenset(),
        doubts=((("a",), doubt),),
    )
    assert "  #   or: a -> m/{i}" in text([unstacked]).splitlines()
