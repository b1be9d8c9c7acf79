"""Leftovers: dropped, created or moved by name alone, by patterns that match nothing else."""

import pytest

from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.suggest.layout import lay_out
from migrate.planning.suggest.leftovers import settle_leftovers, unsupported_arrays
from tests.planning.suggest.trees import suggested, tree


def paths(*texts):
    return [tuple(text.split("/")) for text in texts]


def settled(old, new, unexpected, missing):
    found = settle_leftovers(lay_out(tree(old)), lay_out(tree(new)), paths(*unexpected), paths(*missing))
    return found, [(rule.verb, rule.patterns, rule.value) for rule in found.settled]


@pytest.mark.parametrize(
    ("wanted", "universe", "expected"),
    [
        (["a/b", "a/c"], ["a/b", "a/c", "d"], ["a/**"]),
        (["a/b"], ["a/b", "a/c"], ["a/b"]),
        (["x/rngs/key", "y/rngs/key"], ["x/rngs/key", "y/rngs/key", "w"], ["**/rngs/**"]),
        (["x/rngs/key"], ["x/rngs/key", "y/rngs/key"], ["x/**"]),
        (["l_0/e", "l_1/e"], ["l_0/e", "l_1/e", "l_0/w", "l_1/w"], ["l_{i}/e"]),
    ],
)
def test_the_fewest_patterns_match_these_paths_and_no_others(wanted, universe, expected):
    assert expected == patterns_for(paths(*wanted), paths(*universe))


def test_an_optimizer_is_dropped_only_where_the_template_has_none():
    old, optimizer = {"params/w": (4,), "opt_state/0/mu/w": (4,)}, ["opt_state/0/mu/w"]
    assert [("drop", ("opt_state/**",), "")] == settled(old, {"w": (4,)}, optimizer, [])[1]
    found, rules = settled(old, {"w": (4,), "opt_state/1/nu/v": (5,)}, optimizer, ["opt_state/1/nu/v"])
    assert ([], tuple(paths(*optimizer)), tuple(paths("opt_state/1/nu/v"))) == (rules, found.sources, found.targets)


def test_state_of_the_same_tail_moves_and_a_step_is_cast():
    old = {"opt_state/0/count": "int32[]", "step": "int32[]"}
    new = {"optimizer/opt_state/0/count": "int32[]", "optimizer/step": "uint32[]"}
    found, rules = settled(old, new, [*old], [*new])
    assert [] == rules
    assert {("opt_state/0/count", ()), ("step", ("cast: template",))} == {
        ("/".join(draft.sources[0]), draft.ops) for draft in found.drafts
    }


GATES = {f"cell/{g}/kernel": (3, 4) for g in ("ir", "iz", "in", "hr", "hz", "hn")}
BIASES = {f"cell/{g}/bias": (4,) for g in ("ir", "iz", "in", "hn")}


def test_a_bias_that_nnx_lacks_is_dropped_if_zero_unless_the_target_has_its_name():
    cell = paths(*GATES, *BIASES)
    assert paths("cell/hn/bias") == unsupported_arrays(cell, paths("cell/dense_i/kernel"))
    assert [] == unsupported_arrays(cell, paths("other/hn/bias"))
    assert [] == unsupported_arrays(paths("cell/hn/bias"), [])
    assert [("drop", ("params/cell/hn/bias",), "zero")] == settled(
        {f"params/{path}": shape for path, shape in {**GATES, **BIASES}.items()},
        {"w": (4,)},
        ["params/cell/hn/bias"],
        [],
    )[1]


def test_adapters_and_random_streams_are_created():
    new = {"a/lora_a": (4,), "a/kernel": (4,), "a/rngs/key": "key<fry>[]"}
    found, rules = settled({"w": (4,)}, new, [], [*new])
    assert {"**/rngs/**": "{rng: {seed: 0}}"}.items() <= {p[0]: value for _, p, value in rules}.items()
    assert ("a", "kernel") in found.targets


def test_moments_of_params_that_are_not_placed_are_not_listed_again():
    def state(model):
        slots = {f"optimizer/opt_state/0/mu/{path}": shape for path, shape in model.items()}
        return {f"model/{path}": shape for path, shape in model.items()} | slots

    suggestion = suggested(state({"a/kernel": (3, 4), "gone/kernel": (7,)}), state({"a/kernel": (3, 4), "new/w": (8,)}))
    assert ((("model", "gone", "kernel"),), (("model", "new", "w"),)) == (
        suggestion.unplaced_sources,
        suggestion.unplaced_targets,
    )


def test_an_array_that_keeps_its_key_path_but_not_its_shape_is_listed():
    suggestion = suggested(
        {"params/a/kernel": (3, 4), "params/b/kernel": (4,)}, {"params/a/kernel": (5, 6), "params/b/kernel": (4,)}
    )
    path = ("params", "a", "kernel")
    assert ((path,), (path,)) == (suggestion.unplaced_sources, suggestion.unplaced_targets)
    assert {path} == set(suggestion.doubts)
    assert "#   params/a/kernel  float32[5,6]" in suggestion.text
