"""NNX checkpoints of Flax 0.8 and 0.10 become today's: the same outputs, and the same next step of training."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from fixtures.models import cnn
from tests.bundled.migrating import apply, close, leaves, outputs, restored, same, save
from tests.oracle.cnn import expected_leaves_of_nnx, expected_leaves_of_pure_dict
from tests.oracle.values import FIXTURES

ERAS = ["nnx_mid_2024", "nnx_2025"]


@nnx.jit
def gradients_of(model, tokens):
    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(tokens[:, :-1]), tokens[:, 1:]).mean()

    return nnx.grad(loss)(model)


@nnx.jit
def update_part(optimizer, model, gradients):
    optimizer.update(model, gradients)


@nnx.jit
def update_whole(optimizer, gradients):
    optimizer.update(gradients)


def goes_on(era, model, update):
    """Outputs without dropout, before and after one more step, as the old version computed them."""
    with np.load(FIXTURES / era / "lm_optimizer/golden.npz") as golden:
        model.eval()
        close(golden["out_logits"], outputs(model, golden["in_tokens"]))
        update(gradients_of(model, golden["in_train_tokens"]))
        close(golden["out_logits_after_step"], outputs(model, golden["in_tokens"]))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.matrix
def test_an_optimizer_and_the_model_in_it_part_and_go_on_training(era, tmp_path):
    template = "fixtures.models.nnx_lm:make_state"
    old = FIXTURES / era / "lm_optimizer/ckpt"
    new = apply("nnx/optimizer-to-current", old, tmp_path / "new", "--template", template)
    parts = restored(new, template)
    goes_on(era, parts["model"], lambda gradients: update_part(parts["optimizer"], parts["model"], gradients))


@pytest.mark.parametrize("era", ERAS)
def test_an_optimizer_that_still_holds_its_model_keeps_every_name(era, tmp_path):
    template = "fixtures.models.nnx_lm:make_model_and_optimizer"
    old = FIXTURES / era / "lm_optimizer/ckpt"
    new = apply("nnx/to-current", old, tmp_path / "new", "--template", template)
    before = {name: value for name, value in leaves(old).items() if "/rngs/" not in name}
    same(before, {name: value for name, value in leaves(new).items() if "/rngs/" not in name})
    optimizer = restored(new, template)
    goes_on(era, optimizer.model, lambda gradients: update_whole(optimizer, gradients))


@pytest.mark.matrix
def test_random_streams_begin_anew_in_every_layer_that_has_one(tmp_path):
    template = "fixtures.models.nnx_lm:make_state"
    old = FIXTURES / "nnx_2025/lm_optimizer/ckpt"
    assert {"model/attn/rngs/default/key", "model/attn/rngs/default/count"} < leaves(old).keys()
    new = apply("nnx/optimizer-to-current", old, tmp_path / "new", "--template", template)
    model = restored(new, template)["model"]
    model.train()
    tokens = np.zeros((1, 12), np.int32)
    assert np.any(model(tokens) != model(tokens))
    words = {jax.random.key_data(layer.rngs.key.get_value()).tobytes() for layer in (model.attn, model.dropout)}
    assert 2 == len(words)


class WithStreams(nnx.Module):
    """A model that keeps its `Rngs`, which its dropout shared with it until Flax 0.10."""

    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.linear = nnx.Linear(2, 2, rngs=rngs)
        self.rngs = rngs


def make_with_streams():
    return WithStreams(nnx.Rngs(0, dropout=1))


def test_a_model_that_keeps_its_streams_gets_new_ones_as_well(tmp_path):
    streams = {name: {"key": np.ones(2, np.uint32), "count": np.uint32(7)} for name in ("default", "dropout")}
    linear = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    old = save(tmp_path / "old", {"dropout": {"rngs": streams}, "linear": linear})
    template = f"{__name__}:make_with_streams"
    found = leaves(apply("nnx/to-current", old, tmp_path / "new", "--template", template))
    stored = {"dropout/rngs", "rngs/default", "rngs/dropout"}
    assert {f"{at}/{part}" for at in stored for part in ("key", "count")} < found.keys()
    assert {0} == {int(value) for name, value in found.items() if name.endswith("count")}


def test_the_cnn_of_2024_goes_the_same_way_bit_for_bit(tmp_path):
    old, template = FIXTURES / "nnx_2024/cnn_optimizer/ckpt", "fixtures.models.cnn:make_state"
    new = apply("nnx/optimizer-to-current", old, tmp_path / "new", "--template", template)
    same({"/".join(path): value for path, value in expected_leaves_of_nnx().items()}, leaves(new))


def test_a_pure_dict_of_2024_does_too(tmp_path):
    old, template = FIXTURES / "nnx_2024/cnn_pure_dict/ckpt", f"{cnn.__name__}:make_model"
    new = apply("nnx/to-current", old, tmp_path / "new", "--template", template)
    same({"/".join(path): value for path, value in expected_leaves_of_pure_dict().items()}, leaves(new))
