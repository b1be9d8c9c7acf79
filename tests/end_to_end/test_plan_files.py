"""One plan file serves every checkpoint of its structure, and does what its rule file does."""

import json
import shutil
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings

import migrate
from migrate.cli.main import migrate as command
from migrate.planning.plan_file.bind import bound
from migrate.planning.plan_file.read import read_plan
from migrate.planning.plan_file.write import plan_text
from migrate.rules.files import RuleFile
from migrate.tree import format_path
from tests.cli.conftest import pack
from tests.engine.sources import every_kind
from tests.matrix import examples
from tests.oracle.cases import CASES
from tests.planning.invert.test_laws import plans

ROOT = Path(__file__).parents[2]
RULES = """
migrate: 1
rules:
  - "params/** -> model/**"
  - {from: "layers/{i}/w", to: stacked, ops: [{stack: {axis: 0, over: i}}]}
  - {from: turned, to: turned, ops: [transpose]}
  - drop: old
"""


def tree(step):
    rng = np.random.default_rng(step)
    arrays = {
        "params": {"w": rng.normal(size=(4, 6)), "b": rng.normal(size=6)},
        "layers": {str(i): {"w": rng.normal(size=(3, 2))} for i in range(3)},
        "turned": rng.normal(size=(5, 2)),
        "old": rng.normal(size=3),
    }
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), arrays)


def save(path, state, *, ocdbt=True, zarr3=False):
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)
    args = jax.tree.map(lambda _: ocp.SaveArgs(), state)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(state, save_args=args))
    return path


def run(*arguments):
    result = CliRunner().invoke(command, [*map(str, arguments)])
    assert 0 == result.exit_code, result.output
    return result


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(RULES)
    return tmp_path


def values(path):
    with migrate.open_checkpoint(path) as checkpoint:
        return {format_path(p): np.asarray(value) for p, value in checkpoint.read_all().items()}


def same_values(one, other):
    mine, theirs = values(one), values(other)
    assert mine.keys() == theirs.keys()
    for path, value in mine.items():
        assert (value.dtype, value.tobytes()) == (theirs[path].dtype, theirs[path].tobytes()), path


@pytest.mark.sample(2)
@pytest.mark.parametrize("planned", [{"zarr3": True}, {}, {"ocdbt": False}], ids=["zarr3", "zarr2", "files"])
@pytest.mark.parametrize("applied", [{"zarr3": True}, {}, {"ocdbt": False}], ids=["zarr3", "zarr2", "files"])
def test_a_plan_of_one_kind_of_storage_serves_every_other(planned, applied, here):
    save(here / "one", tree(1), **planned)
    save(here / "other", tree(2), **applied)
    run("plan", "rules.yaml", "one", "-o", "plan.json")
    by_plan = json.loads(run("apply", "plan.json", "other", "new", "--json").stdout)
    by_rules = json.loads(run("apply", "rules.yaml", "other", "by_rules", "--json").stdout)
    assert by_rules["digest"] == by_plan["digest"]
    assert [task["mode"] for task in by_rules["tasks"]] == [task["mode"] for task in by_plan["tasks"]]
    same_values("by_rules", "new")


def test_a_plan_serves_every_step_of_a_root(here):
    with ocp.CheckpointManager(here / "root") as manager:
        for step in (1, 2, 5):
            manager.save(step, args=ocp.args.StandardSave(tree(step)))
    run("plan", "rules.yaml", "root", "--step", 1, "-o", "plan.json")
    run("plan", "rules.yaml", "root", "--step", 5, "-o", "same.json")
    assert Path("plan.json").read_bytes() == Path("same.json").read_bytes()
    run("apply", "plan.json", "root", "new", "--step", "all")
    run("apply", "plan.json", "root", "second", "--step", 2)
    with ocp.CheckpointManager(here / "new") as manager:
        assert [1, 2, 5] == sorted(manager.all_steps())
        for step in (1, 2, 5):
            np.testing.assert_array_equal(tree(step)["params"]["w"], manager.restore(step)["model"]["w"])
    same_values("new/2", "second")


def test_every_kind_of_leaf(here):
    Path("rules.yaml").write_text('migrate: 1\nrules: ["params/** -> model/**", "opt/** -> optimizer/**"]')
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(here / "old", every_kind())
    run("plan", "rules.yaml", "old", "-o", "plan.json")
    by_rules = json.loads(run("apply", "rules.yaml", "old", "by_rules", "--json").stdout)
    by_plan = json.loads(run("apply", "plan.json", "old", "new", "--verify", "full", "--json").stdout)
    assert by_rules["receipt"]["leaf_digests"] == by_plan["receipt"]["leaf_digests"]
    for name in ("_METADATA", "_sharding"):
        assert _without_record(Path("by_rules", name)) == _without_record(Path("new", name))


def _without_record(file):
    content = json.loads(file.read_text())
    content.pop("custom_metadata", None)
    return content


