"""Roots: `--step`, `--keep` and `--skip-damaged`, and the new root as Orbax finds it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from orbax.checkpoint import v1

import migrate as package
from migrate.cli.main import migrate
from tests.cli.test_every_step import KILLED

LOSSES = {100: 3.0, 150: 1.0, 200: 2.0, 1000: 4.0, 1100: 5.0}


def options(**others):
    return ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["loss"], best_mode="min", **others)


def save(root, **others):
    """Saves a root of a manager with `best_fn`, metrics and custom metadata."""
    with ocp.CheckpointManager(root, options=options(**others)) as manager:
        for step, loss in LOSSES.items():
            tree = {"params": {"w": jnp.full(3, float(step))}}
            args = ocp.args.StandardSave(tree)
            manager.save(step, args=args, metrics={"loss": loss}, custom_metadata={"note": f"at {step}"})


@pytest.fixture(scope="session")
def saved_once(tmp_path_factory):
    """The root, once for all tests; to be copied, not changed."""
    root = tmp_path_factory.mktemp("roots") / "old"
    save(root)
    return root


@pytest.fixture
def here(tmp_path, monkeypatch, saved_once):
    """The current directory: the root `old`, and a rule file."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved_once, "old")
    Path("rules.yaml").write_text('migrate: 1\nrules: ["params/** -> model/**"]\n')
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(migrate, ["apply", "rules.yaml", "old", "new", *arguments])


def steps():
    return sorted(int(path.name) for path in Path("new").iterdir())


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--step", "all"], [100, 150, 200, 1000, 1100]),
        (["--step", "100,200"], [100, 200]),
        (["--step", "every:100"], [100, 200, 1000, 1100]),
        (["--step", "latest", "--root"], [1100]),
        (["--step", "150", "--root"], [150]),
        (["--keep", "2"], [1000, 1100]),
        (["--step", "all", "--keep", "1", "--keep-period", "1000"], [1000, 1100]),
        (["--step", "best:loss"], [150]),
        (["--step", "best:loss:max", "--keep", "2"], [1000, 1100]),
        (["--step", "best:loss", "--keep", "2", "--keep-period", "1000"], [150, 200, 1000]),
    ],
)
def test_a_root_has_the_chosen_steps(here, arguments, expected):
    dry = json.loads(run(*arguments, "--dry-run", "--json").stdout)
    assert expected == [row["step"] for row in dry["root"] if row["action"] == "write"]
    assert sorted(LOSSES) == [row["step"] for row in dry["root"]]
    assert not Path("new").exists()
    result = run(*arguments)
    assert 0 == result.exit_code, result.output
    assert expected == steps()


def test_a_slash_after_the_name_of_a_root_makes_no_difference(here):
    result = CliRunner().invoke(migrate, ["apply", "rules.yaml", "old/", "new/", "--step", "100,150"])
    assert 0 == result.exit_code, result.output
    assert "150 → new/150" in result.stdout
    assert "//" not in result.stdout


def test_one_step_without_root_is_one_checkpoint(here):
    assert 0 == run("--step", "latest").exit_code
    assert Path("new/_METADATA").exists()


def test_the_new_root_is_to_a_manager_what_the_old_one_is(here):
    assert 0 == run("--step", "all").exit_code
    with (
        ocp.CheckpointManager(here / "old", options=options()) as old,
        ocp.CheckpointManager(here / "new", options=options()) as new,
    ):
        assert list(old.all_steps()) == list(new.all_steps())
        assert (1100, 150) == (old.latest_step(), old.best_step()) == (new.latest_step(), new.best_step())
        for step in LOSSES:
            assert old.metrics(step) == new.metrics(step) == {"loss": LOSSES[step]}
            assert f"at {step}" == new.metadata(step).custom_metadata["note"]
            assert float(step) == float(new.restore(step)["model"]["w"][0])
    with ocp.CheckpointManager(here / "new", options=options()) as new:
        abstract = {"model": {"w": jnp.zeros(3)}}
        restored = new.restore(150, args=ocp.args.StandardRestore(abstract))
        assert 150.0 == float(restored["model"]["w"][2])
        args = ocp.args.StandardSave({"model": {"w": jnp.zeros(3)}})
        new.save(1200, args=args, metrics={"loss": 0.5})
        new.wait_until_finished()
        assert (1200, 1200) == (new.latest_step(), new.best_step())


