"""Steps with a record and a JSON item, saved and restored by Orbax, whose config moves with the weights."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner

import migrate
from migrate.cli.main import migrate as command
from migrate.errors import StoppedError, VerifyError
from migrate.events import LeafDone
from migrate.formats.detect import open_reader

RECORD = {"num_layers": 4, "width": 64, "heads": 8, "dropout_rate": 0.1}
RULES = """migrate: 1
source: {model: lm, version: 1}
target: {model: lm, version: 2%s}
rules:
  - {from: a, to: kernel, ops: [transpose]}
config:
  - num_layers -> layers
  - {to: scan_layers, value: true}
  - {from: [width, heads], to: head_dim, value: "{width} // {heads}"}
  - drop: dropout_rate
  - {in: config, from: "arch/{x}", to: "{x}"}
"""
EXPECTED = {"layers": 4, "head_dim": 8, "scan_layers": True}


def run(*arguments, code=0):
    result = CliRunner().invoke(command, [*map(str, arguments)])
    assert code == result.exit_code, result.output
    return result.output


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The root of a CheckpointManager with two steps, and the rule file beside it."""
    monkeypatch.chdir(tmp_path)
    state = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(4)}
    record = migrate.Metadata.of(state, name="lm", version=1, hyperparameters=RECORD)
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        for step in (1, 2):
            config = ocp.args.JsonSave({"arch": {"heads": 8, "act": "gelu"}, "lr": step / 1000})
            args = ocp.args.Composite(state=ocp.args.StandardSave(state), config=config)
            manager.save(step, args=args, custom_metadata=record)
        manager.wait_until_finished()
    Path("rules.yaml").write_text(RULES % ", layout: items")
    return tmp_path / "root"


def hyperparameters(path):
    with open_reader(Path(path)) as reader:
        return dict(migrate.Metadata.from_json(reader.abstract().metadata).hyperparameters)


def test_orbax_restores_the_new_config_of_every_step(root):
    Path("rules.yaml").write_text(RULES % "")
    output = run("apply", "rules.yaml", root, "new", "--step", "all")
    assert "Config: 6 changes written." in output
    with ocp.CheckpointManager(Path("new").absolute()) as manager:
        assert [1, 2] == list(manager.all_steps())
        for step in (1, 2):
            args = ocp.args.Composite(config=ocp.args.JsonRestore(), state=ocp.args.StandardRestore())
            found = manager.restore(step, args=args)
            assert {"heads": 8, "act": "gelu", "lr": step / 1000} == found["config"]
            assert np.array_equal(np.arange(6.0).reshape(2, 3).T, found["state"]["kernel"])
            custom = manager.metadata(step).custom_metadata
            assert EXPECTED == custom["migrate"]["hyperparameters"]


def test_a_dry_run_draws_the_config_and_writes_nothing(root):
    output = run("apply", "rules.yaml", root, "new", "--dry-run")
    assert "num_layers → layers" in output
    assert "8 = {width} // {heads}" in output
    assert not Path("new").exists()
    found = json.loads(run("apply", "rules.yaml", root, "new", "--dry-run", "--json"))
    assert ["rename", "set", "compute", "drop", "rename", "rename"] == [one["verb"] for one in found["config"]]


def test_verify_finds_a_value_that_is_not_the_one_of_the_plan(root):
    run("apply", "rules.yaml", root, "new")
    run("verify", "new", "--source", root, "--rules", "rules.yaml")
    file = Path("new/config/metadata")
    file.write_text(file.read_text().replace('"heads": 8', '"heads": 9'))
    assert "`heads` of the JSON item `config` is 9, not 8" in str(refused(root))
    file.write_text(file.read_text().replace('"heads": 9', '"heads": 8'))
    file = Path("new/_CHECKPOINT_METADATA")
    file.write_text(file.read_text().replace('"layers": 4', '"layers": 5'))
    assert "`layers` of the record is 5, not 4" in str(refused(root))


