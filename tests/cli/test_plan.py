"""`migrate plan`, and `migrate apply` with its file: covers `plan` and `plan_origin`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import migrate
from tests.cli.conftest import RULES, params

CREATING = """\
migrate: 1
target: {template: "tiny_model:wider"}
rules:
  - "params/Dense_{i}/** -> layers/{i}/**"
  - drop: params/old_head
  - create: {to: layers/3/kernel, init: template}
"""


@pytest.fixture
def planned(run):
    """`plan.json`: the plan of `rules.yaml` on `old.msgpack`."""
    assert 0 == run("plan", "rules.yaml", "old.msgpack", "-o", "plan.json").exit_code
    return "plan.json"


def digests(new):
    with migrate.open_checkpoint(new) as checkpoint:
        record = checkpoint.reader.digest_record()
        return dict(record.leaves), checkpoint.abstract.metadata["migrate"]


def test_the_report_and_the_file(run, here, golden):
    result = run("plan", "rules.yaml", "old.msgpack", "-o", "plan.json")
    assert (0, "") == (result.exit_code, result.stderr)
    golden("cli/plan.txt", f"{result.stdout}--- plan.json\n{(here / 'plan.json').read_text()}")


def test_without_a_name_the_file_is_on_stdout_and_the_report_on_stderr(run, planned):
    result = run("plan", "rules.yaml", "old.msgpack")
    assert Path(planned).read_text() == result.stdout
    assert result.stderr.startswith("Plan ")


def test_for_programs_the_file_is_part_of_the_report(run, planned):
    payload = json.loads(run("plan", "rules.yaml", "old.msgpack", "--json").stdout)
    assert ("plan", True) == (payload["command"], payload["ok"])
    assert json.loads(Path(planned).read_text()) == payload["plan_file"]


def test_a_plan_that_does_not_apply_is_exit_code_1_and_no_file(run, here):
    result = run("plan", "rules.yaml", "old.msgpack", "--template", "tiny_model:wider", "-o", "plan.json")
    assert (1, False) == (result.exit_code, (here / "plan.json").exists())
    assert "layers/3/kernel" in result.stderr


def test_a_file_is_replaced_only_on_request(run, planned):
    assert 2 == run("plan", "rules.yaml", "old.msgpack", "-o", planned).exit_code
    assert 0 == run("plan", "rules.yaml", "old.msgpack", "-o", planned, "--overwrite").exit_code


def test_a_dry_run_writes_the_same_file(run, planned):
    result = run("apply", "rules.yaml", "old.msgpack", "new", "--dry-run", "-o", "other.json")
    assert 0 == result.exit_code, result.output
    assert "`migrate apply other.json SRC DST`" in result.stdout
    assert Path(planned).read_text() == Path("other.json").read_text()
    single = run("apply", "rules.yaml", "old.msgpack", "new.safetensors", "-n", "-o", "single.json")
    assert 0 == single.exit_code, single.output
    assert Path(planned).read_text() == Path("single.json").read_text()


@pytest.mark.parametrize("arguments", [[], ["--dry-run", "--step", "all"]])
def test_only_a_dry_run_of_one_checkpoint_writes_a_file(arguments, run, here):
    result = run("apply", "rules.yaml", "old.msgpack", "new", "-o", "plan.json", *arguments)
    assert (2, False) == (result.exit_code, (here / "plan.json").exists())


def test_a_plan_file_writes_what_the_rules_write(run, planned):
    by_rules = run("apply", "rules.yaml", "old.msgpack", "one", "--json")
    by_plan = run("apply", planned, "old.msgpack", "other", "--json")
    assert 0 == by_plan.exit_code, by_plan.output
    one, other = json.loads(by_rules.stdout), json.loads(by_plan.stdout)
    assert one["digest"] == other["digest"]
    assert one["receipt"]["leaf_digests"] == other["receipt"]["leaf_digests"]
    assert one["tasks"] == other["tasks"]
    (leaves, record), (others, other_record) = digests("one"), digests("other")
    assert leaves == others
    for row in (record["history"][-1], other_record["history"][-1]):
        row.pop("date")
    assert record == other_record


@pytest.mark.parametrize("new", ["new.safetensors", "new.msgpack"])
def test_a_plan_file_writes_single_files(new, run, planned):
    assert 0 == run("apply", "rules.yaml", "old.msgpack", f"by_rules.{new}").exit_code
    result = run("apply", planned, "old.msgpack", new)
    assert 0 == result.exit_code, result.output
    with migrate.open_checkpoint(new) as one, migrate.open_checkpoint(f"by_rules.{new}") as other:
        assert one.tree.signature == other.tree.signature


def test_the_finished_result_of_the_rules_is_that_of_the_plan_file(run, planned):
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "new").exit_code
    assert json.loads(run("apply", planned, "old.msgpack", "new", "--json").stdout)["already_done"]


BLOCKED = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "jaxlib", "flax", "orbax", "optax", "tiny_model"):
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
from migrate.cli.main import main

main()
"""
"""The command in a process in which JAX, Flax, Orbax and the model cannot be imported."""


