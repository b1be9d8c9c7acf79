"""RNG streams: words become keys only where a rule wraps them, and every stream has an origin."""

import pytest

from tests.planning.trees import codes, moves, planned

NEW = {
    "a/rngs/key": "key<fry>:",
    "a/rngs/count": "uint32:",
    "b/0/rngs/key": "key<fry>:",
    "b/0/rngs/count": "uint32:",
    "w": "2",
}
OLD = {"a/rngs/dropout/key": "key<fry>:", "a/rngs/dropout/count": "uint32:", "w": "2"}
WORDS = {**NEW, "a/rngs/key": "uint32:2", "b/0/rngs/key": "uint32:2"}
CREATE = '- create: {to: "**/rngs/**", init: {rng: {seed: 0}}}'
DROP = '- drop: "**/rngs/**"'


def test_streams_of_one_layout_keep_their_place():
    assert [] == codes(planned("", NEW, NEW))


def test_a_template_with_streams_that_the_source_lacks_names_the_rule_that_starts_them():
    plan = planned("", {"w": "2"}, NEW)
    assert ["M204"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "4 leaves of RNG streams are never written" in finding.message
    assert f"`{CREATE}`" in finding.help
    assert [] == codes(planned(CREATE, {"w": "2"}, NEW))


def test_other_missing_leaves_are_a_finding_of_their_own():
    plan = planned("", {"w": "2"}, NEW | {"v": "2"})
    assert ["M204", "M204"] == codes(plan)
    assert "`v`" in plan.diagnostics[1].message


def test_the_rule_names_single_leaves_where_other_streams_are_filled():
    source = {path: text for path, text in NEW.items() if not path.startswith("b")}
    plan = planned("", source, NEW)
    rule = '- create: {to: ["b/0/rngs/count", "b/0/rngs/key"], init: {rng: {seed: 0}}}'
    assert f"`{rule}`" in plan.diagnostics[0].help
    assert [] == codes(planned(rule, source, NEW))


def test_shared_streams_of_old_nnx_are_dropped_and_the_new_ones_started():
    plan = planned("", OLD, NEW)
    assert ["M204", "M205"] == sorted(codes(plan))
    (left,) = [d for d in plan.diagnostics if d.code == "M205"]
    assert left.help.endswith(f"`{DROP}`")
    assert [] == codes(planned(f"{CREATE}\n{DROP}", OLD, NEW))


def test_one_old_stream_in_several_layers_is_a_rule_of_the_users_and_a_note():
    rules = (
        "- {from: a/rngs/dropout/key, to: [a/rngs/key, b/0/rngs/key]}\n"
        "- {from: a/rngs/dropout/count, to: [a/rngs/count, b/0/rngs/count]}"
    )
    plan = planned(rules, OLD, NEW)
    assert plan.applicable
    assert ["M213"] == codes(plan)
    assert "becomes the key of 2 streams" in plan.diagnostics[0].message


def test_a_key_that_is_split_into_layers_is_no_shared_key():
    source = {"rngs/key": "key<fry>:2"}
    rules = '- {from: rngs/key, to: "l/{i}/rngs/key", ops: [{unstack: {axis: 0, over: i}}]}'
    assert [] == codes(planned(rules, source, {f"l/{i}/rngs/key": "key<fry>:" for i in range(2)}))


def test_words_never_become_a_key_in_silence():
    plan = planned("", WORDS, NEW)
    assert ["M302"] == codes(plan)
    (finding,) = plan.diagnostics
    assert "`a/rngs/key` is uint32[2], but the template expects key<fry>[], and 1 more like it" == finding.message
    assert (("a", "rngs", "key"), ("b", "0", "rngs", "key")) == plan.dtype_mismatch
    rule = '- {from: "a/rngs/key", to: "a/rngs/key", ops: [{wrap_key_data: threefry2x32}]}'
    assert f"`{rule}`" in finding.help


def test_the_rule_that_is_named_wraps_them():
    rule = '- {from: "**/rngs/key", to: "**/rngs/key", ops: [{wrap_key_data: threefry2x32}]}'
    assert [] == codes(planned(rule, WORDS, NEW))


@pytest.mark.parametrize(("words", "key", "impl"), [("uint32:2", "fry", "threefry2x32"), ("uint32:4", "rbg", "rbg")])
def test_the_implementation_is_the_templates(words, key, impl):
    plan = planned('- "dropout_rng -> rngs/key"', {"dropout_rng": words}, {"rngs/key": f"key<{key}>:"})
    assert ["M302"] == codes(plan)
    rule = f'- {{from: "dropout_rng", to: "rngs/key", ops: [{{wrap_key_data: {impl}}}]}}'
    assert f"`{rule}`" in plan.diagnostics[0].help
    assert [] == codes(planned(rule, {"dropout_rng": words}, {"rngs/key": f"key<{key}>:"}))


def test_keys_of_several_layers_are_wrapped_together():
    plan = planned("", {"rngs/key": "uint32:3,2"}, {"rngs/key": "key<fry>:3"})
    assert "wrap_key_data: threefry2x32" in plan.diagnostics[0].help


def test_numbers_that_are_no_words_of_a_key_have_no_rule_but_a_new_stream():
    plan = planned("", {"rngs/key": "uint32:3"}, {"rngs/key": "key<fry>:"})
    assert ["M302"] == codes(plan)
    assert "wrap_key_data" not in plan.diagnostics[0].help
    assert '`- create: {to: "rngs/key", init: {rng: {seed: 0}}}`' in plan.diagnostics[0].help


def test_a_key_of_another_implementation_is_another_key():
    plan = planned("", {"rngs/key": "key<rbg>:"}, {"rngs/key": "key<fry>:"})
    assert ["M302"] == codes(plan)
    assert "neither converts into the other" in plan.diagnostics[0].help


def test_a_key_becomes_words_by_a_rule():
    plan = planned("", {"rng": "key<fry>:"}, {"rng": "uint32:2"})
    assert '`- {from: "rng", to: "rng", ops: [key_data]}`' in plan.diagnostics[0].help
    assert [] == codes(planned("- {from: rng, to: rng, ops: [key_data]}", {"rng": "key<fry>:"}, {"rng": "uint32:2"}))


def test_a_key_is_no_number():
    plan = planned("", {"rng": "key<fry>:"}, {"rng": "2"})
    assert ["M302"] == codes(plan)
    assert "a key cannot become a number" in plan.diagnostics[0].help


def test_the_count_of_an_optimizer_is_no_stream():
    plan = planned("", {"w": "2"}, {"w": "2", "opt_state/0/count": "int32:"})
    assert "RNG" not in plan.diagnostics[0].message


def test_streams_that_stay_are_moved_by_renames():
    rules = '- "a/** -> c/**"\n- "b/** -> d/**"'
    wanted = {"c" + path[1:] if path[0] == "a" else "d" + path[1:]: t for path, t in NEW.items() if path != "w"}
    plan = planned(rules, NEW, wanted | {"w": "2"})
    assert [] == codes(plan)
    assert ("c/rngs/key",) == moves(plan)[("a/rngs/key",)]
