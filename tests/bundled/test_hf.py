"""Weights under Hugging Face's names, migrated into NNX models: they compute what the architecture's formulas say."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from fixtures.models import gpt2, llama
from tests.bundled.migrating import apply, close, nested, outputs, restored, run, save
from tests.oracle import published

RNG = np.random.default_rng(0)
TOKENS = np.array([[3, 1, 4, 1, 5, 9, 2, 6], [28, 0, 27, 7, 7, 1, 3, 2]])
GPT2, LLAMA = gpt2.Config(), llama.Config()


def normal(*shape):
    return RNG.normal(scale=0.4, size=shape).astype(np.float32)


def gpt2_weights():
    c = GPT2
    shapes = {"wte.weight": (c.vocabulary, c.features), "wpe.weight": (c.length, c.features)}
    for i in range(c.blocks):
        for name, size in {
            "attn.c_attn": (c.features, 3 * c.features),
            "attn.c_proj": (c.features, c.features),
            "mlp.c_fc": (c.features, 4 * c.features),
            "mlp.c_proj": (4 * c.features, c.features),
            "ln_1": (c.features,),
            "ln_2": (c.features,),
        }.items():
            shapes[f"h.{i}.{name}.weight"], shapes[f"h.{i}.{name}.bias"] = size, size[-1:]
    shapes["ln_f.weight"] = shapes["ln_f.bias"] = (c.features,)
    return {name: normal(*shape) for name, shape in shapes.items()}


def llama_weights(*, tied=False):
    c = LLAMA
    size = c.features // c.heads
    shapes = {"model.embed_tokens.weight": (c.vocabulary, c.features), "model.norm.weight": (c.features,)}
    for i in range(c.blocks):
        for name, shape in {
            "self_attn.q_proj": (c.heads * size, c.features),
            "self_attn.k_proj": (c.groups * size, c.features),
            "self_attn.v_proj": (c.groups * size, c.features),
            "self_attn.o_proj": (c.features, c.heads * size),
            "mlp.gate_proj": (c.hidden, c.features),
            "mlp.up_proj": (c.hidden, c.features),
            "mlp.down_proj": (c.features, c.hidden),
            "input_layernorm": (c.features,),
            "post_attention_layernorm": (c.features,),
        }.items():
            shapes[f"model.layers.{i}.{name}.weight"] = shape
    if not tied:
        shapes["lm_head.weight"] = (c.vocabulary, c.features)
    return {name: normal(*shape) for name, shape in shapes.items()}


def in_safetensors(path, weights):
    """A file as Hugging Face publishes it."""
    file = path.with_suffix(".safetensors")
    save_file(weights, file)
    return file


def in_orbax(path, weights):
    """The same names in an Orbax checkpoint, a level for each dot."""
    return save(path, nested(weights, "."))


FORMS = pytest.mark.parametrize("form", [in_safetensors, in_orbax])


@FORMS
def test_gpt2_computes_what_its_formulas_say(form, tmp_path):
    weights = gpt2_weights()
    buffers = {f"h.{i}.attn.bias": np.tril(np.ones((1, 1, 16, 16), bool)) for i in range(GPT2.blocks)}
    old = form(tmp_path / "old", {**weights, **buffers})
    new = apply("hf/gpt2-to-nnx", old, tmp_path / "new", "--template", "fixtures.models.gpt2:make_model")
    expected = np.stack([published.gpt2(weights, row, GPT2.heads) for row in TOKENS])
    close(expected, outputs(restored(new, "fixtures.models.gpt2:make_model"), TOKENS))


@pytest.mark.matrix
def test_gpt2_below_transformer_is_the_same(tmp_path):
    weights = gpt2_weights()
    old = save(tmp_path / "old", nested({f"transformer.{name}": array for name, array in weights.items()}, "."))
    new = apply("hf/gpt2-to-nnx", old, tmp_path / "new", "--template", "fixtures.models.gpt2:make_model")
    close(
        published.gpt2(weights, TOKENS[0], GPT2.heads),
        outputs(restored(new, "fixtures.models.gpt2:make_model"), TOKENS[:1])[0],
    )


def test_a_head_of_its_own_is_not_dropped_in_silence(tmp_path):
    weights = {**gpt2_weights(), "lm_head.weight": normal(GPT2.vocabulary, GPT2.features)}
    old = save(tmp_path / "old", nested(weights, "."))
    result = run("apply", "hf/gpt2-to-nnx", old, tmp_path / "new", "--template", "fixtures.models.gpt2:make_model")
    assert 1 == result.exit_code
    assert "`lm_head/weight`" in result.output


@FORMS
@pytest.mark.sample(3)
@pytest.mark.parametrize("tied", [False, True], ids=["with a head", "tied"])
def test_llama_computes_what_its_formulas_say(tied, form, tmp_path):
    weights = llama_weights(tied=tied)
    buffers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": normal(3) for i in range(LLAMA.blocks)}
    template = f"fixtures.models.llama:{'make_tied_model' if tied else 'make_model'}"
    old = form(tmp_path / "old", {**weights, **buffers})
    new = apply("hf/llama-to-nnx", old, tmp_path / "new", "--template", template)
    expected = [published.llama(weights, row, LLAMA.heads, LLAMA.theta, LLAMA.epsilon) for row in TOKENS]
    close(np.stack(expected), outputs(restored(new, template), TOKENS))


def test_a_llama_with_a_head_does_not_go_into_a_tied_one(tmp_path):
    old = save(tmp_path / "old", nested(llama_weights(), "."))
    template = "fixtures.models.llama:make_tied_model"
    result = run("apply", "hf/llama-to-nnx", old, tmp_path / "new", "--template", template)
    assert 1 == result.exit_code
    assert "`head/kernel` is not in the template" in result.output
