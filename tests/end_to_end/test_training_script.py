"""A training script is refactored with `apply` in between, and its loss continues exactly."""

import json
import shutil
from pathlib import Path

import jax
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate
from tests.end_to_end.training import train

ROOT = Path(__file__).parent.parent.parent
SPEC = "tests.end_to_end.training"
RULES = """
  - "model/inner/** -> model/blocks/0/**"
  - "model/outer/** -> model/head/**"
"""
START, STEPS = 3, 4


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with one step of the old code."""
    place = tmp_path_factory.mktemp("training") / "old"
    train(place, 0, START, "first")
    return place


@pytest.fixture(scope="module")
def expected(root, tmp_path_factory):
    """The losses of the old code from that step on."""
    return train(shutil.copytree(root, tmp_path_factory.mktemp("expected") / "old"), START, STEPS, "first")


def run(*args):
    result = CliRunner().invoke(migrate, [*map(str, args)])
    return result.exit_code, " ".join(result.output.split())


def rules_of(folder, template, layout="items", more=""):
    file = folder / "rules.yaml"
    file.write_text(f'migrate: 1\ntarget: {{template: "{SPEC}:{template}", layout: {layout}}}\nrules:{RULES}{more}')
    return file


@pytest.mark.sample(3)
@pytest.mark.parametrize("template", ["renamed", "renamed_with_key"])
@pytest.mark.parametrize("layout", ["items", "[items, zarr]"])
def test_the_loss_of_the_refactored_script_continues_exactly(root, expected, template, layout, tmp_path):
    rules, new = rules_of(tmp_path, template, layout), tmp_path / "new"
    code, output = run("apply", rules, root, new / str(START), "--verify", "full", "--allow-code")
    assert 0 == code, output
    assert "Items: model, optimizer, rng (random key), step (JSON) written as items." in output
    assert f"`CheckpointManager` opens the root {new}." in output
    assert expected == train(new, START, STEPS, "renamed")


REFACTORINGS = {
    "renamed": RULES,
    "stacked": """
  - {from: "model/blocks/{i}/{leaf}", to: "model/blocks/{leaf}", ops: [{stack: {axis: 0, over: i}}]}
""",
    "squeezed": """
  - {from: "model/head/kernel", to: "model/direction", ops: [{squeeze: {axis: 1}}]}
  - "model/head/bias -> model/offset"
""",
    "clipped": " []\n",
}


def test_the_loss_continues_exactly_through_four_refactorings(root, tmp_path):
    """The optimizer's state, random streams, the key and the step come along each time, without a rule of their own."""
    start, old, expected = START, root, shutil.copytree(root, tmp_path / "unchanged")
    for variant, rules in REFACTORINGS.items():
        file, new = tmp_path / f"{variant}.yaml", tmp_path / variant
        target = f'{{template: "{SPEC}:template", args: {{variant: {variant}}}, layout: items}}'
        file.write_text(f"migrate: 1\ntarget: {target}\nrules:{rules}")
        code, output = run("apply", file, old, new / str(start), "--allow-code", "--step", start)
        assert 0 == code, output
        assert train(expected, start, 2, "first") == train(new, start, 2, variant), variant
        start, old = start + 2, new


def test_every_step_becomes_a_root_that_a_manager_opens(root, expected, tmp_path):
    rules = rules_of(tmp_path, "renamed")
    code, output = run("apply", rules, root, tmp_path / "new", "--step", "all", "--allow-code")
    assert 0 == code, output
    assert expected == train(tmp_path / "new", START, STEPS, "renamed")


def test_portable_on_a_root_says_what_it_makes_and_a_manager_restores_it(root, tmp_path):
    code, output = run("apply", "portable", root, tmp_path / "new")
    assert 0 == code, output
    assert f"DST is step {START}, not a root: `CheckpointManager` opens it as {tmp_path / 'new' / str(START)}" in output
    assert 0 == run("apply", "portable", root, tmp_path / "root", "--step", "all")[0]
    with ocp.CheckpointManager(tmp_path / "root") as manager, ocp.CheckpointManager(root) as old:
        restored, before = manager.restore(START), old.restore(START)
    assert set(before.keys()) == set(restored.keys())
    assert before["rng"] == restored["rng"]
    assert {"step": START} == restored["step"]
    pairs = zip(jax.tree.leaves(before["optimizer"]), jax.tree.leaves(restored["optimizer"]), strict=True)
    assert all((one == other).all() for one, other in pairs)


def test_what_suggest_writes_for_a_root_continues_the_training(root, expected, tmp_path):
    file = tmp_path / "suggested.yaml"
    code, output = run("suggest", root, "--template", f"{SPEC}:renamed_with_key", "-o", file)
    assert 0 == code, output
    assert "layout: items" in file.read_text()
    assert 0 == run("apply", file, root, tmp_path / "new" / str(START), "--allow-code")[0]
    assert expected == train(tmp_path / "new", START, STEPS, "renamed")


def test_no_item_disappears_without_a_word(root, tmp_path):
    rules = rules_of(tmp_path, "renamed", "state")
    code, output = run("apply", rules, root, tmp_path / "new", "--allow-code")
    assert 1 == code
    assert '`target: {layout: items}` keeps it as an item; `- drop: "rng"` leaves it behind' in output
    rules = rules_of(tmp_path, "renamed", "state", '  - drop: "rng"\n')
    code, output = run("apply", rules, root, tmp_path / "new", "--allow-code")
    assert 0 == code, output
    assert (
        "step (JSON) not an item of DST, kept in its metadata under `migrate.items`; rng (random key) dropped" in output
    )
    assert "as one pytree, which `CheckpointManager` does not open as a step; `target: {layout: items}`" in output
    metadata = json.loads((tmp_path / "new" / "_CHECKPOINT_METADATA").read_text())["custom_metadata"]
    assert {"step": {"step": START}} == metadata["migrate"]["items"]
    _, output = run("apply", rules, root, tmp_path / "other", "--dry-run", "--json", "--allow-code")
    fates = {item["name"]: (item["kind"], item["fate"]) for item in json.loads(output)["items"]}
    assert {
        "model": ("pytree", "pytree"),
        "optimizer": ("pytree", "pytree"),
        "rng": ("random key", "dropped"),
        "step": ("JSON", "metadata"),
    } == fates
