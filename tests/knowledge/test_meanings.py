"""Names of transformers and their meanings."""

from collections import Counter

from migrate.knowledge.meanings import BIASES, MEANINGS, NORMS, SPLIT, SUBLAYERS, WEIGHTS, plain


def test_a_name_has_one_meaning_in_each_place_but_that_of_a_router_and_a_gate():
    found = Counter((one.place, name) for one in MEANINGS for name in one.names)
    assert {("mlp", "gate")} == {key for key, count in found.items() if count > 1}


def test_a_norm_has_one_position_in_each_place_and_no_name_of_a_layer():
    found = Counter((one.place, name) for one in NORMS for name in one.names)
    assert 1 == max(found.values())
    assert not {name for _, name in found} & {name for one in MEANINGS for name in one.names if one.place != "model"}


def test_axes_are_known_for_every_meaning():
    assert {one.axes for one in MEANINGS} <= WEIGHTS.keys() == BIASES.keys()


def test_a_fusion_and_its_parts_are_meanings():
    names = {one.name for one in MEANINGS}
    assert {*SPLIT, *(part for parts in SPLIT.values() for part in parts)} <= names
    assert set(SUBLAYERS.values()) <= {one.rank for one in NORMS}


def test_spelling_does_not_count():
    assert plain("SelfAttention") == plain("self_attention")
