"""Rules that are generated for a row of the layer table load, and have the form that the row needs."""

import pytest
import yaml

from migrate.knowledge.layers import LAYERS, rows_of
from migrate.knowledge.rules import rules_of
from migrate.rules.loader import parse_rules
from migrate.rules.model import Create, Drop, Init, Move


def load(rules):
    return parse_rules(yaml.safe_dump({"migrate": 1, "rules": rules}), "r.yaml").rules


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.nnx)
def test_the_rules_of_every_row_load(row):
    assert len(rules_of(row, "Layer_{i}", "layers/{i}")) == len(load(rules_of(row, "Layer_{i}", "layers/{i}")))


def test_a_layer_that_keeps_its_names_is_moved_as_a_whole_by_collection():
    (dense,), (norm,) = rows_of("Dense")[:1], rows_of("BatchNorm")
    assert ["params/Dense_0/** -> head/**"] == rules_of(dense, "Dense_0", "head")
    assert ["params/** -> **", "batch_stats/** -> **"] == rules_of(norm, ".", ".")


def test_a_transient_collection_may_be_missing():
    rules = load(rules_of(rows_of("MultiHeadDotProductAttention")[0], "attn", "attn"))
    assert {"params/attn/**": False, "cache/attn/**": True} == {
        rule.sources[0].text: rule.optional for rule in rules if isinstance(rule, Move)
    }


def test_only_an_array_that_a_layer_may_lack_is_optional():
    rules = load(rules_of(rows_of("SimpleCell")[0], "cell", "cell"))
    assert {"params/cell/i/kernel": False, "params/cell/i/bias": True, "params/cell/h/kernel": False} == {
        rule.sources[0].text: rule.optional for rule in rules
    }


def test_joined_gates_are_one_rule_with_its_sources_in_order_and_a_loss_is_dropped_if_zero():
    *moves, drop = load(rules_of(rows_of("GRUCell")[0], "cell", "cell"))
    assert ["params/cell/ir/kernel", "params/cell/iz/kernel", "params/cell/in/kernel"] == [
        pattern.text for pattern in moves[0].sources
    ]
    assert ["concat"] == [rule_op.op.name for rule_op in moves[0].ops]
    assert isinstance(drop, Drop)
    assert ("params/cell/hn/bias", True) == (drop.sources[0].text, drop.assert_zero)


def test_leaves_without_a_source_are_created():
    (stream,) = load(rules_of(rows_of("RNN")[0], "rnn", "rnn"))
    assert isinstance(stream, Create)
    assert (["rnn/rngs/key", "rnn/rngs/count"], Init("rng", 0), False) == (
        [pattern.text for pattern in stream.targets],
        stream.init,
        stream.optional,
    )
    (stream,) = load(rules_of(rows_of("Dropout")[0], "drop", "drop"))
    assert stream.optional
