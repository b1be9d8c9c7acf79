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


def test_where_an_array_is_not_placed_others_are_in_doubt_unless_their_shape_is_unique():
    matches = [renamed("a", "x"), renamed("b", "y"), renamed("same", "same")]
    sources = {(name,): ModelArray((4,)) for name in ("a", "b", "same", "left")}
    targets = {("x",): ModelArray((4,)), ("y",): ModelArray((5,)), ("same",): ModelArray((4,))}
    doubts = [[doubt.why for doubt in match.doubts] for match in doubt_beside_unplaced(matches, sources, targets)]
    assert [["`left` is not placed, so this may belong elsewhere, too"], [], []] == doubts
    del sources["left",]
    assert matches == doubt_beside_unplaced(matches, sources, targets)
