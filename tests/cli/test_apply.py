import json
import shutil

import numpy as np
import pytest

import migrate
from tests.cli.conftest import params


def test_a_dry_run_shows_the_plan_and_writes_nothing(run, here, golden):
    before = sorted(here.iterdir())
    result = run("apply", "rules.yaml", "old.msgpack", "new", "--dry-run")
    assert (0, "") == (result.exit_code, result.stderr)
    assert before == sorted(path for path in here.iterdir() if path.name != "__pycache__")
    golden("cli/apply_dry_run.txt", result.stdout)


def test_a_plan_that_does_not_apply_is_exit_code_1_and_says_why(run, here, golden):
    result = run("apply", "rules.yaml", "old.msgpack", "new", "--template", "tiny_model:wider")
    assert 1 == result.exit_code
    assert not (here / "new").exists()
    golden("cli/apply_refused.txt", f"{result.stdout}--- stderr\n{result.stderr}")


def test_a_dry_run_for_programs(run):
    payload = json.loads(run("apply", "rules.yaml", "old.msgpack", "new", "-n", "--json").stdout)
    assert (True, 0, "apply") == (payload["ok"], payload["exit_code"], payload["command"])
    assert {
        "missing",
        "unexpected",
        "shape_mismatch",
        "dtype_mismatch",
        "tasks",
        "dropped",
        "created",
    } <= payload.keys()
    assert {"bytes_read", "bytes_written", "peak_host_bytes", "digest"} <= payload.keys()
    assert {
        "rule": 6,
        "sources": ["params/Dense_0/bias"],
        "targets": ["layers/0/bias"],
        "ops": [],
        "mode": "stream",
        "exact": True,
        "proved": "none",
        "follows": None,
        "state": None,
    } == payload["tasks"][0]


def test_apply_writes_what_the_plan_says_and_leaves_a_receipt(run, here):
    result = run("apply", "rules.yaml", "old.msgpack", "new", "--report", "page.html")
    assert 0 == result.exit_code
    plan, applied, verified = result.stdout.splitlines()[0], *result.stdout.splitlines()[-2:]
    assert f"Applied {plan.split('   ')[0].lower()} in " in applied
    assert applied.endswith("6 leaves, 240 B written → new")
    assert verified.startswith("Verified: 6 leaves read back ")
    assert "Applied plan" in (here / "page.html").read_text()
    with migrate.open_checkpoint("new") as checkpoint:
        np.testing.assert_array_equal(params()["params"]["Dense_1"]["kernel"], checkpoint.read("layers/1/kernel"))


def test_apply_for_programs_has_plan_and_receipt_in_one_object(run):
    payload = json.loads(run("apply", "rules.yaml", "old.msgpack", "new", "--json").stdout)
    assert payload["digest"] == payload["receipt"]["plan_digest"]
    assert 6 == len(payload["receipt"]["leaf_digests"])


def test_without_verification_the_receipt_says_so(run):
    assert (
        "Not verified (--verify none).\n" in run("apply", "rules.yaml", "old.msgpack", "new", "--verify", "none").stdout
    )


def test_nothing_is_overwritten_unless_asked(run, migrated):
    result = run("apply", "rules.yaml", "old.msgpack", migrated)
    assert 1 == result.exit_code
    assert "error[M501]" in result.stderr
    assert 0 == run("apply", "rules.yaml", "old.msgpack", migrated, "--overwrite").exit_code


def test_mistakes_in_the_rule_file_stop_before_anything_is_opened(run):
    result = run("apply", "broken.yaml", "nowhere", "new")
    assert (1, "") == (result.exit_code, result.stdout)
    assert "error[M103]" in result.stderr


def test_a_partition_needs_a_mesh(run, here):
    (here / "partition.yaml").write_text('"**": [null]\n')
    result = run("apply", "rules.yaml", "old.msgpack", "new", "-n", "--partition", "partition.yaml")
    assert 2 == result.exit_code
    assert "--mesh" in result.stderr


def test_all_steps_need_steps(run):
    result = run("apply", "rules.yaml", "old.msgpack", "new", "--step", "all")
    assert 2 == result.exit_code
    assert "M405" in result.stderr


@pytest.fixture
def root(here, run, migrated):
    """A root with two steps."""
    for step in ("1", "2"):
        shutil.copytree(migrated, here / "root" / step)
    return "root"


def test_all_steps_are_written_each_into_its_own_directory(run, here, root):
    result = run("apply", "portable", root, "out", "--step", "all", "--json", "--verify", "none")
    payload = json.loads(result.stdout)
    assert (0, [1, 2]) == (result.exit_code, [step["step"] for step in payload["steps"]])
    assert ["out/1", "out/2"] == [step["receipt"]["destination"] for step in payload["steps"]]
    assert ["1", "2"] == sorted(path.name for path in (here / "out").iterdir())


def test_a_step_that_does_not_fit_ends_the_run_and_decides_the_exit_code(run, here, root):
    shutil.rmtree(here / "root" / "2")
    assert 0 == run("apply", "portable", "old.msgpack", "root/2").exit_code
    (here / "model.yaml").write_text('migrate: 1\nrules: ["layers/** -> model/**"]\n')
    result = run("apply", "model.yaml", root, "out", "--step", "all", "--json")
    payload = json.loads(result.stdout)
    assert (1, 1, False) == (result.exit_code, payload["exit_code"], payload["ok"])
    assert [(1, True), (2, False)] == [(step["step"], step["ok"]) for step in payload["steps"]]
    assert {"M201"} == {found["code"] for found in payload["diagnostics"]}
    assert ["1"] == [path.name for path in (here / "out").iterdir()]
