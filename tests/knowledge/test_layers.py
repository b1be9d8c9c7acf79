"""Every row is true: both layers are built, the rules of the row migrate one to the other, and their outputs are equal.

Covers `migrate.knowledge.model` and `migrate.knowledge.rules`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import linen as nn
from flax import nnx

from migrate.cli.main import migrate
from migrate.knowledge.layers import LAYERS, WITHOUT_TWIN, rows_of
from migrate.knowledge.model import Layer
from migrate.knowledge.rules import rules_of
from migrate.template import restore_target
from tests.knowledge.twins import TWINS, Twin, make
from tests.matrix import sampled

NAMES = list(TWINS)


@pytest.fixture(autouse=True)
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield


def initialised(twin: Twin) -> dict:
    """Random values of Linen's variables; every array positive, as variances are."""
    inputs = twin.sized_by or twin.inputs
    variables = jax.eval_shape(lambda: twin.linen.init(jax.random.key(0), *inputs, **twin.init))
    flat = jax.tree_util.tree_flatten_with_path(variables)
    rng = np.random.default_rng(1)
    return jax.tree_util.tree_unflatten(flat[1], [filled(rng, keys_of(path), leaf, twin) for path, leaf in flat[0]])


def keys_of(path) -> tuple[str, ...]:
    return tuple(str(key.key) for key in path)


def filled(rng, path, leaf, twin):
    if path[1:] in twin.zeroed:
        return np.zeros(leaf.shape, leaf.dtype)
    if not np.issubdtype(leaf.dtype, np.floating):
        return np.full(leaf.shape, 2, leaf.dtype)
    return rng.uniform(0.1, 1.5, leaf.shape).astype(np.float32)


def leaves_of(variables) -> dict[tuple[str, ...], np.ndarray]:
    return {keys_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}


def all_rows(row: Layer, children, source=".", target=".") -> Iterator[tuple[Layer, str, str]]:
    """A row and the rows of its children with their places; an RNN below has a cell of its own."""
    yield row, source, target
    for (linen, nnx_), child in zip(row.children, children, strict=True):
        below = (TWINS["LSTMCell"].row,) if child.nnx == "RNN" else ()
        yield from all_rows(child, below, join(source, linen), join(target, nnx_))


def join(place, path):
    return "/".join((*(part for part in (place,) if part != "."), *path)) or "."


def rules_for(twin: Twin) -> list:
    return [
        rule for row, at, to in all_rows(twin.row, twin.children, "layer", "layer") for rule in rules_of(row, at, to)
    ]


def apply(tmp_path, name, variables):
    """Migrates through the command line; the result and the place."""
    twin = TWINS[name]
    source = {collection: {"layer": tree} for collection, tree in variables.items()}
    source.setdefault("params", {})["beside"] = np.arange(2, dtype=np.float32)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", source)
    file = {
        "migrate": 1,
        "target": {"template": "tests.knowledge.twins:make", "args": {"name": name}},
        "rules": [*rules_for(twin), "params/beside -> beside"],
    }
    (tmp_path / "rules.yaml").write_text(json.dumps(file))
    arguments = ["apply", "--allow-code", *(str(tmp_path / name) for name in ("rules.yaml", "old", "new"))]
    return CliRunner().invoke(migrate, arguments), tmp_path / "new"


def restored(place, name) -> nnx.Module:
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(place, restore_target("tests.knowledge.twins:make", {"name": name}, "state"))
    return nnx.merge(nnx.graphdef(make(name)["layer"]), state["layer"])


@pytest.mark.parametrize("name", sampled(NAMES, 6))
def test_both_layers_compute_the_same(name, tmp_path):
    twin, variables = TWINS[name], initialised(TWINS[name])
    result, place = apply(tmp_path, name, variables)
    assert 0 == result.exit_code, result.output
    expected = jax.jit(partial(twin.apply, twin.linen))(variables, *twin.inputs)
    actual = nnx.jit(twin.call)(restored(place, name), *twin.inputs)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
        np.testing.assert_allclose(np.asarray(other), one, rtol=1e-5, atol=1e-5)


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", NAMES)
def test_the_row_names_every_variable_of_the_linen_layer_and_its_dimensions(name):
    twin = TWINS[name]
    wanted, needed = {}, set()
    for row, at, _ in all_rows(twin.row, twin.children):
        prefix = tuple(part for part in at.split("/") if part != ".")
        for leaf in row.leaves:
            for source in leaf.sources:
                wanted[leaf.collection, *prefix, *source] = leaf.ndim
                needed |= set() if leaf.optional else {(leaf.collection, *prefix, *source)}
        wanted |= {(loss.collection, *prefix, *loss.source): (1, 1) for loss in row.losses}
    found = leaves_of(initialised(twin))
    assert needed <= found.keys() <= wanted.keys()
    for path, leaf in found.items():
        least, most = wanted[path]
        assert least <= leaf.ndim <= (leaf.ndim if most is None else most), path


def test_every_row_is_tested():
    assert {id(row) for row in LAYERS} == {id(twin.row) for twin in TWINS.values()}


def test_every_name_is_a_class_of_flax():
    assert [] == [name for row in LAYERS for name in row.linen if not hasattr(nn, name)]
    assert [] == [row.nnx for row in LAYERS if not hasattr(nnx, row.nnx)]
    assert [] == [name for name in WITHOUT_TWIN if not hasattr(nn, name) or hasattr(nnx, name)]


def test_the_plainest_row_of_a_class_comes_first():
    assert ["Linear", "LoRA", "LoRALinear"] == [row.nnx for row in rows_of("Dense")]
    assert "LSTMCell" == rows_of("OptimizedLSTMCell")[0].nnx


def test_a_gru_whose_hidden_bias_was_trained_is_refused(tmp_path):
    variables = initialised(TWINS["GRUCell"])
    variables["params"]["hn"]["bias"] = np.array([0, 0, 1e-8, 0], np.float32)
    result, place = apply(tmp_path, "GRUCell", variables)
    assert 1 == result.exit_code
    assert "params/layer/hn/bias" in result.output
    assert not place.exists()


def test_in_a_compact_module_the_key_of_a_weight_norm_names_the_layer_beside_it(tmp_path):
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.WeightNorm(nn.Dense(4))(x)

    twin = TWINS["WeightNorm"]
    variables = initialised(replace(twin, linen=Normed()))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", {**variables, "beside": np.zeros(2, np.float32)})
    lines = [
        r"params/WeightNorm_0/Dense_0\/kernel\/scale -> layer/scales/('kernel',)",
        "params/Dense_0/** -> layer/layer_instance/**",
    ]
    (tmp_path / "rules.yaml").write_text(json.dumps({"migrate": 1, "rules": lines}))
    template = "tests.knowledge.twins:make_weight_norm"
    arguments = ["apply", tmp_path / "rules.yaml", tmp_path / "old", tmp_path / "new", "--template", template]
    result = CliRunner().invoke(migrate, list(map(str, arguments)))
    assert 0 == result.exit_code, result.output
    expected = Normed().apply(variables, *twin.inputs)
    np.testing.assert_allclose(restored(tmp_path / "new", "WeightNorm")(*twin.inputs), expected, rtol=1e-5, atol=1e-5)