def test_items_of_a_step_are_items_again(here):
    Path("rules.yaml").write_text('migrate: 1\nrules: ["params/** -> model/**"]')
    with ocp.CheckpointManager(here / "root", item_names=("params", "state", "config")) as manager:
        items = {
            "params": ocp.args.StandardSave(tree(1)["params"]),
            "state": ocp.args.StandardSave({"count": jnp.int32(4)}),
            "config": ocp.args.JsonSave({"width": 3}),
        }
        manager.save(3, args=ocp.args.Composite(**items))
    run("plan", "rules.yaml", "root", "-o", "plan.json")
    assert {"config": "kept"} == json.loads(Path("plan.json").read_text())["source"]["json"]
    run("apply", "plan.json", "root", "new/3")
    run("apply", "rules.yaml", "root", "by_rules/3")
    assert sorted(p.name for p in Path("by_rules/3").iterdir()) == sorted(p.name for p in Path("new/3").iterdir())
    same_values("by_rules/3", "new/3")


@given(plans())
@settings(max_examples=examples(8), suppress_health_check=list(HealthCheck))
def test_for_random_rules_the_plan_file_does_what_the_rules_do(case):
    stored, plan = case
    assume(all(isinstance(value, np.ndarray) and value.dtype.names is None for value in stored.values()))
    folder = Path(tempfile.mkdtemp())
    try:
        _compare(folder, stored, plan.rules.text)
    finally:
        shutil.rmtree(folder)


@pytest.mark.sample(5)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plans_of_real_models_are_read_as_they_were(case, monkeypatch):
    if case.real and not case.checkpoint.exists():
        pytest.skip("the real checkpoints are not on this machine")
    monkeypatch.chdir(ROOT)
    rules = migrate.load_rules(case.rules)
    with migrate.open_checkpoint(case.checkpoint, unbox=rules.source.unbox) as source:
        plan = migrate.plan(source, rules)
        text = plan_text(plan)
        again = bound(read_plan(text, RuleFile("plan.json", Path("plan.json")), str(ROOT)), source.abstract)
    assert plan.digest == again.digest
    assert plan.target.leaves == again.target.leaves
    assert [task.proved for task in plan.tasks] == [task.proved for task in again.tasks]
    assert text == plan_text(again)


def _compare(folder, stored, rules):
    (folder / "rules.yaml").write_text(rules)
    (folder / "old.msgpack").write_bytes(msgpack.packb(pack(_nested(stored)), use_bin_type=True))
    with migrate.open_checkpoint(folder / "old.msgpack") as source:
        plan = migrate.plan(source, folder / "rules.yaml")
        assume(plan.applicable)
        migrate.save_plan(plan, folder / "plan.json")
        again = migrate.load_plan(folder / "plan.json", source)
        by_rules = migrate.apply(plan, source, folder / "by_rules")
        by_plan = migrate.apply(again, source, folder / "new")
    assert by_rules.plan_digest == by_plan.plan_digest
    assert by_rules.leaf_digests == by_plan.leaf_digests
    same_values(folder / "by_rules", folder / "new")


def _nested(stored):
    root = {}
    for path, value in stored.items():
        node = root
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return root


def test_public_functions(here):
    save(here / "old", tree(1))
    with migrate.open_checkpoint("old") as source:
        plan = migrate.plan(source, "rules.yaml")
        migrate.save_plan(plan, "plan.json")
        with pytest.raises(migrate.UsageError, match=r"plan.json exists"):
            migrate.save_plan(plan, "plan.json")
        again = migrate.load_plan("plan.json", source, max_ram=2**30, destination="new.safetensors")
        assert 2**30 == again.max_ram
        migrate.apply(again, source, "new.safetensors")
    assert {"model/w", "model/b", "stacked", "turned"} == values("new.safetensors").keys()


def test_a_plan_of_an_nnx_model_with_its_optimizer(here):
    Path("nnx_model.py").write_text(
        "import optax\nfrom flax import nnx\n\n\n"
        "def make():\n    model = nnx.Linear(3, 4, rngs=nnx.Rngs(0))\n"
        "    return {'model': model, 'optimizer': nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)}\n"
    )
    Path("rules.yaml").write_text(
        'migrate: 1\ntarget: {template: "nnx_model:make"}\nunmatched: {target: template}\n'
        'rules: ["params/** -> model/**", {create: {to: "optimizer/**", init: template}}]\n'
    )
    save(here / "old", {"params": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}})
    said = run("plan", "rules.yaml", "old", "-o", "plan.json").stdout
    assert "applying this plan runs `nnx_model:make`" in said
    by_rules = json.loads(run("apply", "rules.yaml", "old", "by_rules", "--json").stdout)
    by_plan = json.loads(run("apply", "plan.json", "old", "new", "--verify", "full", "--json").stdout)
    assert by_rules["digest"] == by_plan["digest"]
    assert by_rules["receipt"]["leaf_digests"] == by_plan["receipt"]["leaf_digests"]
    same_values("by_rules", "new")
    run("apply", "plan.json", "old", "given", "--template", "nnx_model:make")
    same_values("by_rules", "given")
