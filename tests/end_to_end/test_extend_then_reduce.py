"""Rules that divide arrays and then join the parts: every value ends where NumPy puts it."""

import numpy as np
import pytest
from flax import serialization

import migrate

LAYERS = {f"l_{i}": {"kv": np.arange(8, dtype=np.float32).reshape(2, 4) + 100 * i} for i in range(3)}
HEADS = {
    f"{n}_{i}": {"w": np.arange(8, dtype=np.float32).reshape(2, 4) + 100 * i + ord(n)} for i in range(2) for n in "ab"
}
KV = np.stack([layer["kv"] for layer in LAYERS.values()])
A, B = (np.stack([HEADS[f"{n}_{i}"]["w"] for i in range(2)]) for n in "ab")
HALVES = "{split: {axis: 1, sizes: [2, 2]}}"

CASES = {
    "split, then stack over a capture": (
        LAYERS,
        f'from: "l_{{i}}/kv", to: [k, v], ops: [{HALVES}, {{stack: {{axis: 0, over: i}}}}]',
        {"k": KV[:, :, :2], "v": KV[:, :, 2:]},
    ),
    "split, then concat over a capture": (
        LAYERS,
        f'from: "l_{{i}}/kv", to: [k, v], ops: [{HALVES}, {{concat: {{axis: 0, over: i}}}}]',
        {"k": KV[:, :, :2].reshape(6, 2), "v": KV[:, :, 2:].reshape(6, 2)},
    ),
    "split, then stack of the whole list": (
        LAYERS,
        f'from: "l_{{i}}/kv", to: [k, v], ops: [{HALVES}, stack]',
        {"k": KV[:, :, :2], "v": KV[:, :, 2:]},
    ),
    "unstack over the targets, then concat over a capture": (
        LAYERS,
        'from: "l_{i}/kv", to: [x, y], ops: [{unstack: {axis: 0}}, {concat: {axis: 0, over: i}}]',
        {"x": KV[:, 0].reshape(12), "y": KV[:, 1].reshape(12)},
    ),
    "unstack over a new capture, then stack over another": (
        LAYERS,
        'from: "l_{i}/kv", to: "row/{j}", ops: [{unstack: {axis: 0, over: j}}, {stack: {axis: 0, over: i}}]',
        {"row": {"0": KV[:, 0], "1": KV[:, 1]}},
    ),
    "unstack over a new capture, then concat of the whole list": (
        LAYERS,
        'from: "l_{i}/kv", to: "row/{j}", ops: [{unstack: {axis: 0, over: j}}, concat]',
        {"row": {"0": KV[:, 0].reshape(12), "1": KV[:, 1].reshape(12)}},
    ),
    "unstack and concat over the same capture": (
        LAYERS,
        'from: "l_{i}/kv", to: "flat/{i}", ops: [{unstack: {axis: 0, over: j}}, {concat: {axis: 0, over: j}}]',
        {"flat": {str(i): KV[i].reshape(8) for i in range(3)}},
    ),
    "unstack over a capture that is reduced last": (
        LAYERS,
        'from: "l_{i}/kv", to: all, '
        "ops: [{unstack: {axis: 0, over: j}}, {stack: {axis: 0, over: i}}, {stack: {axis: 0, over: j}}]",
        {"all": KV.transpose(1, 0, 2)},
    ),
    "stack over a capture, then split, then concat of the list of each target": (
        HEADS,
        'from: ["a_{i}/w", "b_{i}/w"], to: [k, v], '
        "ops: [{stack: {axis: 0, over: i}}, {split: {axis: 2, sizes: [2, 2]}}, {concat: {axis: 2}}]",
        {"k": np.concatenate([A[..., :2], B[..., :2]], 2), "v": np.concatenate([A[..., 2:], B[..., 2:]], 2)},
    ),
    "split, then stack over a capture, then concat of the list of each target": (
        HEADS,
        f'from: ["a_{{i}}/w", "b_{{i}}/w"], to: [k, v], '
        f"ops: [{HALVES}, {{stack: {{axis: 0, over: i}}}}, {{concat: {{axis: 2}}}}]",
        {"k": np.concatenate([A[..., :2], B[..., :2]], 2), "v": np.concatenate([A[..., 2:], B[..., 2:]], 2)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_value_ends_where_numpy_puts_it(tmp_path, case):
    source, rule, expected = CASES[case]
    (tmp_path / "old.msgpack").write_bytes(serialization.to_bytes(source))
    (tmp_path / "rules.yaml").write_text(f"migrate: 1\nrules:\n  - {{{rule}}}\n")
    with migrate.open_checkpoint(tmp_path / "old.msgpack") as old:
        plan = migrate.plan(old, tmp_path / "rules.yaml")
        assert [] == [str(diagnostic.message) for diagnostic in plan.diagnostics]
        migrate.apply(plan, old, tmp_path / "new")
    flat = {f"{a}/{b}": x for a, part in expected.items() if isinstance(part, dict) for b, x in part.items()}
    flat |= {a: part for a, part in expected.items() if not isinstance(part, dict)}
    with migrate.open_checkpoint(tmp_path / "new") as new:
        assert flat.keys() == {"/".join(path) for path in new.abstract.tree.leaves}
        for path, array in flat.items():
            assert np.array_equal(array, new.read(path)), path
