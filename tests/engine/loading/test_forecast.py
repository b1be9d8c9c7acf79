"""The bytes that each device decodes and keeps follow from chunks, shardings and ops."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

import migrate
from migrate.engine.loading import forecast as forecast_module
from migrate.engine.loading.forecast import forecast
from migrate.errors import UsageError
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.sharding import parse_mesh
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Sharding
from tests.engine.sources import save

ROWS, COLUMNS = 8, 12
NBYTES = ROWS * COLUMNS * 4


class Annotated:
    """A template that consists of abstract arrays with annotations."""

    spec, transforms = "annotated", None

    def __init__(self, leaves):
        self.tree = AbstractTree.build(
            [
                ((name,), AbstractLeaf("array", AbstractArray(shape, dtype), sharding=Sharding((), spec)))
                for name, (shape, dtype, spec) in leaves.items()
            ],
            {},
        )


def made(place, rules, leaves, mesh="data=2,model=4"):
    """The forecast of a load: `(kept, decoded)` of each device, and the factors by name."""
    with migrate.open_checkpoint(place) as checkpoint:
        rule_set, template, axes = (
            parse_rules(f"migrate: 1\n{rules}", "rules.yaml"),
            Annotated(leaves),
            parse_mesh(mesh),
        )
        plan = make_plan(checkpoint.abstract, rule_set, template)
        placed = make_plan(checkpoint.abstract, rule_set, template, mesh=axes)
        assert plan.applicable, [found.message for found in plan.diagnostics]
        found = forecast(plan, placed.target, axes)
    rows = [(device.kept, device.decoded) for device in found.devices]
    return rows, {path[0]: factor for path, factor in found.factors.items()}


@pytest.fixture
def chunked(tmp_path):
    return save(tmp_path / "old", {"a": jnp.zeros((ROWS, COLUMNS)), "b": jnp.zeros((ROWS, COLUMNS))})


@pytest.fixture
def flat(tmp_path):
    (tmp_path / "old.msgpack").write_bytes(serialization.to_bytes({"a": np.zeros((ROWS, COLUMNS), np.float32)}))
    return tmp_path / "old.msgpack"


SPLIT = (("data",), ("model",))


def test_one_chunk_is_decoded_by_every_device_that_needs_a_part(chunked):
    leaves = {"a": ((ROWS, COLUMNS), "float32", SPLIT), "b": ((ROWS, COLUMNS), "float32", ())}
    rows, factors = made(chunked, "rules: []", leaves)
    assert [(NBYTES // 8 + NBYTES, 2 * NBYTES)] * 8 == rows
    assert {"a": 8.0} == factors


def test_a_file_without_chunks_is_read_element_by_element(flat):
    rows, factors = made(flat, "rules: []", {"a": ((ROWS, COLUMNS), "float32", SPLIT)})
    assert [(NBYTES // 8, NBYTES // 8)] * 8 == rows
    assert {} == factors


def test_windows_go_back_through_ops_to_the_sources(flat):
    rule = "rules: [{from: a, to: t, ops: [transpose, {cast: {to: bfloat16, lossy: true}}]}]"
    rows, factors = made(flat, rule, {"t": ((COLUMNS, ROWS), "bfloat16", (("model",), ("data",)))})
    assert [(NBYTES // 16, NBYTES // 8)] * 8 == rows
    assert {} == factors


def test_a_stack_that_is_split_along_its_new_axis_needs_one_source_for_each_device(chunked):
    rule = "rules: [{from: [a, b], to: s, ops: [{stack: {axis: 0}}]}]"
    rows, factors = made(chunked, rule, {"s": ((2, ROWS, COLUMNS), "float32", (("data",),))})
    assert [(NBYTES, NBYTES)] * 8 == rows
    assert {} == factors


def test_an_op_on_whole_arrays_needs_all_of_its_sources_and_a_created_leaf_none(flat):
    rules = 'rules: [{from: a, to: c, ops: [{call: {function: "numpy:negative"}}]}, {create: {to: n, init: zeros}}]'
    leaves = {"c": ((ROWS, COLUMNS), "float32", SPLIT), "n": ((4,), "float32", ())}
    rows, factors = made(flat, rules, leaves)
    assert [(NBYTES // 8 + 16, NBYTES)] * 8 == rows
    assert {"c": 8.0} == factors


def test_shards_of_a_mesh_are_numbered_along_its_axes(flat):
    rows, _ = made(flat, "rules: []", {"a": ((ROWS, COLUMNS), "float32", (("data", "model"),))})
    assert [(NBYTES // 8, NBYTES // 8)] * 8 == rows


def test_an_open_axis_is_refused(flat):
    with pytest.raises(UsageError, match="one is -1"):
        made(flat, "rules: []", {"a": ((ROWS, COLUMNS), "float32", ())}, mesh="data=-1")


@pytest.mark.parametrize(
    ("rule", "undivided"),
    [
        ("'a -> x'", []),
        ("{from: a, to: x, ops: [{cast: {to: bfloat16, lossy: true}}]}", []),
        ("{from: a, to: x, ops: [transpose]}", ["x"]),
    ],
)
def test_chunks_that_exceed_the_budget_are_decoded_in_slabs_or_named(chunked, rule, undivided, monkeypatch):
    monkeypatch.setattr(forecast_module, "DEFAULT_RAM", NBYTES - 1)
    with migrate.open_checkpoint(chunked) as checkpoint:
        rules = parse_rules(f"migrate: 1\nrules: [{rule}, {{drop: b}}]\n", "rules.yaml")
        plan = make_plan(checkpoint.abstract, rules, None)
        found = forecast(plan, plan.target, parse_mesh("data=2"))
    assert {(name,): NBYTES for name in undivided} == found.undivided
