import json
import re
import shutil
from pathlib import Path

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
    shutil.copy("old.msgpack", "other.msgpack")  # a later copy: not the file that `new` was made from
    result = run("apply", "rules.yaml", "other.msgpack", migrated)
    assert 1 == result.exit_code
    assert "error[M501]" in result.stderr
    assert 0 == run("apply", "rules.yaml", "other.msgpack", migrated, "--overwrite").exit_code


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


def test_a_step_that_does_not_fit_refuses_the_run_before_any_is_written(run, here, root):
    shutil.rmtree(here / "root" / "2")
    assert 0 == run("apply", "portable", "old.msgpack", "root/2").exit_code
    (here / "model.yaml").write_text('migrate: 1\nrules: ["layers/** -> model/**"]\n')
    result = run("apply", "model.yaml", root, "out", "--step", "all", "--json")
    payload = json.loads(result.stdout)
    assert (1, 1, False) == (result.exit_code, payload["exit_code"], payload["ok"])
    assert [(1, True), (2, False)] == [(step["step"], step["ok"]) for step in payload["steps"]]
    assert {"M201"} == {found["code"] for found in payload["diagnostics"]}
    assert ["held back", "refused"] == [row["action"] for row in payload["root"]]
    assert not (here / "out").exists()


def test_the_same_command_again_is_already_done(run, here, golden):
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "new").exit_code
    result = run("apply", "rules.yaml", "old.msgpack", "new")
    assert (0, "") == (result.exit_code, result.stderr)
    assert "\nAlready done: new is the result of this plan, written on 20" in result.stdout
    assert "Verified" not in result.stdout
    payload = json.loads(run("apply", "rules.yaml", "old.msgpack", "new", "--json").stdout)
    assert (0, True, True) == (payload["exit_code"], payload["already_done"], payload["receipt"]["already_done"])
    assert not json.loads(run("apply", "rules.yaml", "old.msgpack", "new", "--json", "--overwrite").stdout)[
        "already_done"
    ]


def test_quiet_is_one_line(run, here):
    (dry,) = run("apply", "rules.yaml", "old.msgpack", "new", "-n", "-q").stdout.splitlines()
    assert "Plan: 6 rename, 1 drop. 6/6 target leaves covered, 7/7 source leaves accounted for." == dry
    result = run("apply", "rules.yaml", "old.msgpack", "new", "-q")
    (line,) = result.stdout.splitlines()
    assert (0, "") == (result.exit_code, result.stderr)
    assert re.fullmatch(r"Applied plan [0-9a-f]{12} in .*: 6 leaves, 240 B written → new", line)
    for command in (("inspect", "new"), ("verify", "new"), ("check", "rules.yaml"), ("diff", "new", "new")):
        assert 1 == len(run(*command, "-q").stdout.splitlines()), command


def test_quiet_says_why_a_plan_is_refused(run):
    result = run("apply", "rules.yaml", "old.msgpack", "new", "--template", "tiny_model:wider", "-q")
    assert (1, "This plan cannot be applied: 1 error. Nothing was written.\n") == (result.exit_code, result.stdout)
    assert "error[" in result.stderr


def test_a_dry_run_of_a_finished_plan_is_already_done(run, here):
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "new").exit_code
    assert "Already done: new is" in run("apply", "rules.yaml", "old.msgpack", "new", "-n").stdout
    assert json.loads(run("apply", "rules.yaml", "old.msgpack", "new", "-n", "--json").stdout)["already_done"]


PROBED = """
migrate: 1
target: {template: "tiny_model:make"}
rules:
  - from: "params/Dense_{i}/kernel"
    to: "layers/{i}/kernel"
    ops: [{call: "numpy:negative"}]
  - "params/Dense_{i}/bias -> layers/{i}/bias"
  - drop: params/old_head
"""

