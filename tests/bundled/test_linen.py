"""The bundled files for Linen: cells do what the table says, scans go to lists and back, training states become NNX."""

import re

import numpy as np
import pytest
from flax import nnx

import migrate
from fixtures.models import bridged
from migrate.rules.files import bundled_names
from migrate.rules.loader import load_rules
from tests.bundled.migrating import apply, close, leaves, restored, run, same, save
from tests.knowledge.test_layers import initialised
from tests.knowledge.twins import TWINS, make
from tests.oracle.values import FIXTURES, read_msgpack

CELLS = {
    "linen/lstm-to-nnx": "LSTMCell",
    "linen/optimized-lstm-to-nnx": "OptimizedLSTMCell",
    "linen/gru-to-nnx": "GRUCell",
    "linen/simple-cell-to-nnx": "SimpleCell",
}
SCANS = ["linen_2022/lm_scan_flax_msgpack/ckpt", "linen_2024/lm_scan_manager_sharded/ckpt/100/state"]


def rule_file(path, text):
    path.write_text(f"migrate: 1\n{text}\n")
    return path


def moves(plan):
    """What happens to every leaf, whatever the rules that say it look like."""
    assert plan.applicable, plan.diagnostics
    moved = {(task.sources, task.targets, task.steps) for task in plan.tasks}
    return moved, {(drop.source, drop.assert_zero) for drop in plan.dropped}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_becomes_what_its_row_of_the_table_says(name, tmp_path):
    from migrate.knowledge.rules import rules_of
    from migrate.rules.loader import parse_rules

    twin = TWINS[CELLS[name]]
    source = {"params": {"layer": initialised(twin)["params"], "beside": np.zeros(2, np.float32)}}
    save(tmp_path / "old", source)
    rules = [*rules_of(twin.row, "layer", "layer"), "params/beside -> beside"]
    head = f"migrate: 1\ntarget: {{template: 'tests.knowledge.twins:make', args: {{name: {CELLS[name]}}}}}\n"
    table = parse_rules(f"{head}rules: {rules!r}\n", "table.yaml")
    include = f"include: {{file: {name}, under: params/layer, to: layer}}\n"
    bundled = parse_rules(f"{head}{include}rules: [params/beside -> beside]\n", "bundled.yaml")
    with migrate.open_checkpoint(tmp_path / "old") as checkpoint:
        plans = [migrate.plan(checkpoint, rules, allow_code=True) for rules in (table, bundled)]
        assert moves(plans[0]) == moves(plans[1])


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_of_a_checkpoint_is_found_when_the_file_is_applied_by_its_name(name, tmp_path):
    twin = TWINS[CELLS[name]]
    cell = initialised(twin)["params"]
    old = save(tmp_path / "old", {"params": {"a": {"cell": cell}, "b": cell, "head": np.ones(2, np.float32)}})
    found = leaves(apply(name, old, tmp_path / "new"))
    layer = nnx.eval_shape(lambda: make(CELLS[name])["layer"])
    expected = {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(layer))}
    assert {f"params/{at}/{leaf}" for at in ("a/cell", "b") for leaf in expected} | {"params/head"} == set(found)


def test_moments_of_a_dropped_bias_need_not_be_zero(tmp_path):
    cell = initialised(TWINS["GRUCell"])["params"]
    trained = {**cell, "hn": {**cell["hn"], "bias": np.ones(4, np.float32)}}
    old = save(tmp_path / "old", {"params": {"gru": cell}, "opt_state": [{"mu": {"gru": trained}}]})
    assert "opt_state/0/mu/gru/dense_h/kernel" in leaves(apply("linen/gru-to-nnx", old, tmp_path / "new"))
    refused = save(tmp_path / "trained", {"params": {"gru": trained}})
    assert 1 == run("apply", "linen/gru-to-nnx", refused, tmp_path / "none").exit_code


@pytest.mark.parametrize("case", SCANS)
def test_a_scan_becomes_a_loop_and_comes_back_bit_for_bit(case, tmp_path):
    before = leaves(FIXTURES / case)
    apart = leaves(apply("linen/scan-to-list", FIXTURES / case, tmp_path / "list"))
    expected = {}
    for name, array in before.items():
        if "ScanEncoderBlock_0" in name:
            layers = {name.replace("ScanEncoderBlock_0", f"EncoderBlock_{i}"): array[i] for i in range(3)}
            expected |= layers
        else:
            expected[name] = array
    assert 3 == len({re.search(r"EncoderBlock_\d", name)[0] for name in expected if "opt_state/0/nu/Enc" in name})
    same(expected, apart)
    same(before, leaves(apply("linen/list-to-scan", tmp_path / "list", tmp_path / "scan")))


def test_a_list_of_eleven_layers_is_stacked_in_the_order_of_numbers(tmp_path):
    blocks = {f"Block_{i}": {"w": np.full(2, i, np.float32)} for i in range(11)}
    old = save(tmp_path / "old", {"params": {**blocks, "Dense_0": np.ones(2, np.float32)}})
    found = leaves(apply("linen/list-to-scan", old, tmp_path / "new"))
    assert list(range(11)) == found["params/ScanBlock_0/w"][:, 0].tolist()


@pytest.mark.parametrize("rules", ["linen/scan-to-list", "linen/list-to-scan"])
def test_a_checkpoint_without_what_a_file_is_for_is_refused(rules, tmp_path):
    old = save(tmp_path / "old", {"params": {"Dense_0": {"kernel": np.ones((2, 2), np.float32)}}})
    assert 1 == run("apply", rules, old, tmp_path / "new").exit_code


def test_a_training_state_becomes_a_bridged_model_and_its_optimizer(tmp_path):
    source = FIXTURES / "linen_2022/cnn_flax_msgpack"
    template = "fixtures.models.bridged:make_state"
    new = apply("linen/train-state-to-nnx", source / "ckpt", tmp_path / "new", "--template", template)
    parts = restored(new, template)
    with np.load(source / "golden.npz") as golden:
        close(golden["out_logits"], bridged.evaluate(parts["model"], golden["in_x"]))
    state = read_msgpack(source / "ckpt/checkpoint_100")
    found = leaves(new)
    for slot in ("mu", "nu"):
        kept = state["opt_state"]["0"][slot]["Dense_0"]["kernel"]
        assert kept.tobytes() == found[f"optimizer/opt_state/0/{slot}/Dense_0/kernel"].tobytes()
    assert (100, 100) == (found["optimizer/step"], found["optimizer/opt_state/0/count"])


def test_every_bundled_file_can_be_read_and_says_what_it_is():
    names = bundled_names()
    folders = {"linen", "nnx", "hf", "t5x", "brax", "bonsai", "maxtext", "maxtext-tunix"}
    assert folders == {name.split("/")[0] for name in names if "/" in name}
    for name in names:
        rules = load_rules(name)
        assert rules.name
        assert rules.text.startswith("# "), name
