"""Refactors that lose blocks and layers: what is wrong is in doubt, and the rule file passes its own `check`."""

import pytest

from tests.planning.suggest.laws import faults
from tests.planning.suggest.mutations import Refactor, mutated
from tests.planning.suggest.trees import moves

SEEDS = range(40)
KINDS = {"mean": "BatchStat", "var": "BatchStat"}
NORM = {"scale": "params", "bias": "params", "mean": "batch_stats", "var": "batch_stats"}


def refactor(pairs):
    """A refactor from `(collection/old path, new path, shape)`."""
    old, new, truth = {}, {}, {}
    for source, target, shape in pairs:
        old[source], new[target], truth[target] = shape, shape, source
    return Refactor(old, new, truth, {path: KINDS.get(path.rpartition("/")[2], "Param") for path in new})


def norm(old, new, width):
    return [(f"{where}/{old}/{name}", f"{new}/{name}", (width,)) for name, where in NORM.items()]


def convolutions():
    """Blocks of a convolution and a norm, as in a denoiser."""
    pairs = [
        ("params/conv_start/kernel", "first/kernel", (3, 3, 1, 8)),
        ("params/conv_end/kernel", "last/kernel", (3, 3, 8, 1)),
    ]
    for i in range(4):
        old, new = f"ConvBNBlock_{i}", f"blocks/{i}"
        pairs += [(f"params/{old}/Conv_0/kernel", f"{new}/conv/kernel", (3, 3, 8, 8))]
        pairs += norm(f"{old}/BatchNorm_0", f"{new}/norm", 8)
    return refactor(pairs)


def transformer():
    """Blocks of attention and a network of two layers."""
    pairs = [("params/Embed_0/embedding", "embed/embedding", (11, 4))]
    for i in range(3):
        old, new = f"params/EncoderBlock_{i}", f"layers/{i}"
        for name in ("query", "key", "value", "out"):
            pairs += [
                (
                    f"{old}/attention/{name}/kernel",
                    f"{new}/attn/{name}/kernel",
                    (4, 2, 2) if name != "out" else (2, 2, 4),
                )
            ]
        for at, (name, shape) in enumerate((("up", (4, 16)), ("down", (16, 4)))):
            pairs += [
                (f"{old}/Dense_{at}/kernel", f"{new}/mlp/{name}/kernel", shape),
                (f"{old}/Dense_{at}/bias", f"{new}/mlp/{name}/bias", shape[1:]),
            ]
        for at in range(2):
            pairs += [
                (f"{old}/LayerNorm_{at}/{name}", f"{new}/norm{at + 1}/{name}", (4,)) for name in ("scale", "bias")
            ]
    return refactor(pairs)


def stages():
    """Blocks in stages, numbered through on the old side."""
    pairs = []
    for i in range(4):
        for at in range(2):
            pairs += [
                (f"params/Block_{i}/Conv_{at}/kernel", f"stages/{i // 2}/{i % 2}/conv{at + 1}/kernel", (3, 3, 6, 6))
            ]
            pairs += norm(f"Block_{i}/BatchNorm_{at}", f"stages/{i // 2}/{i % 2}/bn{at + 1}", 6)
    return refactor(
        [*pairs, ("params/Dense_0/kernel", "head/kernel", (6, 10)), ("params/Dense_0/bias", "head/bias", (10,))]
    )


@pytest.mark.parametrize("make", [convolutions, transformer, stages])
def test_without_a_mutation_every_leaf_has_its_source(make):
    whole = make()
    assert whole.truth == {target: source for source, target in moves(whole.suggestion()).items()}


@pytest.mark.sample(7)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [convolutions, transformer, stages])
def test_what_is_wrong_is_in_doubt_and_the_file_passes_its_own_check(make, seed):
    changed = mutated(make(), seed)
    suggestion = changed.suggestion()
    assert ([], []) == (changed.silent(suggestion), list(faults(suggestion)))


def test_what_is_left_of_a_block_names_the_block():
    whole = convolutions()
    lost = "params/ConvBNBlock_0/Conv_0/kernel"
    old = {path: shape for path, shape in whole.old.items() if path != lost}
    suggestion = Refactor(old, whole.new, whole.truth, whole.kinds).suggestion()
    doubts = suggestion.doubts[("params", "ConvBNBlock_0", "BatchNorm_0", "scale")]
    assert any("has no counterpart as a whole" in doubt.why for doubt in doubts)
