import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn
from flax import nnx
from flax.training.train_state import TrainState

from migrate.knowledge.naming import COLLECTIONS, LIFTS, auto_name, training_state


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        return nn.Dense(2)(x), None


class Scanner(Block):
    pass


SCAN = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "length": 3}
STACKED = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "in_axes": None, "axis_size": 3}
LIFTED = {
    "nothing": (lambda cls: cls, Block, (), "Block"),
    "nn.scan": (lambda cls: nn.scan(cls, **SCAN), Block, ("nn.scan",), "Block"),
    "nn.remat": (nn.remat, Block, ("nn.remat",), "Block"),
    "nn.scan of nn.remat": (lambda cls: nn.scan(nn.remat(cls), **SCAN), Block, ("nn.scan", "nn.remat"), "Block"),
    "nn.vmap": (lambda cls: nn.vmap(cls, **STACKED), Block, ("nn.vmap",), "Block"),
    "nn.jit": (nn.jit, Block, ("nn.jit",), "Block"),
    "a class whose name begins like a lift": (lambda cls: cls, Scanner, (), "Scanner"),
    "a lift of such a class": (lambda cls: nn.scan(cls, **SCAN), Scanner, ("nn.scan",), "Scanner"),
}


@pytest.mark.parametrize("lift", LIFTED)
def test_a_name_that_linen_gave_says_the_class_its_number_and_how_it_was_lifted(lift):
    transform, cls, transforms, name = LIFTED[lift]

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            made = transform(cls)
            made()(x, None)
            return made()(x, None)

    params = jax.eval_shape(Model().init, jax.random.key(0), jnp.ones((1, 2)))["params"]
    names = [auto_name(segment) for segment in params]
    assert [(transforms, name, 0), (transforms, name, 1)] == [
        (tuple(lift.transform for lift in one.lifts), one.cls, one.index) for one in names
    ]
    plain = jax.eval_shape(cls().init, jax.random.key(0), jnp.ones((1, 2)))["params"]["Dense_0"]["kernel"].ndim
    for segment, one in zip(params, names, strict=True):
        gained = params[segment]["Dense_0"]["kernel"].ndim - plain
        assert sum(lift.axes for lift in one.lifts) == gained


@pytest.mark.parametrize("chosen", ["encoderblock_1", "head", "layers_0", "Dense", "0"])
def test_a_name_that_somebody_chose_says_nothing(chosen):
    assert auto_name(chosen) is None


def test_every_collection_has_its_variable_in_nnx():
    kinds = {name: nnx.variable_name_from_type(getattr(nnx, kind)) for name, kind in COLLECTIONS.items()}
    assert {name: name for name in COLLECTIONS} == kinds


def top(tree) -> frozenset[str]:
    return frozenset(map(str, nnx.to_pure_dict(tree) if isinstance(tree, nnx.State) else tree))


def states():
    model, adam = nnx.Linear(2, 2, rngs=nnx.Rngs(0)), optax.adam(1e-3)
    yield "nnx.Optimizer", top(nnx.state(nnx.Optimizer(model, adam, wrt=nnx.Param)))
    yield "nnx.Optimizer", top(nnx.state(nnx.Optimizer(model, optax.sgd(1e-3), wrt=nnx.Param)))
    yield "nnx.ModelAndOptimizer", top(nnx.state(nnx.ModelAndOptimizer(model, adam, wrt=nnx.Param)))
    variables = nn.Dense(2).init(jax.random.key(0), jnp.ones((1, 2)))
    yield "Linen variables", top(variables)
    state = TrainState.create(apply_fn=None, params=variables["params"], tx=adam)
    yield "flax.training TrainState", frozenset({"step", "params", "opt_state"}) & frozenset(vars(state))


def test_training_states_are_told_by_the_names_at_their_top():
    for expected, names in states():
        assert expected == training_state(names).name
    assert training_state(frozenset({"encoder", "decoder"})) is None


def test_every_lift_is_a_transformation_of_linen():
    assert [] == [lift.transform for lift in LIFTS if not hasattr(nn, lift.transform.removeprefix("nn."))]


def test_a_name_that_no_training_state_has_makes_another_tree():
    names = {"params", "opt_state", "step"}
    assert "flax.training TrainState" == training_state(frozenset(names)).name
    assert training_state(frozenset({*names, "something"})) is None
    assert training_state(frozenset({"params", "opt_state"})) is None
