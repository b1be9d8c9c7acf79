"""`migrate.resume`: the newest readable step of a root, of whatever version, becomes the state of the new code."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import migrate
from migrate.engine.loading import load as loading
from migrate.errors import CheckpointError, PlanError, UsageError
from tests.end_to_end import resuming, training
from tests.end_to_end.resuming import pytree, record, run, spec, train, v1, v2, write_rules

ROOT = Path(__file__).parents[2]
OPTIONS = ocp.CheckpointManagerOptions(max_to_keep=None)


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of rule files of each version of the code."""
    place = tmp_path_factory.mktemp("rules")
    return {newest: write_rules(place / str(newest), newest) for newest in range(1, 6)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, folders):
    """A root with the steps 1 to 3 of version 1."""
    root = tmp_path_factory.mktemp("trained") / "root"
    train(root, 3, 1, folders[1])
    return root


@pytest.fixture
def root(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "root")


def restamped(step, **fields):
    """Changes the record of a step; without fields, removes it."""
    file = step / "_CHECKPOINT_METADATA"
    content = json.loads(file.read_text())
    content["custom_metadata"] = {"migrate": {**content["custom_metadata"]["migrate"], **fields}} if fields else {}
    file.write_text(json.dumps(content))


def equal(one, other):
    pairs = list(zip(jax.tree.leaves(pytree(one)), jax.tree.leaves(pytree(other)), strict=True))

    def bits(leaf):
        is_key = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()

    return bool(pairs) and all(type(a) is type(b) and bits(a) == bits(b) for a, b in pairs)


def restored(root, step, state):
    with ocp.CheckpointManager(root, options=OPTIONS) as manager:
        return manager.restore(step, args=ocp.args.StandardRestore(pytree(state)))


def test_losses_continue_bit_for_bit_through_every_version(root, folders):
    expected = run(migrate.resume(root, spec(1), folders[1]).state, 11, 1)
    actual = [loss for version in range(2, 6) for loss in train(root, 3 + 2 * (version - 1), version, folders[version])]
    assert [loss.tobytes() for loss in expected] == [loss.tobytes() for loss in actual]
    resumed = migrate.resume(root, spec(5), folders[5], step=3)
    assert (3, 4) == (resumed.step, len(resumed.plan.chain))


def test_a_step_of_the_same_version_is_what_orbax_restores(root, folders):
    resumed = migrate.resume(root, spec(1), folders[1])
    assert (3, 1, 3) == (resumed.step, resumed.metadata["migrate"]["version"], resumed.state["step"])
    assert equal(resumed.state, restored(root, 3, v1()))
    assert not resumed.plan.chain


