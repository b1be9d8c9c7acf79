"""Doubts: layers that fit both ways, unless numbers, kept paths or Flax's own names tell them apart."""

import pytest

from migrate.planning.suggest.doubts import doubt_beside_unplaced
from migrate.planning.suggest.values import Endpoint, Match, ModelArray
from tests.planning.suggest.trees import suggested


def doubted(old, new):
    """Returns the source leaves in doubt."""
    return {"/".join(path) for path in suggested(old, new).doubts}


def test_scale_and_bias_of_a_norm_are_told_apart_by_the_names_of_flax():
    assert set() == doubted({f"params/ln/{n}": (4,) for n in ("scale", "bias")}, {"n/scale": (4,), "n/bias": (4,)})


def test_kernel_and_scale_of_a_layer_are_told_apart_though_both_are_called_weight():
    names = ("kernel", "scale")
    assert set() == doubted({f"params/ad/{n}": (4,) for n in names}, {f"new/{n}": (4,) for n in names})


def test_arrays_of_other_names_are_not():
    names = {"alpha": "rho", "beta": "sigma"}
    old = {f"params/ln/{name}": (4,) for name in names}
    assert {*old} == doubted(old, {f"n/{name}": (4,) for name in names.values()})


def test_layers_of_one_shape_are_in_doubt_whatever_their_leaves_are_called():
    old = {f"params/{layer}/kernel": (3, 4) for layer in ("alpha", "beta")}
    assert {*old} == doubted(old, {f"{layer}/kernel": (3, 4) for layer in ("rho", "sigma")})


def test_gates_of_a_cell_are_told_apart_by_the_names_of_flax():
    gates = ("ii", "if", "ig", "io")
    old = {f"params/LSTMCell_0/{gate}/kernel": (3, 4) for gate in gates}
    new = {f"cell/{gate if gate != 'if' else 'if_'}/kernel": (3, 4) for gate in gates}
    assert set() == doubted(old, new)


def test_layers_that_keep_their_key_paths_are_not_in_doubt():
    leaves = {f"{layer}/kernel": (3, 4) for layer in ("alpha", "beta")}
    assert set() == doubted(leaves, leaves)


@pytest.mark.parametrize("count", [2, 5])
def test_four_layers_are_named_and_the_others_counted(count):
    names = [f"{letter}x" for letter in "abcde"[:count]]
    text = suggested({f"params/{n}/kernel": (3, 4) for n in names}, {f"new_{n}/kernel": (3, 4) for n in names}).text
    listed = "ax and bx have the same shape" if count == 2 else "ax, bx, cx and 2 more have the same shape"
    assert f"# unproved: {listed}" in text


def renamed(source, target):
    return Match((Endpoint((source,)),), (Endpoint((target,)),))


def doubts_beside(names, left, *, side=0, shape=(5,)):
    """Returns the doubts about two matched arrays of shapes (4,) and `shape`, beside one without a place."""
    matches = [renamed(source, target) for source, target in names]
    shapes = [(4,), shape]
    sources = {(source,): ModelArray(one) for (source, _), one in zip(names, shapes, strict=True)}
    targets = {(target,): ModelArray(one) for (_, target), one in zip(names, shapes, strict=True)}
    (sources, targets)[side]["left",] = ModelArray(left)
    return [[doubt.why for doubt in match.doubts] for match in doubt_beside_unplaced(matches, sources, targets)]


BESIDE = ["`left` is not placed, so this may belong elsewhere, too"]


@pytest.mark.parametrize("side", [0, 1])
def test_an_array_without_a_place_makes_those_of_its_size_doubtful(side):
    names = [("head", "head_x"), ("tail", "tail_y")]
    assert [BESIDE, []] == doubts_beside(names, (4,), side=side)
    assert [[], BESIDE] == doubts_beside(names, (5,), side=side)
    assert [[], []] == doubts_beside(names, (6,), side=side)


def test_an_array_without_a_place_does_not_concern_names_that_agree():
    assert [[], BESIDE] == doubts_beside([("query", "q_proj"), ("a", "b")], (4,), shape=(4,))


def test_where_an_array_is_not_placed_names_without_anything_in_common_are_doubtful():
    assert [BESIDE, []] == doubts_beside([("memo", "high"), ("tail", "tail_y")], (6,))


def test_an_array_without_a_place_makes_the_rest_of_its_layer_doubtful():
    suggestion = suggested(
        {"params/one_norm/scale": (4,), "params/one_norm/bias": (4,), "params/one_norm/extra": (3,)},
        {"my_norm/scale": (4,), "my_norm/bias": (4,)},
    )
    assert "`one_norm/extra` is not placed" in suggestion.text


def test_a_bias_does_not_move_without_its_kernel():
    suggestion = suggested(
        {"params/time_in/kernel": (8, 4), "params/time_in/bias": (4,)},
        {"my_time_in/kernel": (4, 4), "my_time_in/bias": (4,)},
    )
    assert 2 == len(suggestion.unplaced_sources) == len(suggestion.unplaced_targets)


def test_names_that_disagree_do_not_suggest_a_match():
    old = {f"params/{name}/kernel": (3, 4) for name in ("alpha", "beta")}
    text = suggested(old, {f"{name}/kernel": (3, 4) for name in ("rho", "sigma")}).text
    assert "alpha and beta have the same shape; nothing else supports this" in text


def test_names_that_agree_along_the_whole_path_are_evidence():
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
    old = {f"params/attn/{name}/kernel": (4, 4) for name in names}
    suggestion = suggested(old, {f"attention/{name}/kernel": (4, 4) for name in names.values()})
    assert {} == suggestion.doubts
    assert "unproved" not in suggestion.text


def test_numbers_that_linen_gave_do_not_agree_with_other_numbers():
    """Dense_1 may be the outer layer, that is, the first one."""
    old = {f"params/Dense_{i}/kernel": (4, 4) for i in range(2)}
    assert {*old} == doubted(old, {f"fc{i}/kernel": (4, 4) for i in range(2)})
