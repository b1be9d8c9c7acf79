"""Traps that every shape check lets pass: first the trap, then the probe that finds it."""

import json

import jax
import numpy as np
import pytest
from flax import nnx

from tests.traps import models
from tests.traps.conftest import MODELS

PROBE = ("--probe", f"{MODELS}:mlp_probe")
BY_NUMBER = '  - "params/Dense_0/** -> up/**"\n  - "params/Dense_1/** -> down/**"\n'
BY_USE = '  - "params/Dense_1/** -> up/**"\n  - "params/Dense_0/** -> down/**"\n'


@pytest.fixture(scope="module")
def linen_mlp():
    return jax.jit(models.LinenMlp().init)(jax.random.key(0), models.X)


@pytest.fixture
def mlp(linen_mlp, save):
    return save("old", linen_mlp)


def test_linen_numbers_layers_as_they_are_made_and_not_as_they_are_called(linen_mlp):
    seen = models.LinenMlp().apply(linen_mlp, models.X, capture_intermediates=True, mutable=True)[1]["intermediates"]
    np.testing.assert_array_equal(seen["__call__"][0], seen["Dense_0"]["__call__"][0])


def test_layers_of_one_shape_in_the_wrong_order_pass_every_check_and_are_called_unproved(run, rules, mlp, tmp_path):
    result = run("apply", rules("Mlp", BY_NUMBER), mlp, tmp_path / "new", "--verify", "full", "--json")
    payload = json.loads(result.stdout)
    assert (0, 4) == (result.exit_code, payload["proof"]["none"])
    model = models.Mlp(nnx.Rngs(0))
    assert models.X.shape == model(models.X).shape  # nothing about shapes tells


def test_the_probe_names_the_first_layer_that_is_wrong_and_its_rule(run, rules, mlp, tmp_path):
    result = run("apply", rules("Mlp", BY_NUMBER), mlp, tmp_path / "new", *PROBE)
    assert 1 == result.exit_code
    assert f"error[M513]: `{MODELS}:mlp_probe`: layer `up`: max |old − new| = " in result.stderr
    assert '4 |   - "params/Dense_0/** -> up/**"' in result.stderr
    assert not (tmp_path / "new").exists()


def test_the_right_order_passes_the_probe(run, rules, mlp, tmp_path):
    result = run("apply", rules("Mlp", BY_USE), mlp, tmp_path / "new", *PROBE, "--require-proof")
    assert 0 == result.exit_code, result.output
    assert "Leaves: 4 proved by value.\n" in result.stdout


def test_a_square_kernel_that_should_have_been_transposed_is_unproved_and_found_by_the_probe(run, rules, mlp, tmp_path):
    turned = BY_USE.replace('"params/Dense_0/** -> down/**"', '"params/Dense_0/bias -> down/bias"')
    turned += "  - {from: params/Dense_0/kernel, to: down/kernel, ops: [transpose]}\n"
    assert 0 == run("apply", rules("Mlp", turned), mlp, tmp_path / "new", "-n").exit_code
    result = run("apply", rules("Mlp", turned), mlp, tmp_path / "new", *PROBE)
    assert 1 == result.exit_code
    assert "layer `down`: max |old − new| = " in result.stderr
    assert "of 2 pairs; the 1 before it agree" in result.stderr


GRU = """\
  - from: [params/cell/ir/kernel, params/cell/iz/kernel, params/cell/in/kernel]
    to: cell/dense_i/kernel
    ops: [{concat: {axis: 1}}]
  - from: [params/cell/ir/bias, params/cell/iz/bias, params/cell/in/bias]
    to: cell/dense_i/bias
    ops: [{concat: {axis: 0}}]
  - from: [params/cell/hr/kernel, params/cell/hz/kernel, params/cell/hn/kernel]
    to: cell/dense_h/kernel
    ops: [{concat: {axis: 1}}]
"""
CAREFUL = GRU + "  - drop: {from: params/cell/hn/bias, assert: zero}\n"
CARELESS = GRU + "  - drop: params/cell/hn/bias\n"
GRU_PROBE = ("--probe", f"{MODELS}:gru_probe")


@pytest.fixture(scope="module")
def linen_gru():
    return jax.jit(models.LinenGru().init)(jax.random.key(0), models.X)


@pytest.fixture
def gru(linen_gru, save):
    """`gru(bias)`: a Linen GRU whose hidden bias has this value."""

    def make(bias):
        variables = jax.tree.map(np.asarray, linen_gru)
        variables["params"]["cell"]["hn"]["bias"] = variables["params"]["cell"]["hn"]["bias"] + np.float32(bias)
        return save("old", variables)

    return make


def test_the_gru_of_nnx_has_no_place_for_a_bias_that_the_linen_gru_trains(linen_gru):
    cell = nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda: models.Gru(nnx.Rngs(0)))))["cell"]
    assert {"kernel", "bias"} == linen_gru["params"]["cell"]["hn"].keys()
    assert {"dense_i", "dense_h"} == cell.keys()
    assert {"kernel"} == cell["dense_h"].keys()


def test_a_bias_without_a_place_has_to_be_accounted_for(run, rules, gru, tmp_path):
    result = run("apply", rules("Gru", GRU), gru(0), tmp_path / "new", "--json")
    assert ["params/cell/hn/bias"] == json.loads(result.stdout)["unexpected"]


def test_a_bias_that_is_zero_may_be_left_behind_and_the_models_compute_the_same(run, rules, gru, tmp_path):
    result = run("apply", rules("Gru", CAREFUL), gru(0), tmp_path / "new", *GRU_PROBE, "--require-proof")
    assert 0 == result.exit_code, result.output


def test_a_trained_bias_is_not_left_behind_by_a_rule_that_asserts_zero(run, rules, gru, tmp_path):
    result = run("apply", rules("Gru", CAREFUL), gru(0.5), tmp_path / "new")
    assert 1 == result.exit_code
    assert "error[M504]" in result.stderr


def test_a_trained_bias_that_was_left_behind_is_found_by_the_probe_in_the_first_step(run, rules, gru, tmp_path):
    result = run("apply", rules("Gru", CARELESS), gru(0.5), tmp_path / "new", *GRU_PROBE)
    assert 1 == result.exit_code
    assert "layer `step.0`: max |old − new| = " in result.stderr
    assert not (tmp_path / "new").exists()