def blocked(*arguments, where):
    return subprocess.run([sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True, cwd=where)


def test_it_is_carried_out_without_jax_and_without_the_model(run, here, planned, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    refused = blocked(
        "apply", str(here / "rules.yaml"), str(here / "old.msgpack"), "new", "--allow-code", where=elsewhere
    )
    assert 2 == refused.returncode, refused.stderr  # so that the test knows that the rules do need the model
    result = blocked("apply", str(here / planned), str(here / "old.msgpack"), "new", where=elsewhere)
    assert 0 == result.returncode, result.stderr
    with migrate.open_checkpoint(elsewhere / "new") as checkpoint:
        np.testing.assert_array_equal(params()["params"]["Dense_1"]["kernel"], checkpoint.read("layers/1/kernel"))


def test_a_changed_structure_is_refused_with_its_leaves(run, here, planned):
    run("plan", "renames.yaml", "old.msgpack")
    Path("renames.yaml").write_text('migrate: 1\nrules: ["params/Dense_2/** -> params/Dense_9/**"]')
    assert 0 == run("apply", "renames.yaml", "old.msgpack", "changed").exit_code
    result = run("apply", planned, "changed", "new")
    assert (1, False) == (result.exit_code, (here / "new").exists())
    assert "error[M322]" in result.stderr
    assert "`params/Dense_2/bias` was float32[4], is absent" in result.stderr


def test_a_changed_rule_file_is_refused_and_a_lost_one_is_not(run, here, planned):
    Path("rules.yaml").write_text(f"{RULES}# changed\n")
    result = run("apply", planned, "old.msgpack", "new")
    assert (1, False) == (result.exit_code, (here / "new").exists())
    assert "the rule file `rules.yaml` changed since the plan plan.json was made" in result.stderr
    assert "`migrate plan rules.yaml SRC -o plan.json --overwrite`" in result.stderr
    Path("rules.yaml").write_text("nonsense")
    assert "can no longer be read" in run("apply", planned, "old.msgpack", "new").stderr
    Path("rules.yaml").unlink()
    assert 0 == run("apply", planned, "old.msgpack", "new").exit_code


def test_the_rule_file_is_found_beside_the_plan_file(run, here, planned, monkeypatch):
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    assert 0 == run("apply", "../plan.json", "../old.msgpack", "new").exit_code
    (here / "rules.yaml").write_text(f"{RULES}# changed\n")
    assert "M322" in run("apply", "../plan.json", "../old.msgpack", "other").stderr


def test_a_changed_include_is_a_changed_rule_file(run, here):
    Path("part.yaml").write_text('migrate: 1\nrules: ["params/Dense_{i}/** -> layers/{i}/**"]')
    Path("whole.yaml").write_text('migrate: 1\ninclude: part.yaml\nrules: [{drop: "params/old_head"}]')
    assert 0 == run("plan", "whole.yaml", "old.msgpack", "-o", "plan.json").exit_code
    Path("part.yaml").write_text('migrate: 1\nrules: ["params/Dense_{i}/** -> layer/{i}/**"]')
    assert "M322" in run("apply", "plan.json", "old.msgpack", "new").stderr


def test_another_version_of_the_format_is_refused(run, here, planned):
    text = Path(planned).read_text()
    Path(planned).write_text(text.replace('"migrate_plan": 1', '"migrate_plan": 2'))
    result = run("apply", planned, "old.msgpack", "new")
    assert 1 == result.exit_code
    assert "error[M321]" in result.stderr
    assert "plan.json:2:17" in result.stderr


def test_an_edited_file_is_refused_at_the_line(run, here, planned, golden):
    text = Path(planned).read_text()
    Path(planned).write_text(text.replace('"layers/0/kernel": "float32[4,4]"', '"layers/0/kernel": "float32[4,5]"'))
    result = run("apply", planned, "old.msgpack", "new")
    assert (1, False) == (result.exit_code, (here / "new").exists())
    golden("cli/plan_edited.txt", result.stderr)


def test_shardings_are_decided_in_the_file(run, planned):
    result = run("apply", planned, "old.msgpack", "new", "--mesh", "data=2")
    assert 2 == result.exit_code
    assert "give `--mesh` and `--partition` to `migrate plan`" in result.stderr
    assert 0 == run("plan", "rules.yaml", "old.msgpack", "--mesh", "data=2", "-o", "mesh.json").exit_code
    assert run("apply", "mesh.json", "old.msgpack", "new.safetensors").exit_code == 2
    assert run("apply", "mesh.json", "old.msgpack", "new").exit_code == 0
    assert '"data"' in Path("new/_sharding").read_text().replace("\\", "")


def test_initial_values_of_the_model_need_its_code_and_both_commands_say_so(run, here, monkeypatch, tmp_path_factory):
    Path("creating.yaml").write_text(CREATING)
    said = run("plan", "creating.yaml", "old.msgpack", "-o", "plan.json").stdout
    assert "The model initializes 1 leaf: applying this plan runs `tiny_model:wider`" in said
    assert 0 == run("apply", "plan.json", "old.msgpack", "here").exit_code
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    shutil.copy(here / "tiny_model.py", elsewhere)
    arguments = ("apply", str(here / "plan.json"), str(here / "old.msgpack"))
    result = run(*arguments, "new")
    assert (1, False) == (result.exit_code, os.path.exists("new"))
    assert "`target.template` would run `tiny_model:wider`" in result.stderr
    assert "`--template tiny_model:wider`" in result.stderr
    assert 0 == run(*arguments, "new", "--template", "tiny_model:wider").exit_code


def test_a_template_that_is_not_the_target_is_refused(run, planned):
    result = run("apply", planned, "old.msgpack", "new", "--template", "tiny_model:wider")
    assert 1 == result.exit_code
    assert "the template `tiny_model:wider` is not the target of the plan" in result.stderr


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_code_that_a_plan_file_names_goes_through_the_gate(place, run, here, tmp_path_factory):
    marker = here / "marker"
    Path("evil.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\ndef f(x):\n    return x\n")
    Path("calling.yaml").write_text(
        'migrate: 1\nrules:\n- {from: "params/**", to: "m/**", ops: [{call: {function: "evil:f"}}]}\n'
    )
    file = here / "plan.json" if place == "here" else tmp_path_factory.mktemp("elsewhere") / "plan.json"
    assert 0 == run("plan", "calling.yaml", "old.msgpack", "-o", str(file)).exit_code
    for command in (
        ["show", str(file)],
        ["apply", str(file), "old.msgpack", "new", "--dry-run"],
        ["apply", str(file), "old.msgpack", "new"],
    ):
        result = run(*command)
        if command[0] == "show":
            assert (0, False) == (result.exit_code, marker.exists())
            assert "Applying this plan runs `evil:f`." in result.stdout
        elif place == "elsewhere":
            assert (1, False) == (result.exit_code, marker.exists()), result.output
            assert "M506" in result.stderr
            assert str(file) in result.stderr
    assert (place == "here") == marker.exists()


def test_full_verification_does_not_call_a_model_that_only_the_file_names(run, here, planned):
    Path("tiny_model.py").write_text(f"raise SystemExit({str(here)!r})")
    result = run("apply", planned, "old.msgpack", "new", "--verify", "full")
    assert 0 == result.exit_code, result.output


def test_no_line_of_another_file_is_shown_for_a_plan_file(run, here):
    Path("secret.txt").write_text("password\n")
    run("plan", "rules.yaml", "old.msgpack", "-o", "plan.json")
    text = Path("plan.json").read_text().replace("rules.yaml:6:6", "secret.txt:1:1")
    Path("plan.json").write_text(text)
    result = run("apply", "plan.json", "old.msgpack", "new", "--require-proof")
    assert 1 == result.exit_code
    assert "M309" in result.stderr
    assert "password" not in result.output


def test_a_rule_file_in_json_is_still_a_rule_file(run):
    Path("rules.json").write_text(json.dumps({"migrate": 1, "rules": ["params/** -> p/**"]}))
    assert 0 == run("apply", "rules.json", "old.msgpack", "new").exit_code


def test_a_result_is_verified_against_the_plan_file(run, here, planned, migrated):
    Path("tiny_model.py").unlink()
    arguments = ("verify", migrated, "--source", "old.msgpack", "--rules", planned)
    result = run(*arguments)
    assert 0 == result.exit_code, result.output
    assert "6 leaves of new equal the result of the rules on the source" in result.stdout
    Path("rules.yaml").write_text(f"{RULES}# changed\n")
    assert "M322" in run(*arguments).stderr


def test_a_probe_runs_the_model_of_a_plan_file_only_with_permission(
    run, here, planned, migrated, monkeypatch, tmp_path_factory
):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    Path("a_probe.py").write_text("def probe(old, model):\n    yield old, model\n")
    places = (str(here / migrated), "--source", str(here / "old.msgpack"), "--rules", str(here / planned))
    result = run("verify", *places, "--probe", "a_probe:probe")
    assert 1 == result.exit_code, result.output
    assert "`target.template` would run `tiny_model:make`" in result.stderr
    result = run("apply", places[-1], places[2], "new", "--probe", "a_probe:probe")
    assert 1 == result.exit_code, result.output
    assert "`target.template` would run `tiny_model:make`" in result.stderr


@pytest.mark.parametrize(
    "command", [("check",), ("invert", "old.msgpack"), ("plan", "old.msgpack"), ("diff", "old.msgpack", "--rules")]
)
def test_where_a_rule_file_is_needed_a_plan_file_is_named_as_such(command, run, planned):
    words = [*command, planned] if "--rules" in command else [command[0], planned, *command[1:]]
    result = run(*words)
    assert result.exit_code in (1, 2)
    assert "this is a plan file, not a rule file" in result.output
    assert "`migrate apply plan.json SRC DST` carries it out" in result.output


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", ["1", "2"])
def test_other_processes_write_the_same_bytes(run, here, planned, seed):
    arguments = [sys.executable, "-m", "migrate", "plan", "rules.yaml", "old.msgpack", "-q"]
    written = subprocess.run(arguments, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert Path(planned).read_bytes() == written.stdout


def test_the_bytes_that_each_device_reads_in_a_load_are_printed(run):
    arguments = ("plan", "rules.yaml", "old.msgpack", "--for-load", "data=2,model=4")
    report = run(*arguments, "-o", "plan.json").stdout
    assert "Loading onto data=2,model=4: each of 8 devices decodes " in report
    devices = json.loads(run(*arguments, "--json").stdout)["load"]["devices"]
    assert 8 == len(devices)
    assert {"data": 1, "model": 3} == devices[-1]["place"]


def test_an_axis_of_open_size_cannot_be_forecast(run):
    result = run("plan", "rules.yaml", "old.msgpack", "--for-load", "data=-1")
    assert 2 == result.exit_code
    assert "`--for-load data=8`" in result.stderr
