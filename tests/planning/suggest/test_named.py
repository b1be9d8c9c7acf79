"""Modules of one name on both sides."""

import pytest

from migrate.planning.suggest.named import names_agree, same_name
from migrate.tree import parse_path
from tests.planning.suggest.trees import moves, suggested


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("attn/query", "attention/q_proj", True),
        ("attn/query", "attn/key", False),
        ("attn", "attn/query", False),
        ("Dense_1", "Dense_1", True),
        ("Dense_1", "fc1", False),
        ("hidden_1", "hidden1", True),
        ("hidden_1", "hidden_2", False),
    ],
)
def test_names_agree_segment_by_segment(one, other, same):
    assert same == same_name(parse_path(one), parse_path(other))


def test_indices_of_lists_do_not_matter_for_the_comment():
    assert names_agree(("blocks", "3", "attn", "kernel"), ("layers", "0", "attention", "kernel"))
    assert not names_agree(("blocks", "3", "attn", "kernel"), ("blocks", "3", "mlp", "kernel"))


def test_a_module_that_gained_a_leaf_keeps_its_layers_together():
    """Towers of one structure, of which one gained an array in each block."""
    names = {"LayerNorm_0/scale": "ln_a/scale", "LayerNorm_1/scale": "ln_b/scale", "Dense_0/kernel": "fc/kernel"}
    shapes = {"LayerNorm_0/scale": (4,), "LayerNorm_1/scale": (4,), "Dense_0/kernel": (4, 4)}
    old = {f"params/{t}/Block_{i}/{p}": s for t in ("encoder", "decoder") for i in range(2) for p, s in shapes.items()}
    new = {f"{t}/blocks/{i}/{names[p]}": s for t in ("encoder", "decoder") for i in range(2) for p, s in shapes.items()}
    made = moves(suggested(old, new | {f"decoder/blocks/{i}/positions": (7, 4) for i in range(2)}))
    for source, target in made.items():
        _, tower, block, *rest = source.split("/")
        assert f"{tower}/blocks/{block.removeprefix('Block_')}/{names['/'.join(rest)]}" == target


def test_an_array_of_one_named_module_does_not_become_one_of_another():
    old = {"params/image/conv/kernel": (3, 4), "params/image/table": (5,), "params/text/dense/kernel": (6, 4)}
    old |= {"params/image/norm/scale": (4,), "params/text/norm/scale": (4,)}
    new = {"image/conv/kernel": (3, 4), "text/dense/kernel": (6, 4), "text/table": (5,)}
    new |= {"image/norm/scale": (4,), "text/norm/scale": (4,)}
    suggestion = suggested(old, new)
    assert ((("params", "image", "table"),), (("text", "table"),)) == (
        suggestion.unplaced_sources,
        suggestion.unplaced_targets,
    )
