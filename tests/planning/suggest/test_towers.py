"""Layers that are numbered through on one side, and split over several lists on the other."""

import pytest

from tests.planning.suggest.trees import moves, suggested


def towers(depth, outputs, *, apart=False):
    """Returns Linen's layers, the lists of NNX, and the true target of each layer."""
    old, new, truth = {}, {}, {}
    for tower, output in outputs.items():
        for index, shape in enumerate(zip([8] + [64] * depth, [64] * depth + [output], strict=True)):
            source = f"params/Dense_{len(truth)}"
            target = f"{tower}_{index}" if apart else f"{tower}/layers/{index}"
            truth[source] = target
            for side, layer in ((old, source), (new, target)):
                side |= {f"{layer}/kernel": shape, f"{layer}/bias": shape[1:]}
    return old, new, truth


def found(suggestion):
    return {s.removesuffix("/kernel"): t.removesuffix("/kernel") for s, t in moves(suggestion).items() if "kernel" in s}


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    "outputs", [{"actor": 4, "critic": 1}, {"actor": 4, "cost": 2, "critic": 1}, {"q1": 1, "q2": 1}]
)
def test_each_list_is_a_run_of_the_numbers_in_both_directions(depth, apart, outputs):
    old, new, truth = towers(depth, outputs, apart=apart)
    there, back = suggested(old, new), suggested(new, old)
    assert truth == found(there)
    assert {target: source for source, target in truth.items()} == found(back)
    assert there.plan.applicable
    assert back.plan.applicable


def test_only_layers_with_a_shape_of_their_own_are_not_in_doubt():
    old, new, _ = towers(3, {"actor": 4, "critic": 1})
    suggestion = suggested(old, new)
    assert {"params/Dense_3", "params/Dense_7"} == {path.rpartition("/")[0] for path in old} - {
        "/".join(path[:-1]) for path in suggestion.doubts
    }
    assert "only their order supports this" in suggestion.text


def test_a_unique_shape_anchors_its_list():
    """The critic comes first in Linen; only its output shows it."""
    old, new, truth = towers(3, {"critic": 1, "actor": 4})
    assert truth == found(suggested(old, new))


def test_small_layers_wait_for_the_blocks_that_hold_them():
    """Norms of three blocks and one more norm: runs of norms would fit, but the blocks are larger."""
    block = {"LayerNorm_0/scale": (4,), "LayerNorm_1/scale": (4,), "Dense_0/kernel": (4, 4)}
    names = {"LayerNorm_0/scale": "ln_a/scale", "LayerNorm_1/scale": "ln_b/scale", "Dense_0/kernel": "fc/kernel"}
    old = {f"params/Block_{i}/{path}": shape for i in range(3) for path, shape in block.items()}
    new = {f"blocks/{i}/{names[path]}": shape for i in range(3) for path, shape in block.items()}
    made = moves(suggested(old | {"params/norm/scale": (4,)}, new | {"norm/scale": (4,)}))
    assert all(made[f"params/Block_{i}/{path}"] == f"blocks/{i}/{names[path]}" for i in range(3) for path in block)