def refused(root):
    with migrate.open_checkpoint(root) as source, pytest.raises(VerifyError) as caught:
        migrate.verify("new", plan=migrate.plan(source, "rules.yaml"), source=source)
    return caught.value


def test_a_plan_file_writes_the_same_config_for_a_step_that_it_was_not_made_for(root):
    run("plan", "rules.yaml", root, "-o", "plan.json", "--step", "1")
    run("apply", "plan.json", root, "new", "--step", "2")
    assert EXPECTED == hyperparameters("new")
    assert {"heads": 8, "act": "gelu", "lr": 0.002} == json.loads(Path("new/config/metadata").read_text())
    assert "num_layers → layers" in run("show", "plan.json")
    run("verify", "new", "--source", root, "--rules", "plan.json", "--step", "2")


def test_a_stopped_run_is_resumed_with_the_same_config(root):
    with migrate.open_checkpoint(root) as source:
        plan = migrate.plan(source, "rules.yaml")
        heard = []
        stop = {"listener": heard.append, "stopped": lambda: any(isinstance(one, LeafDone) for one in heard)}
        with pytest.raises(StoppedError):
            migrate.apply(plan, source, "new", **stop)
        assert not Path("new").exists()
        assert 6 == migrate.apply(plan, source, "new", resume="only").config
    assert EXPECTED == hyperparameters("new")


@pytest.mark.parametrize("name", ["new", "new.safetensors", "new.msgpack"])
def test_one_pytree_keeps_the_item_in_its_metadata(root, name):
    Path("rules.yaml").write_text(RULES % "")
    run("apply", "rules.yaml", root, name)
    assert EXPECTED == hyperparameters(name)
    with open_reader(Path(name)) as reader:
        items = reader.abstract().metadata["migrate"]["items"]
    assert {"config": {"heads": 8, "act": "gelu", "lr": 0.002}} == items
    more = "migrate: 1\nrules: []\nconfig: [{in: config, from: act, to: activation}]"
    Path("more.yaml").write_text(more)
    run("apply", "more.yaml", name, "newer")
    with open_reader(Path("newer")) as reader:
        items = reader.abstract().metadata["migrate"]["items"]
    assert {"config": {"heads": 8, "activation": "gelu", "lr": 0.002}} == items
    run("verify", "newer", "--source", name, "--rules", "more.yaml")


def test_an_upgrade_applies_the_rules_of_every_version_and_a_squashed_file_does_the_same(root):
    Path("rules").mkdir()
    Path("rules/2.yaml").write_text(RULES % ", layout: items")
    Path("rules/3.yaml").write_text(
        "migrate: 1\nsource: {model: lm, version: 2}\ntarget: {model: lm, version: 3, layout: items}\nrules: []\n"
        "config:\n  - layers -> depth\n  - drop: scan_layers\n  - {in: config, to: dtype, value: bfloat16}\n"
    )
    drawn = run("upgrade", "rules", root, "new", "--dry-run")
    assert "num_layers → depth" in drawn
    assert "scan_layers" not in drawn
    run("upgrade", "rules", root, "new")
    run("squash", "rules", "--from", "1", "--to", "3", "--source", root, "-o", "squashed.yaml")
    run("apply", "squashed.yaml", root, "other")
    for name in ("new", "other"):
        assert {"depth": 4, "head_dim": 8} == hyperparameters(name)
        item = {"heads": 8, "act": "gelu", "lr": 0.002, "dtype": "bfloat16"}
        assert item == json.loads(Path(name, "config/metadata").read_text())
    assert "2 migrations" in run("history", "new")


def test_the_inverse_leads_back_and_names_what_is_lost(root):
    text = run("invert", "rules.yaml", root, "-o", "back.yaml", code=1)
    assert "Not restored: `dropout_rate` of the record" in text
    run("apply", "rules.yaml", root, "new")
    run("apply", "back.yaml", "new", "back")
    assert {"num_layers": 4} == hyperparameters("back")