def test_the_v1_checkpointer_opens_the_new_root(here):
    shutil.rmtree("old")
    with v1.training.Checkpointer(here / "old") as checkpointer:
        for step in (1, 2):
            tree = {"params": {"w": jnp.full(3, float(step))}}
            checkpointer.save(step, tree, metrics={"loss": 1 / step}, custom_metadata={"note": step})
    assert 0 == run("--step", "all").exit_code
    with v1.training.Checkpointer(here / "new") as checkpointer:
        assert [1, 2] == sorted(found.step for found in checkpointer.checkpoints)
        for step in (1, 2):
            assert float(step) == float(checkpointer.load(step)["model"]["w"][0])
            assert step == checkpointer.metadata(step).custom_metadata["note"]
            assert {"loss": 1 / step} == json.loads((here / "new" / str(step) / "metrics" / "metrics").read_text())
    assert 0 == run("--step", "best:loss", "--overwrite").exit_code


def test_steps_keep_their_names_so_that_the_same_options_find_them(here):
    shutil.rmtree("old")
    save(here / "old", step_prefix="lm", step_format_fixed_length=6)
    assert 0 == run("--step", "all").exit_code
    with ocp.CheckpointManager(here / "new", options=options(step_prefix="lm", step_format_fixed_length=6)) as new:
        assert sorted(LOSSES) == sorted(new.all_steps())
        assert 150 == new.best_step()


def test_the_selection_is_drawn(here, golden):
    Path("old/1200.orbax-checkpoint-tmp").mkdir()
    assert 0 == run("--step", "100,1100").exit_code
    shown = run("--step", "every:100", "--keep", "2", "--keep-period", "1000", "--dry-run")
    golden("cli/roots.txt", shown.stdout.partition("\nPlan ")[0] + "\n")


def damage(step):
    """Cuts a data file of a step."""
    largest = max((path for path in Path("old", str(step)).rglob("d/*")), key=lambda path: path.stat().st_size)
    os.truncate(largest, 1)


def test_a_damaged_step_refuses_the_run_before_anything_is_written(here):
    damage(1000)
    result = run("--step", "all")
    assert (2, False) == (result.exit_code, Path("new").exists())
    assert "error[M733]: step 1000 of `old` cannot be read; nothing was written" in result.stderr
    assert "`--skip-damaged` migrates the other steps" in result.stderr
    assert "1000" in result.stderr.partition("error[M4")[2]


def test_damaged_steps_are_skipped_on_request_and_do_not_count(here):
    damage(1000)
    result = run("--step", "all", "--keep", "2", "--skip-damaged")
    assert 0 == result.exit_code, result.output
    assert "skipped  1000" in result.stdout
    assert [200, 1100] == steps()


def test_damaged_metrics_refuse_a_choice_of_the_best_and_no_other(here):
    Path("old/150/metrics/metrics").write_text("{")
    result = run("--step", "best:loss", "--dry-run")
    assert 2 == result.exit_code
    assert "error[M733]: step 150 of `old` cannot be read" in result.stderr
    assert 0 == run("--step", "best:loss", "--skip-damaged").exit_code
    assert [200] == steps()
    assert 0 == run("--step", "latest", "--root").exit_code


def test_a_damaged_step_that_is_not_kept_is_no_obstacle(here):
    damage(100)
    assert 0 == run("--step", "all", "--keep", "2").exit_code
    assert [1000, 1100] == steps()


