"""Whether one layer can become another: by names, shapes and kinds of Variables."""

import pytest

from migrate.planning.suggest.fit import fit_layer, kinds_agree, names_alike, only_shape
from migrate.planning.suggest.scope import LayerUnit
from migrate.planning.suggest.values import ModelArray


def layer(path, **shapes):
    return LayerUnit(tuple(path.split("/")), tuple((name, ModelArray(shape)) for name, shape in shapes.items()))


def single(path, shape, kind=None):
    parts = tuple(path.split("/"))
    return LayerUnit(parts, ((parts[-1], ModelArray(shape, kind)),), loose=True)


def test_arrays_are_matched_by_name_before_cost():
    found = fit_layer(layer("a", kernel=(4, 4), bias=(4,)), layer("b", bias=(4,), kernel=(4, 4)))
    assert {("kernel", "kernel"), ("bias", "bias")} == {(m.source, m.target) for m in found.leaf_matches}
    assert found.whole


def test_the_share_counts_arrays_without_a_counterpart_on_both_sides():
    found = fit_layer(layer("a", kernel=(4, 4), bias=(4,)), layer("b", kernel=(4, 4)))
    assert (2 / 3, False) == (found.share, found.whole)


def test_flaxs_own_kernels_are_never_transposed():
    assert fit_layer(layer("a", kernel=(4, 6)), layer("b", kernel=(6, 4))) is None


def test_single_arrays_fit_by_shape_whatever_their_names():
    assert fit_layer(single("a/token", (1, 4)), single("b/position", (4,))) is not None
    assert fit_layer(single("a/token", (4,)), single("b/position", (5,))) is None


def test_a_square_matrix_under_another_name_could_be_transposed():
    (found,) = fit_layer(single("a/weight", (4, 4)), single("a/kernel", (4, 4))).leaf_matches
    assert found.turnable


def test_only_the_shape_supports_a_match_of_unlike_names():
    assert only_shape(single("a/token", (4,)), single("b/zzz", (4,)))
    assert not only_shape(single("a/token", (4,)), single("b/token", (4,)))
    assert 1.0 == names_alike(single("a/token", (4,)), single("a/token", (4,)))


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [("BatchStat", "Param", False), ("Param", "Param", True), (None, "Param", True), ("LoRAParam", "Param", True)],
)
def test_running_averages_never_become_parameters(mine, theirs, expected):
    assert expected == kinds_agree(mine, theirs)
