"""Traps that Flax and Orbax leave open when a checkpoint meets another model: first the trap, then what migrate says.

Where the first half of a test fails, upstream has closed the trap.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import orbax.checkpoint.experimental.v1 as ocp1
import pytest
from flax import nnx

import migrate
from migrate.template import restore_target
from tests.traps import models
from tests.traps.conftest import MODELS


def state(model):
    return nnx.state(getattr(models, model)(nnx.Rngs(0)))


def findings(result):
    return {found["code"]: found for found in json.loads(result.stdout)["diagnostics"]}


def test_nnx_update_takes_any_shape_and_migrate_none(run, save, rules, tmp_path):
    model = models.Single(nnx.Rngs(0))
    nnx.update(model, nnx.State({"linear": {"kernel": nnx.Param(jnp.zeros((7, 5)))}}))
    assert (7, 5) == model.linear.kernel.shape

    old = save("old", {"linear": {"kernel": jnp.zeros((7, 5)), "bias": jnp.zeros(3)}})
    found = findings(run("apply", rules("Single", "  []\n"), old, tmp_path / "new", "--json"))
    assert ["linear/kernel"] == found["M301"]["paths"]
    assert "float32[7,5]" in found["M301"]["message"]
    assert "float32[2,3]" in found["M301"]["message"]


def test_nnx_merge_takes_any_shape_and_migrate_verifies_it(run, save):
    graph, good = nnx.split(models.Single(nnx.Rngs(0)))
    bad = jax.tree.map(lambda leaf: jnp.zeros((9, *leaf.shape)), good)
    assert (9, 2, 3) == nnx.merge(graph, bad).linear.kernel.shape

    result = run("verify", save("new", bad), "--template", f"{MODELS}:Single", "--json")
    assert 1 == result.exit_code
    assert {"linear/bias", "linear/kernel"} == set(findings(result)["M505"]["paths"])


def test_nnx_update_takes_a_dict_for_a_value_and_migrate_takes_the_box_off(run, save, rules, tmp_path):
    model = models.Single(nnx.Rngs(0))
    saved = {"linear": {name: {"value": jnp.ones(shape)} for name, shape in {"kernel": (2, 3), "bias": (3,)}.items()}}
    nnx.update(model, saved)
    assert {"value"} == model.linear.kernel.get_value().keys()

    assert 0 == run("apply", rules("Single", "  []\n"), save("old", saved), tmp_path / "new").exit_code
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "new", restore_target(f"{MODELS}:Single"))
    np.testing.assert_array_equal(np.ones((2, 3)), restored["linear"]["kernel"].get_value())


def test_partial_restore_restores_nothing_without_a_word_and_migrate_names_every_leaf(run, save, rules, tmp_path):
    old = save("old", {"Dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}})
    wanted = {"linear": {"kernel": jax.ShapeDtypeStruct((2, 3), jnp.float32)}}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        args = ocp.args.PyTreeRestore(wanted, ocp.checkpoint_utils.construct_restore_args(wanted), partial_restore=True)
        restored = checkpointer.restore(old, args=args)
    assert isinstance(restored["linear"]["kernel"], jax.ShapeDtypeStruct)

    result = run("apply", rules("Single", "  []\n"), old, tmp_path / "new", "--json")
    payload = json.loads(result.stdout)
    assert 1 == result.exit_code
    assert ["linear/bias", "linear/kernel"] == payload["missing"]
    assert ["Dense_0/bias", "Dense_0/kernel"] == payload["unexpected"]


def test_orbax_rounds_to_the_dtype_of_the_template_and_migrate_asks_first(run, save, rules, tmp_path):
    exact = {"linear": {"kernel": jnp.full((2, 3), 1.001), "bias": jnp.ones(3)}}
    old = save("old", jax.tree.map(lambda array: {"value": array}, exact))
    with ocp.StandardCheckpointer() as checkpointer:
        rounded = checkpointer.restore(old, restore_target(f"{MODELS}:Half"))["linear"]["kernel"].get_value()
    assert jnp.bfloat16 == rounded.dtype
    assert 1.0 == float(rounded[0, 0])

    refused = findings(run("apply", rules("Half", "  []\n"), old, tmp_path / "new", "--json"))
    assert {"M302"} == refused.keys()
    cast = '  - {from: "{p:**}", to: "{p}", ops: [{cast: template}]}\n'
    refused = run("apply", rules("Half", cast), old, tmp_path / "new")
    assert 1 == refused.exit_code
    assert "error[M503]" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_nnx_eval_shape_drops_bare_arrays_and_migrate_writes_them_and_says_so(run, save, rules, tmp_path):
    real = state("Normed")
    abstract = nnx.state(nnx.eval_shape(lambda: models.Normed(nnx.Rngs(0))))
    assert len(jax.tree.leaves(abstract)) < len(jax.tree.leaves(real))

    old = save("old", real)
    result = run("apply", rules("Normed", "  []\n"), old, tmp_path / "new", "--json")
    assert 0 == result.exit_code
    assert "linear/scales/" in findings(result)["M413"]["message"]
    with migrate.open_checkpoint(tmp_path / "new") as new:
        assert len(jax.tree.leaves(real)) == len(new.tree.leaves)


def test_annotated_models_cannot_be_built_without_their_mesh_and_migrate_builds_them(run, save, rules, tmp_path):
    with pytest.raises(ValueError, match="auto mesh context"):
        nnx.eval_shape(lambda: models.Sharded(nnx.Rngs(0)))

    old = save("old", {"linear": {"kernel": jnp.ones((4, 8)), "bias": jnp.ones(8)}})
    assert 0 == run("apply", rules("Sharded", "  []\n"), old, tmp_path / "new").exit_code
    assert 0 == run("verify", tmp_path / "new", "--template", f"{MODELS}:Sharded").exit_code


@pytest.fixture
def module_with_a_list(save):
    """A module that was saved as it is, without `nnx.state`, and where it was saved."""
    model = models.Layers(nnx.Rngs(0))
    return model, save("old", model)


WAYS = {
    "untyped": lambda path: ocp.StandardCheckpointer().restore(path),
    "typed": lambda path: ocp.StandardCheckpointer().restore(path, nnx.eval_shape(lambda: models.Layers(nnx.Rngs(0)))),
    "pytree": lambda path: ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore(path),
    "v1": lambda path: ocp1.load(path),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_orbax_saves_a_module_with_a_list_that_it_cannot_restore(way, module_with_a_list):
    with pytest.raises(TypeError, match="'<' not supported between instances of 'str' and 'int'"):
        way(module_with_a_list[1])


def test_migrate_reads_a_module_with_a_list(module_with_a_list, run, rules, tmp_path):
    model, old = module_with_a_list
    result = run("apply", rules("Layers", "  []\n"), old, tmp_path / "new")
    assert 0 == result.exit_code, result.output
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "new", restore_target(f"{MODELS}:Layers"))
    expected, actual = (nnx.to_pure_dict(state) for state in (nnx.state(model), restored))
    assert list(range(12)) == list(actual["layers"])
    jax.tree.map(np.testing.assert_array_equal, expected, actual)


def test_orbax_gives_layers_in_the_order_of_their_text_and_migrate_stacks_them_by_number(run, save, rules, tmp_path):
    numbered = {str(i): {"kernel": jnp.full((2, 3), i), "bias": jnp.full(3, i)} for i in range(12)}
    old = save("old", {"layers": jax.tree.map(lambda array: array.astype(jnp.float32), numbered)})
    with ocp.StandardCheckpointer() as checkpointer:
        untyped = checkpointer.restore(old)
    naive = np.stack([layer["bias"] for layer in untyped["layers"].values()])[:, 0]
    assert [0, 1, 10, 11, 2] == naive[:5].tolist()

    stack = '  - {from: "layers/{i}/{n}", to: "{n}", ops: [{stack: {axis: 0, over: i}}]}\n'
    assert 0 == run("apply", rules("Stacked", stack), old, tmp_path / "new").exit_code
    with migrate.open_checkpoint(tmp_path / "new") as new:
        assert list(range(12)) == new.read("bias")[:, 0].tolist()
        assert list(range(12)) == new.read("kernel")[:, 1, 2].tolist()
