"""The first files of a migration: their plan keeps every leaf, and their examples are rules: covers `starter`,
`rule_text.examples`.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from safetensors.numpy import save_file

import migrate
from migrate.errors import CheckpointError, UsageError
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.planner import make_plan
from migrate.planning.starter import Starter, start
from migrate.rules.editor_line import EDITOR_LINE
from migrate.rules.loader import parse_rules
from migrate.rules.recorded_tree import RecordedTree
from migrate.template.stub import stub_tree
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.cli.conftest import pack
from tests.test_architecture import PACKAGE

FIXTURES = PACKAGE.parent / "fixtures"
SPEC = "template:make_state"


def started(path: Path, **options: Any) -> Starter:
    with migrate.open_checkpoint(path) as checkpoint:
        return start(checkpoint.abstract, SPEC, **options)


def uncommented(text: str) -> str:
    """The rule file with its example rules."""
    head, _, examples = text.partition("# rules:\n")
    lines = [line[2:] for line in examples.splitlines() if line.startswith("#   ")]
    return "\n".join([head.replace("rules: []", ""), "rules:", *lines, ""])


@pytest.mark.parametrize(
    "name",
    [
        "linen_2022/cnn_flax_msgpack/ckpt",
        "linen_2022/lm_manager_items/ckpt",
        "linen_2024/cnn_pytree_no_ocdbt/ckpt",
        "nnx_2025/lm_optimizer/ckpt",
        "lora/base",
        "keras/model.weights.h5",
    ],
)
def test_the_plan_keeps_every_leaf(name):
    made = started(FIXTURES / name)
    assert made.plan.applicable
    assert all(task.sources == task.targets and not task.steps for task in made.plan.tasks)
    assert set(made.plan.source.tree.with_data) == set(made.plan.target.with_data)
    assert EDITOR_LINE == made.rules.splitlines()[0]


@pytest.mark.parametrize("name", ["linen_2022/cnn_flax_msgpack/ckpt", "nnx_2025/lm_optimizer/ckpt", "lora/base"])
def test_the_examples_are_rules_that_match_leaves(name):
    made = started(FIXTURES / name)
    source = made.plan.source
    rules = parse_rules(uncommented(made.rules), "examples")
    assert 3 <= len(rules.rules)
    template = RecordedTree(SPEC, None, None, stub_tree(source.tree))
    found = {d.message for d in make_plan(source, rules, template).diagnostics if d.code in ("M201", "M202", "M203")}
    assert 1 == len(found), found
    assert re.search("new_bias` matches nothing in the template", found.pop())


def save(path: Path, **arrays: Any) -> Path:
    save_file({name.replace("__", "."): array for name, array in arrays.items()}, path)
    return path


def test_examples_of_a_checkpoint_with_few_leaves(tmp_path):
    made = started(save(tmp_path / "one.safetensors", w=np.ones(2, np.int32)))
    rules = parse_rules(uncommented(made.rules), "examples").rules
    assert 2 == len(rules)  # a new name, and a created array


def test_the_model_is_that_of_the_record_or_the_one_that_is_named(tmp_path):
    path = save(tmp_path / "one.safetensors", w=np.ones(2, np.float32))
    rules = parse_rules(started(path, model="lm").rules, "rules")
    assert ("lm", "lm", None) == (rules.source.model, rules.target.model, rules.source.version)
    (tmp_path / "rules.yaml").write_text("migrate: 1\ntarget: {model: tiny, version: 4}\nrules: []\n")
    with migrate.open_checkpoint(path) as source:
        migrate.apply(migrate.plan(source, tmp_path / "rules.yaml"), source, tmp_path / "recorded")
    made = started(tmp_path / "recorded", model="other")
    rules = parse_rules(made.rules, "rules")
    assert ("tiny", 4, "other", None) == (
        rules.source.model, rules.source.version, rules.target.model, rules.target.version,
    )  # fmt: skip
    assert made.plan.applicable


def test_bundled_rule_files_that_read_the_names_are_named():
    made = started(FIXTURES / "lora/base")
    names = [fit.family.name for fit in made.families]
    assert "hf/llama" == names[0]
    assert "hf/mistral" not in names  # the `config.json` beside the file is of another model
    assert "# Its names are those of Llama in Hugging Face." in made.rules
    assert () == started(FIXTURES / "linen_2022/cnn_flax_msgpack/ckpt").families


def test_arrays_that_jax_cannot_hold_are_dropped(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a/w": np.ones(2), "a/names": np.array(["x", "y"])})
    made = started(tmp_path / "a.npz")
    assert made.plan.applicable
    assert '- drop: "a/names"' in made.rules


def test_the_state_of_an_old_optimizer_is_kept_by_a_rule(tmp_path):
    layer = {"kernel": np.ones((2, 2), "float32"), "bias": np.ones(2, "float32")}
    moments = {name: {"grad_ema": array, "grad_sq_ema": array} for name, array in layer.items()}
    tree = {"target": {"d": layer}, "state": {"step": np.zeros((), "int32"), "param_states": {"d": moments}}}
    (tmp_path / "old.msgpack").write_bytes(msgpack.packb(pack(tree), strict_types=True))
    made = started(tmp_path / "old.msgpack")
    assert made.plan.applicable
    assert '- "state/** -> state/**"' in made.rules


def test_a_checkpoint_that_cannot_be_stored_unchanged_is_reported(tmp_path):
    array = np.ones(2, "float32")
    tree = {"a": {"b": array}, "a.b": array, "c/d": {"e": array}}
    (tmp_path / "old.msgpack").write_bytes(msgpack.packb(pack(tree), strict_types=True))
    made = started(tmp_path / "old.msgpack")
    assert not made.plan.applicable
    assert {"M211"} == {finding.code for finding in made.plan.diagnostics}


def test_a_checkpoint_without_a_tree_of_arrays_is_refused(tmp_path):
    (tmp_path / "array.msgpack").write_bytes(msgpack.packb(pack(np.ones(2, "float32")), strict_types=True))
    with pytest.raises(UsageError, match="is a single array, which has no key path"):
        started(tmp_path / "array.msgpack")
    for empty in ({}, {"a": {}}):
        (tmp_path / "empty.msgpack").write_bytes(msgpack.packb(empty))
        with pytest.raises(CheckpointError, match="has no arrays to migrate"):
            started(tmp_path / "empty.msgpack")
    (tmp_path / "json").mkdir()
    (tmp_path / "json/metadata").write_text(json.dumps({"a": 1}))
    (tmp_path / "json/_CHECKPOINT_METADATA").write_text(
        json.dumps({"item_handlers": "orbax.checkpoint._src.handlers.json_checkpoint_handler.JsonCheckpointHandler"})
    )
    with pytest.raises(CheckpointError, match="has no arrays to migrate"):
        started(tmp_path / "json")


def test_a_tree_that_no_model_has_is_refused():
    leaf = AbstractLeaf("array", AbstractArray((2,), "float32"))
    tree = AbstractTree.build([(("a",), leaf), (("a", "b"), leaf)])
    with pytest.raises(UsageError, match="a node as well"):
        start(AbstractCheckpoint(Path("old"), "orbax zarr", {"": tree}), SPEC)


def test_names_of_a_checkpoint_stay_inside_comments(tmp_path):
    path = tmp_path / 'a"""\nimport os\n.safetensors'
    made = started(save(path, w=np.ones(2, np.float32)))
    assert 1 == sum("import os" in line and line.startswith("#") for line in made.template.splitlines())
    assert not any(line.startswith("import os") for line in (made.template + made.rules).splitlines())