def test_nothing_of_the_root_changes_and_no_rule_file_is_needed_for_the_same_version(root, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert 3 == migrate.resume(root, spec(1), tmp_path / "missing").step
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_live_model_gets_the_values(root, folders):
    state = v2()
    resumed = migrate.resume(root, rules=folders[2], into=state)
    assert resumed.state["model"] is state["model"]
    assert 3 == resumed.state["step"]
    assert equal(resumed.state, migrate.resume(root, spec(2), folders[2]).state)


@pytest.mark.parametrize("exists", [True, False])
def test_a_root_without_steps_is_none(exists, folders, tmp_path):
    if exists:
        (tmp_path / "root").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert migrate.resume(tmp_path / "root", spec(1), folders[1]) is None
    assert exists == (tmp_path / "root").exists()


def test_a_root_whose_only_save_was_killed_is_none_with_a_warning(root, folders):
    for step in (1, 2):
        shutil.rmtree(root / str(step))
    (root / "3").rename(root / "3.orbax-checkpoint-tmp")
    with pytest.warns(migrate.ResumeWarning, match=r"M740: step 3 .* was never finished"):
        assert migrate.resume(root, spec(1), folders[1]) is None


def without_index(step):
    (step / "default" / "manifest.ocdbt").unlink()


def without_item(step):
    shutil.rmtree(step / "default")


def without_files(step):
    shutil.rmtree(step)
    step.mkdir()


def cut(step):
    for file in (step / "default").rglob("d/*"):
        os.truncate(file, file.stat().st_size // 2)


def flipped(step):
    """Changes bytes of chunks, and no length."""
    for file in (step / "default").rglob("d/*"):
        content = bytearray(file.read_bytes())
        at = max(len(content) - 200, 0) // 2
        content[at : at + 100] = bytes(byte ^ 0xFF for byte in content[at : at + 100])
        file.write_bytes(content)


def of_another(step):
    """Has the record of a checkpoint with other leaves."""
    state = v2()
    restamped(step, leaves=record(state, 1)["migrate"]["leaves"], structure_hash="sha256:0")


def with_a_foreign_record(step):
    restamped(step, version=["1"])


def unfinished(step):
    step.rename(step.with_name(f"{step.name}.orbax-checkpoint-tmp"))


DAMAGES = [
    without_index, without_item, without_files, cut, flipped, of_another, with_a_foreign_record, unfinished,
]  # fmt: skip


@pytest.mark.sample(3)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_newest_step_that_cannot_be_read_is_skipped_by_name_and_refused_if_strict(damage, root, folders):
    damage(root / "3")
    state = v2()
    with pytest.warns(migrate.ResumeWarning, match=r"M740: step 3 of `.*root` cannot be resumed: ") as caught:
        resumed = migrate.resume(root, None, folders[2], into=state)
    assert ([migrate.ResumeWarning], 2) == ([one.category for one in caught], resumed.step)
    assert __file__ == caught[0].filename
    assert equal(resumed.state, migrate.resume(root, spec(2), folders[2], step=2).state)
    with pytest.raises(CheckpointError, match=r"step 3 of `.*root` cannot be resumed: ") as error:
        migrate.resume(root, spec(2), folders[2], strict=True)
    assert ["M740"] == [found.code for found in error.value.diagnostics]
    fresh = v2()
    with pytest.raises(CheckpointError) as error:
        migrate.resume(root, None, folders[2], into=fresh, step=3)
    assert "M740" not in [found.code for found in error.value.diagnostics]
    assert equal(fresh, v2())


@pytest.mark.parametrize("damage", [without_index, without_files, cut, flipped], ids=lambda damage: damage.__name__)
def test_a_root_of_which_no_step_can_be_read_is_an_error_that_names_all(damage, root, folders):
    for step in (1, 2, 3):
        damage(root / str(step))
    with pytest.warns(migrate.ResumeWarning), pytest.raises(CheckpointError, match="no step of") as error:
        migrate.resume(root, spec(1), folders[1])
    assert ["M741"] == [found.code for found in error.value.diagnostics]
    assert all(f"step {step} of" in str(error.value) for step in (1, 2, 3))


def test_a_step_that_does_not_exist_is_an_error(root, folders, tmp_path):
    with pytest.raises(CheckpointError, match="has no step 9"):
        migrate.resume(root, spec(1), folders[1], step=9)
    with pytest.raises(CheckpointError):
        migrate.resume(tmp_path / "missing", spec(1), folders[1], step=9)


def test_folders_beside_the_steps_are_no_steps(root, folders):
    for name in ("logs_2024", "tensorboard"):
        (root / name).mkdir()
        (root / name / "events").write_text("x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 3 == migrate.resume(root, spec(1), folders[1]).step
    for step in (1, 2, 3):
        shutil.rmtree(root / str(step))
    assert migrate.resume(root, spec(1), folders[1]) is None


def test_a_checkpoint_is_not_a_root(root, folders):
    with pytest.raises(UsageError, match="is a checkpoint, and not a root"):
        migrate.resume(root / "3", spec(1), folders[1])


@pytest.fixture
def unread(monkeypatch):
    """Fails if an array is read."""

    def refuse(*_):
        raise AssertionError("an array is read")

    monkeypatch.setattr(loading, "run_jobs", refuse)


def refused(root, version, rules, **options):
    with pytest.raises(PlanError) as error:
        migrate.resume(root, spec(version), rules, **options)
    assert "M742" == error.value.diagnostics[0].code
    return error.value.diagnostics[0]


@pytest.mark.usefixtures("unread")
def test_a_mismatch_that_no_rule_file_explains_fails_before_any_array_is_read(root, folders, tmp_path):
    found = refused(root, 2, tmp_path / "missing")
    assert f"is lm 1, there are no rule files in {tmp_path / 'missing'}, and does not fit the model" in found.message
    assert f"`migrate new {tmp_path / 'missing'} --from {root / '3'} --template {spec(2)}`" in found.help
    found = refused(root, 1, folders[3])
    assert "lm 1 and fits the model, but the rule files" in found.message
    assert "pass `to='1'`, or resume with the code of lm 3" == found.help
    restamped(root / "3", version=9)
    assert "has no version lm 9; it has lm 1, lm 2" in refused(root, 2, folders[2]).message
    restamped(root / "3", version=2)
    assert f"is lm 2, the newest version of {folders[2]}, and does not fit" in refused(root, 2, folders[2]).message
    restamped(root / "3", model="other", version=1)
    assert "has no version other 1; it has lm 1, lm 2" in refused(root, 1, folders[2]).message


def test_a_step_without_a_version_is_resumed_as_it_is_or_through_the_only_path_that_fits(root, folders):
    expected = {version: migrate.resume(root, spec(version), folders[version]).state for version in (1, 3)}
    restamped(root / "3")
    for version in (1, 3):
        resumed = migrate.resume(root, spec(version), folders[version])
        assert (3, version - 1) == (resumed.step, max(len(resumed.plan.chain), 0))
        assert equal(expected[version], resumed.state)


@pytest.mark.usefixtures("unread")
def test_a_step_without_a_version_names_the_candidates_if_none_or_several_fit(root, folders, tmp_path):
    restamped(root / "3")
    write_rules(tmp_path / "rules", 2)
    text = (tmp_path / "rules" / "0002.yaml").read_text()
    (tmp_path / "rules" / "0001.yaml").write_text(
        "migrate: 1\nsource: {model: lm, version: 0}\ntarget: {model: lm, version: 1}\nrules: []\n"
    )
    several = refused(root, 2, tmp_path / "rules")
    assert "the rule files of several fit it: lm 0, lm 1" in several.message
    assert f"`migrate stamp {root / '3'} --model lm --version 0`" in several.help
    assert text.count("inner")
    none = refused(root, 2, folders[5])
    assert all(f"lm {version}: " in none.message for version in (1, 2, 3))
    assert "and 1 more versions" in none.message


def test_the_newest_step_of_a_root_that_mixes_versions_counts(root, folders):
    train(root, 4, 2, folders[2])
    train(root, 5, 3, folders[3])
    newest = [migrate.resume(root, spec(3), folders[3], step=step) for step in (3, 4, 5)]
    assert [1, 2, 3] == [one.metadata["migrate"]["version"] for one in newest]
    assert [2, 0, 0] == [len(one.plan.chain) for one in newest]
    assert not equal(newest[0].state, newest[1].state)
    assert equal(newest[2].state, migrate.resume(root, spec(3), folders[3]).state)


def test_the_code_of_a_version_before_the_newest_names_its_version(root, folders, tmp_path):
    expected = {version: migrate.resume(root, spec(version), folders[version]).state for version in (1, 2)}
    for version in (1, 2):
        resumed = migrate.resume(root, spec(version), folders[5], to=version)
        assert equal(expected[version], resumed.state)
    train(root, 4, 2, folders[2])
    with pytest.raises(PlanError, match=r"no rule files of .* lead from lm 2 to lm 1"):
        migrate.resume(root, spec(1), folders[5], to=1)
    with pytest.raises(UsageError, match="no version lm 9"):
        migrate.resume(root, spec(1), folders[5], to=9)
    assert "is lm 2, not 3, and there are no rule files" in refused(root, 3, tmp_path / "no", to=3).message
    restamped(root / "4")
    assert 4 == migrate.resume(root, spec(3), folders[5], to=3).step


def saved_by(api, place):
    """A root with step 2 of version 1 with items, as `migrate.save` makes it, and what was saved."""
    state = v1()
    run(state, 2, 1)
    made = ocp.CheckpointManager if api == "v0" else ocp.v1.training.Checkpointer
    with made((place / "root").absolute()) as checkpointer:
        migrate.save(checkpointer, 2, {"state": state, "data": Iterator(5)}, {**record(state, 1), "epoch": 4})
    return place / "root", state


@pytest.fixture
def two_layouts(folders, tmp_path, request):
    """A root with step 2 of version 1, which also has the layout of version 2."""
    root, _ = saved_by(getattr(request, "param", "v0"), tmp_path)
    migrate.expand(folders[2] / "0002.yaml", root / "2", template=spec(2))
    return root


@pytest.mark.sample(3)
@pytest.mark.parametrize("two_layouts", ["v0", "v1"], indirect=True)
@pytest.mark.parametrize("has_rules", [True, False])
def test_a_layout_of_the_models_version_is_restored_without_rules(two_layouts, has_rules, folders, tmp_path):
    expected = migrate.resume(saved_by("v0", tmp_path / "other")[0], spec(2), folders[2])
    rules = folders[2] if has_rules else tmp_path / "missing"
    resumed = migrate.resume(two_layouts, spec(2), rules)
    assert (2, ["state_v2"]) == (resumed.step, list(resumed.plan.source.items))
    assert not any(task.steps for task in resumed.plan.tasks)
    assert equal(expected.state, resumed.state)
    assert (2, 4) == (resumed.metadata["migrate"]["version"], resumed.metadata["epoch"])
    assert {"step": 2, "data": {"at": 5}} == dict(resumed.items)


@pytest.mark.parametrize("two_layouts", ["v0", "v1"], indirect=True)
def test_the_old_code_resumes_the_old_layout_and_a_newer_version_passes_through_the_rules(two_layouts, folders):
    resumed = migrate.resume(two_layouts, spec(1), folders[1])
    assert (["state"], 1) == (list(resumed.plan.source.items), resumed.metadata["migrate"]["version"])
    resumed = migrate.resume(two_layouts, spec(1), folders[5], to=1)
    assert ["state"] == list(resumed.plan.source.items)
    newer = migrate.resume(two_layouts, spec(3), folders[3])
    assert (["state"], 2) == (list(newer.plan.source.items), len(newer.plan.chain))


@pytest.mark.parametrize("two_layouts", ["v0", "v1"], indirect=True)
def test_what_contract_keeps_is_resumed(two_layouts, folders):
    expected = migrate.resume(two_layouts, spec(2), folders[2]).state
    migrate.contract(two_layouts / "2", keep="state_v2")
    resumed = migrate.resume(two_layouts, spec(2), folders[2])
    assert equal(expected, resumed.state)
    assert {"step": 2, "data": {"at": 5}} == dict(resumed.items)


def without_manifest(layout):
    (layout / "manifest.ocdbt").unlink()


def with_flipped_chunks(layout):
    """Changes bytes of the layout's own copies of its files, and no length."""
    for file in layout.rglob("d/*"):
        content = bytearray(file.read_bytes())
        at = max(len(content) - 200, 0) // 2
        content[at : at + 100] = bytes(byte ^ 0xFF for byte in content[at : at + 100])
        file.unlink()
        file.write_bytes(content)


@pytest.mark.sample(3)
@pytest.mark.parametrize("damage", [without_manifest, with_flipped_chunks])
@pytest.mark.parametrize("step", ["latest", 2])
def test_a_damaged_layout_is_named_and_the_step_passes_through_the_rules(two_layouts, damage, step, folders):
    expected = migrate.resume(two_layouts, spec(2), folders[2]).state
    damage(two_layouts / "2" / "state_v2")
    message = r"M745: the layout state_v2 of step 2 of `.*root` cannot be resumed: "
    with pytest.warns(migrate.ResumeWarning, match=message) as caught:
        resumed = migrate.resume(two_layouts, spec(2), folders[2], step=step)
    assert (1, 2, 1) == (len(caught), resumed.step, resumed.metadata["migrate"]["version"])
    assert equal(expected, resumed.state)
    with pytest.raises(CheckpointError, match=message.removeprefix("M745: ")) as error:
        migrate.resume(two_layouts, spec(2), folders[2], step=step, strict=True)
    assert ["M745"] == [found.code for found in error.value.diagnostics]


def test_hyperparameters_that_differ_are_a_warning(root, folders):
    restamped(root / "3", hyperparameters={"in_features": 99})
    with pytest.warns(migrate.ResumeWarning, match="M310: saved with in_features 99"):
        migrate.resume(root, spec(1), folders[1])


def test_a_root_of_the_v1_api_is_resumed(folders, tmp_path):
    state = v1()
    run(state, 2, 1)
    with ocp.v1.training.Checkpointer((tmp_path / "root").absolute()) as checkpointer:
        checkpointer.save(2, pytree(state), custom_metadata=record(state, 1))
    resumed = migrate.resume(tmp_path / "root", spec(1), folders[1])
    assert equal(state, resumed.state)
    upgraded = migrate.resume(tmp_path / "root", spec(2), folders[2])
    assert run(state, 4, 1) == run(upgraded.state, 4, 2)


def test_a_step_of_items_is_resumed_with_its_json_items(folders, tmp_path):
    training.train(tmp_path / "root", 0, 3, "first")
    expected = training.train(shutil.copytree(tmp_path / "root", tmp_path / "other"), 3, 2, "first")
    model, optimizer = training.build("renamed")
    into = {"model": model, "optimizer": optimizer, "rng": jax.random.key(0)}
    resumed = migrate.resume(tmp_path / "root", None, folders[2], into=into)
    assert (3, {"step": {"step": 3}}) == (resumed.step, dict(resumed.items))
    assert expected == run({**resumed.state, "step": 3}, 5, 2)


class Iterator:
    """A data iterator."""

    def __init__(self, at):
        self.at = at

    def get_state(self):
        return {"at": self.at}


@pytest.mark.sample(3)
@pytest.mark.parametrize("has_iterator", [False, True])
@pytest.mark.parametrize("checkpointer", [ocp.CheckpointManager, ocp.v1.training.Checkpointer])
def test_what_save_saves_is_resumed_by_the_next_version(checkpointer, has_iterator, folders, tmp_path):
    state = {name: part for name, part in v1().items() if isinstance(part, nnx.Pytree)}
    items = {"data": Iterator(7)} if has_iterator else {}
    custom = {**migrate.Metadata.of(state, name="lm", version=1), "epoch": 4}
    with checkpointer(tmp_path / "root") as manager:
        migrate.save(manager, 2, {**state, **items}, custom)
    into = {name: part for name, part in v2().items() if isinstance(part, nnx.Pytree)}
    resumed = migrate.resume(tmp_path / "root", None, folders[2], into=into)
    assert (2, 4, 2) == (resumed.step, resumed.metadata["epoch"], resumed.metadata["migrate"]["step"])
    assert {"step": 2, **({"data": {"at": 7}} if has_iterator else {})} == dict(resumed.items)
    old, new = state["model"].inner.kernel.get_value(), into["model"].blocks[0].kernel.get_value()
    assert np.array_equal(old, new)


def job(root, version, end, log):
    """A process that trains; without fused multiply-add, the code's shape does not change how numbers are rounded."""
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_max_isa=AVX", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.end_to_end.resuming", root, version, end, log]
    environment = {**os.environ, **flags}
    return subprocess.Popen([*map(str, command)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.matrix
def test_losses_are_those_of_an_uninterrupted_run_when_the_job_is_killed_at_any_moment_and_its_code_changes(tmp_path):
    end, random = 24, np.random.default_rng()
    log, root = tmp_path / "log", tmp_path / "root"
    uninterrupted = job(tmp_path / "other", 1, end, tmp_path / "expected")
    _, errors = uninterrupted.communicate(timeout=120)
    assert uninterrupted.returncode == 0, errors[-3000:]
    for number, version in enumerate((1, 3, 5), start=1):
        killed = job(root, version, end, log)
        until = time.monotonic() + 120
        goal = 7 * number
        while version < 5 and killed.poll() is None and time.monotonic() < until and not (root / str(goal)).exists():
            time.sleep(0.01)
        if version < 5:
            time.sleep(random.uniform(0, 0.3))
            killed.send_signal(signal.SIGKILL)
        _, errors = killed.communicate(timeout=120)
        assert killed.returncode == (-signal.SIGKILL if version < 5 else 0), errors[-3000:]
    lines, expected = log.read_text().splitlines(), (tmp_path / "expected").read_text().splitlines()
    assert end == len(expected)
    assert set(expected) == set(lines)
    final = migrate.resume(root, spec(5), resuming.write_rules(tmp_path / "rules5", 5))
    assert end == final.step
    assert isinstance(final.state["model"], nnx.Module)