REFUSED = {
    "DST exists": (["new"], 1, "M501"),
    "overlap": (["old.msgpack/below"], 1, "M511"),
    "code": (["out", "--rules", "call.yaml"], 1, "M506"),
    "a file above DST": (["rules.yaml/out"], 1, "M520"),
    "a long name": (["n" * 250], 1, "M520"),
    "an option": (["out.msgpack", "--compression", "zstd:3"], 2, "M412"),
    "a misspelled suffix": (["out.safetensor"], 2, "M412"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_dry_run_refuses_what_apply_refuses_with_the_same_diagnostics(run, here, why):
    (arguments, code, number), rules = REFUSED[why], "rules.yaml"
    (here / "call.yaml").write_text(PROBED)
    (here / "new").mkdir()
    if "--rules" in arguments:
        arguments, rules = arguments[:1], arguments[2]
    before = sorted(here.iterdir())
    command = ("apply", rules, "old.msgpack", *arguments)
    found = []
    for dry in ([], ["-n"]):
        result = run(*command, *dry)
        assert (code, True) == (result.exit_code, f"error[{number}]" in result.stderr), result.output
        payload = json.loads(run(*command, *dry, "--json").stdout)
        assert (code, False) == (payload["exit_code"], payload["ok"])
        found.append([d for d in payload["diagnostics"] if d["severity"] == "error"])
    assert found[0] == found[1]
    assert before == sorted(path for path in here.iterdir() if path.name != "__pycache__")


def test_a_dry_run_that_is_refused_still_shows_the_plan(run, here):
    (here / "new").mkdir()
    result = run("apply", "rules.yaml", "old.msgpack", "new", "-n")
    assert result.stdout.startswith("Plan ")
    assert result.stdout.endswith("`apply` would refuse this plan. Nothing was written.\n")
    payload = json.loads(run("apply", "rules.yaml", "old.msgpack", "new", "-n", "--json").stdout)
    assert 6 == len(payload["tasks"])


@pytest.mark.parametrize(
    ("name", "meant"),
    [("out.safetensor", ".safetensors"), ("OUT.SafeTensor", ".safetensors"), ("m.msgpck", ".msgpack")],
)
def test_a_suffix_that_is_almost_that_of_a_single_file_is_a_mistake(run, name, meant):
    result = run("apply", "rules.yaml", "old.msgpack", name)
    assert (2, True) == (result.exit_code, f"did you mean `{meant}`?" in result.stderr)


@pytest.mark.parametrize("name", ["model.v2", "run.final", "x.safe", "step.10"])
def test_a_directory_may_have_a_suffix(run, here, name):
    assert 0 == run("apply", "rules.yaml", "old.msgpack", name).exit_code
    assert (here / name).is_dir()


@pytest.mark.parametrize("layout", ["", "layout: zarr, "])
def test_orbax_and_tensorstore_read_what_the_fastest_level_of_zstd_writes(run, here, layout):
    import orbax.checkpoint as ocp
    import tensorstore as ts

    rules = Path("rules.yaml").read_text().replace("target: {", f"target: {{{layout}")
    Path("fast.yaml").write_text(rules)
    result = run("apply", "fast.yaml", "old.msgpack", "new", "--compression", "zstd:-5")
    assert 0 == result.exit_code, result.output

    want = params()["params"]["Dense_1"]["kernel"]
    with ocp.StandardCheckpointer() as checkpointer:
        assert np.array_equal(want, checkpointer.restore(here / "new")["layers"]["1"]["kernel"])
    base = {"driver": "file" if layout else "ocdbt"}
    place = {"path": f"{here}/new/layers.1.kernel"} if layout else {"base": f"file://{here}/new"}
    kvstore = {**base, **place, **({} if layout else {"path": "layers.1.kernel/"})}
    array = ts.open({"driver": "zarr", "kvstore": kvstore}).result()
    assert {"id": "zstd", "level": -5} == array.spec().to_json()["metadata"]["compressor"]
    assert np.array_equal(want, array.read().result())