def test_a_root_of_damaged_steps_is_refused(here):
    for step in LOSSES:
        damage(step)
    result = run("--step", "all", "--skip-damaged")
    assert (2, False) == (result.exit_code, Path("new").exists())
    assert "M733" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["--step", "100,7"], "M403", "has no step 7"),
        (["--step", "every:70"], "M730", "matches no step of `old`, which has 100, 150, 200, 1000, 1100"),
        (["--step", "best:lss:min"], "M731", "did you mean `loss`?"),
        (["--step", "best:speed"], "M732", "`--step best:speed:max`, or `--step best:speed:min`"),
        (["--keep-period", "10"], "M410", "`--keep-period` has no effect"),
    ],
)
def test_a_choice_of_no_step_is_refused(here, arguments, code, problem):
    result = run(*arguments)
    assert 2 == result.exit_code
    assert problem in " ".join(result.stderr.split())
    del code


def test_steps_that_an_earlier_run_kept_are_named_and_left(here):
    assert 0 == run("--step", "100,150").exit_code
    result = run("--step", "all", "--keep", "1")
    assert "note[M734]: `new` also holds steps that `--keep 1` does not keep: `100`, `150`" in result.stderr
    assert [100, 150, 1100] == steps()


@pytest.mark.sample(2)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_same_command_completes_a_run_that_was_killed(here, moment):
    command = ("apply", "rules.yaml", "old", "new", "--step", "best:loss", "--keep", "3")
    subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, "150", moment, *command], check=False)
    done = {path.name: path.stat().st_ino for path in Path("new").glob("[0-9]*")}
    assert (["100", "150"] if moment == "after" else ["100"]) == sorted(done)
    assert 0 == run(*command[4:]).exit_code
    assert [100, 150, 200] == steps()
    assert done == {name: Path("new", name).stat().st_ino for name in done}


def test_a_plan_file_and_a_folder_of_rule_files_make_roots_too(here):
    runner = CliRunner()
    assert 0 == runner.invoke(migrate, ["plan", "rules.yaml", "old", "-o", "plan.json"]).exit_code
    assert 0 == runner.invoke(migrate, ["apply", "plan.json", "old", "new", "--step", "best:loss"]).exit_code
    assert [150] == steps()
    Path("rules").mkdir()
    Path("rules/1.yaml").write_text(
        "migrate: 1\nsource: {model: lm, version: 1}\ntarget: {model: lm, version: 2}\n"
        'rules: ["params/** -> model/**"]\n'
    )
    upgrade = ["upgrade", "rules", "old", "newer", "--from", "1", "--step", "every:1000"]
    result = runner.invoke(migrate, upgrade)
    assert 0 == result.exit_code, result.output
    assert ["1000"] == [path.name for path in Path("newer").iterdir()]


def test_python_migrates_a_root_as_the_command_does(here):
    rules = package.load_rules("rules.yaml")
    made = package.apply_root(lambda step: package.plan(step, rules), "old", "new", step="best:loss", keep=2)
    assert ((150, 200), [150, 200]) == (made.steps.numbers, sorted(made.receipts))
    assert [150, 200] == steps()
    with ocp.CheckpointManager(here / "new", options=options()) as new:
        assert 150 == new.best_step()
        np.testing.assert_array_equal(new.restore(200)["model"]["w"], np.full(3, 200.0))
    again = package.apply_root(lambda step: package.plan(step, rules), "old", "new", step="best:loss", keep=2)
    assert [True, True] == [receipt.already_done for receipt in again.receipts.values()]


def test_python_writes_nothing_if_one_step_is_refused(here):
    Path("new/1100").mkdir(parents=True)
    rules = package.load_rules("rules.yaml")
    with pytest.raises(package.RefusedError, match="exists"):
        package.apply_root(lambda step: package.plan(step, rules), "old", "new")
    assert [1100] == steps()
    with pytest.raises(package.UsageError, match="is a single file"):
        package.apply_root(lambda step: package.plan(step, rules), "old", "new.msgpack")


