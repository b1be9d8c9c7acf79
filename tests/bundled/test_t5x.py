"""Checkpoints with T5X's names, layers apart and scanned, migrated into one NNX model."""

import numpy as np
import pytest

from fixtures.models.t5_decoder import Config
from tests.bundled.migrating import apply, close, leaves, nested, outputs, restored, save
from tests.oracle import published

C = Config()
RNG = np.random.default_rng(1)
TEMPLATE = "fixtures.models.t5_decoder:make_model"
TOKENS = np.array([[3, 1, 4, 1, 5, 9, 2, 6], [22, 0, 17, 7, 7, 1, 3, 2]])


def normal(*shape):
    return RNG.normal(scale=0.4, size=shape).astype(np.float32)


def target():
    joined = C.heads * C.size
    shapes = {
        "token_embedder/embedding": (C.vocabulary, C.features),
        "decoder/relpos_bias/rel_embedding": (C.heads, C.reach),
        "decoder/decoder_norm/scale": (C.features,),
        "decoder/logits_dense/kernel": (C.features, C.vocabulary),
    }
    for i in range(C.layers):
        at = f"decoder/layers_{i}"
        shapes |= {f"{at}/self_attention/{n}/kernel": (C.features, joined) for n in ("query", "key", "value")}
        shapes[f"{at}/self_attention/out/kernel"] = (joined, C.features)
        shapes |= {f"{at}/mlp/{n}/kernel": (C.features, C.hidden) for n in ("wi_0", "wi_1")}
        shapes[f"{at}/mlp/wo/kernel"] = (C.hidden, C.features)
        shapes |= {f"{at}/pre_{n}_layer_norm/scale": (C.features,) for n in ("self_attention", "mlp")}
    return {name: normal(*shape) for name, shape in shapes.items()}


def adafactor(params):
    """Factored moments of matrices, whole ones of vectors; unused slots are of one element, as T5X writes them."""
    slots = {}
    for name, array in params.items():
        factored = array.ndim == 2
        slots[f"{name}/v_row"] = np.abs(array).mean(-1) if factored else np.zeros(1, np.float32)
        slots[f"{name}/v_col"] = np.abs(array).mean(0) if factored else np.zeros(1, np.float32)
        slots[f"{name}/v"] = np.zeros(1, np.float32) if factored else np.abs(array)
        slots[f"{name}/m"] = np.zeros(1, np.float32)
    return slots


def scanned(params):
    """Layers along the second axis of every array, below `decoder/decoder`."""
    apart = {name: array for name, array in params.items() if "/layers_" not in name}
    below = {name.split("/", 2)[2] for name in params if "/layers_" in name}
    joined = {
        f"decoder/decoder/{name}": np.stack([params[f"decoder/layers_{i}/{name}"] for i in range(C.layers)], axis=1)
        for name in below
    }
    return {**apart, **joined}


def in_orbax(target, state):
    return {"target": target, "state": state}


def in_its_own_format(target, state):
    """The tree of T5X's own checkpoints."""
    return {"optimizer": in_orbax(target, state), "version": np.int32(3)}


@pytest.mark.sample(3)
@pytest.mark.parametrize("tree", [in_orbax, in_its_own_format])
@pytest.mark.parametrize(
    ("rules", "form"), [("t5x/to-nnx", dict), ("t5x/scanned-to-nnx", scanned)], ids=["apart", "scanned"]
)
def test_the_decoder_computes_what_its_formulas_say(rules, form, tree, tmp_path):
    params = target()
    saved = form(params)
    state = {"step": np.int32(1000), "param_states": nested(adafactor(saved))}
    old = save(tmp_path / "old", tree(nested(saved), state))
    new = apply(rules, old, tmp_path / "new", "--template", TEMPLATE)
    expected = np.stack([published.t5x_decoder(params, row, C.heads) for row in TOKENS])
    close(expected, outputs(restored(new, TEMPLATE), TOKENS))


def test_both_forms_of_a_checkpoint_become_the_same_bits(tmp_path):
    params = target()
    apart = apply(
        "t5x/to-nnx", save(tmp_path / "a", {"target": nested(params)}), tmp_path / "apart", "--template", TEMPLATE
    )
    old = save(tmp_path / "b", {"target": nested(scanned(params))})
    joined = apply("t5x/scanned-to-nnx", old, tmp_path / "joined", "--template", TEMPLATE)
    one, other = leaves(apart), leaves(joined)
    assert {name: value.tobytes() for name, value in one.items()} == {n: v.tobytes() for n, v in other.items()}
