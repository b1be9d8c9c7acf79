"""Chunks whose elements are converted belong where the other ops of their task move them."""

import jax.numpy as jnp
import numpy as np
import pytest

import migrate
from migrate.engine.items import item_of, item_plans
from migrate.engine.loading.decoded_links import converted_links
from migrate.errors import RefusedError
from tests.engine.loading.test_chunk_reads import saved
from tests.engine.sources import plan_for

TREE = {f"l_{i}": np.random.default_rng(i).standard_normal((6, 4)).astype(np.float32) * 1000 for i in range(3)}
HALF = "{cast: {to: bfloat16, lossy: true}}"
STACK = "{stack: {axis: 0, over: i}}"


def converted(checkpoint, ops):
    plan = plan_for(checkpoint.reader, f"rules: [{{from: 'l_{{i}}', to: x, ops: [{ops}]}}]")
    return list(converted_links(plan, checkpoint.reader, item_of(item_plans(plan))))


@pytest.mark.parametrize(
    "ops",
    [
        f"{HALF}, {STACK}",
        f"{STACK}, {HALF}",
        f"{{scale: 0.5}}, {STACK}, {HALF}, {{expand_dims: 0}}",
        f"{{reshape: [24]}}, {HALF}, {{concat: {{axis: 0, over: i}}}}",
    ],
)
@pytest.mark.parametrize("chunk_bytes", [None, 48])
def test_a_load_has_the_values_that_apply_would_write(tmp_path, ops, chunk_bytes):
    place, rules = saved(tmp_path / "old", TREE, chunk_bytes=chunk_bytes), tmp_path / "rules.yaml"
    rules.write_text(f"migrate: 1\nrules: [{{from: 'l_{{i}}', to: x, ops: [{ops}]}}]\n")
    with migrate.open_checkpoint(place) as checkpoint:
        found = converted(checkpoint, ops)
        assert ([("x",)] if chunk_bytes is None or "reshape" not in ops else []) == [one.link.path for one in found]
        migrate.apply(migrate.plan(checkpoint, migrate.load_rules(rules)), checkpoint, tmp_path / "new")
    with migrate.open_checkpoint(tmp_path / "new") as written:
        expected = written.read("x")
    made = migrate.load(place, rules, into={"x": jnp.zeros(expected.shape, expected.dtype)})["x"]
    assert (expected.dtype, expected.tobytes()) == (made.dtype, np.asarray(made).tobytes())


@pytest.mark.parametrize("ops", [f"transpose, {HALF}, {STACK}", STACK])
def test_elements_that_move_within_chunks_or_stay_the_same_are_not_converted_here(tmp_path, ops):
    with migrate.open_checkpoint(saved(tmp_path / "old", TREE)) as checkpoint:
        assert [] == converted(checkpoint, ops)


def test_a_value_that_does_not_allow_a_cast_is_named_with_its_place(tmp_path):
    tree = {**TREE, "l_1": np.full((6, 4), 1 + 2**-20, np.float32)}
    with migrate.open_checkpoint(saved(tmp_path / "old", tree)) as checkpoint:
        (found,) = converted(checkpoint, f"{{cast: {{to: bfloat16}}}}, {STACK}")
        with pytest.raises(RefusedError, match=r"`cast` on `l_0`: in the part that begins at \[1, 0, 0\]: 24 of 24"):
            found.converted(tree["l_1"], (1, 0, 0))