def test_python_chooses_steps(here):
    damage(1100)
    with pytest.raises(package.CheckpointError, match="step 1100 of `old` cannot be read"):
        package.choose_steps("old", "latest")
    chosen = package.choose_steps("old", keep=1, skip_damaged=True)
    assert ((1000,), [1100]) == (chosen.numbers, list(chosen.damaged))


class IteratorHandler(ocp.CheckpointHandler):
    """Saves the position of a data iterator in files of its own, as Grain does."""

    def save(self, directory, args):
        (directory / "shards").mkdir()
        (directory / "process_0-of-1.json").write_text(args.text)
        (directory / "shards" / "0.bin").write_bytes(bytes(9))

    def restore(self, directory, args=None):
        del args
        return (directory / "process_0-of-1.json").read_text()


@ocp.args.register_with_handler(IteratorHandler, for_save=True)
@dataclass
class IteratorSave(ocp.args.CheckpointArgs):
    text: str


@ocp.args.register_with_handler(IteratorHandler, for_restore=True)
@dataclass
class IteratorRestore(ocp.args.CheckpointArgs):
    pass


@pytest.fixture
def with_iterator(here):
    shutil.rmtree("old")
    with ocp.CheckpointManager(here / "old") as manager:
        for step in (1, 2):
            state = ocp.args.StandardSave({"params": {"w": jnp.full(3, float(step))}})
            manager.save(step, args=ocp.args.Composite(state=state, data=IteratorSave(f"position {step}")))
    return here


def test_items_of_other_kinds_are_carried_along(with_iterator):
    result = run("--step", "all")
    assert 0 == result.exit_code, result.output
    assert "Items: state written as an item; data copied as an item, unread." in result.stdout
    with ocp.CheckpointManager(with_iterator / "new") as manager:
        for step in (1, 2):
            args = ocp.args.Composite(data=IteratorRestore(), state=ocp.args.StandardRestore())
            restored = manager.restore(step, args=args)
            assert f"position {step}" == restored.data
            assert float(step) == float(restored.state["model"]["w"][0])
    assert bytes(9) == Path("new/2/data/shards/0.bin").read_bytes()
    assert 0 == CliRunner().invoke(migrate, ["verify", "new/2"]).exit_code
    again = json.loads(run("--step", "all", "--json").stdout)
    assert 2 == again["already_done"]
    assert 0 == run("--step", "all", "--overwrite").exit_code
    assert "position 1" == Path("new/1/data/process_0-of-1.json").read_text()


def test_one_checkpoint_has_no_items_of_other_kinds_as_before(with_iterator):
    result = run("--step", "latest")
    assert 0 == result.exit_code, result.output
    assert "data not read, so not written" in result.stdout
    assert not Path("new/data").exists()


def test_a_manager_that_restores_a_step_saves_the_next_one(here):
    assert 0 == run("--step", "latest", "--root").exit_code
    with ocp.CheckpointManager(here / "new", options=options()) as manager:
        state = manager.restore(1100)
        manager.save(1200, args=ocp.args.StandardSave(state), metrics={"loss": 0.0})
        manager.wait_until_finished()
        assert 1200 == manager.best_step()


def test_the_template_is_traced_once_for_all_steps(here, monkeypatch):
    Path("traced_model.py").write_text(
        "import jax.numpy as jnp\n\n\ndef make():\n    with open('calls', 'a') as file:\n        file.write('x')\n"
        "    return {'model': {'w': jnp.zeros(3)}}\n"
    )
    monkeypatch.syspath_prepend(str(here))
    assert 0 == run("--step", "latest", "--root", "--template", "traced_model:make").exit_code
    once = Path("calls").read_text()
    Path("calls").write_text("")
    result = run("--step", "all", "--template", "traced_model:make")
    assert 0 == result.exit_code, result.output
    assert once == Path("calls").read_text()
