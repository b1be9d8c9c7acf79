"""Proof by value, through the command line: what a probe shows, and every way in which it shows nothing."""

import json
import re
import shutil
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest

import migrate
from tests.cli.conftest import pack

PROBE = """
import numpy as np


def layers(old, model):
    x = np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4)
    for i in range(3):
        before, after = old["params"][f"Dense_{i}"], model["layers"][str(i)]
        yield f"layers.{i}", x @ before["kernel"] + before["bias"], x @ after["kernel"] + after["bias"]


def one_pair(old, model):
    return old["params"]["Dense_0"]["kernel"], model["layers"]["0"]["kernel"]


def talking(old, model):
    print("hello")
    return list(layers(old, model))


def nothing(old, model):
    return []


def forgot(old, model):
    layers(old, model)


def raising(old, model):
    yield np.ones(1), np.ones(1)
    yield old["params"]["Dense_7"], 1


def other_shape(old, model):
    return np.ones((2, 3)), np.ones((3, 2))


def old_alone(old, model):
    return [("layers.0", old["params"]["Dense_0"]["kernel"], old["params"]["Dense_0"]["kernel"])]


def alone(old):
    return []


number = 3
"""
SWAPPED = """\
migrate: 1
target: {template: "tiny_model:make"}
rules:
  - "params/Dense_{i}/** -> layers/{2-i}/**"
  - drop: params/old_head
"""
APPLY = ("apply", "rules.yaml", "old.msgpack", "new")


@pytest.fixture(autouse=True)
def files(here, monkeypatch):
    monkeypatch.delitem(sys.modules, "probes", raising=False)  # every test has a directory of its own
    (here / "probes.py").write_text(PROBE)
    (here / "swapped.yaml").write_text(SWAPPED)
    rules = (here / "rules.yaml").read_text()
    (here / "with_probe.yaml").write_text(rules + 'probe: "probes:layers"\n')


def leftovers(here):
    return [path.name for path in here.iterdir() if path.name.startswith((".new", "new"))]


def test_a_probe_that_passes_proves_by_value_and_the_receipt_says_so(run):
    result = run(*APPLY, "--probe", "probes:layers")
    assert 0 == result.exit_code, result.output
    assert (
        "Proved by value: `probes:layers` compared 3 pairs of outputs; the largest difference is 0 "
        "(tolerance 1e-05 + 1e-05·|old|). Leaves: 6 proved by value." in " ".join(result.stdout.split())
    )
    assert 3 == len(re.findall(r"^  (?:layer|pair) .* values, equal$", result.stdout, re.M))


def test_for_programs_the_plan_and_the_receipt_say_what_is_proved_by_value(run):
    payload = json.loads(run(*APPLY, "--probe", "probes:one_pair", "--json").stdout)
    counts = {"name": 0, "shape": 0, "value": 6, "none": 0}
    assert (counts, counts) == (payload["proof"], payload["receipt"]["proof"])
    assert {"value"} == {task["proved"] for task in payload["tasks"]}
    probe = payload["receipt"]["probe"]
    assert ("probes:one_pair", 1e-5, 1e-5, 1, 0.0) == (
        probe["function"],
        probe["tolerance"],
        probe["rtol"],
        probe["pairs"],
        probe["largest_difference"],
    )


def test_layers_that_changed_places_pass_every_other_check_and_the_probe_names_the_first(run, here, golden):
    result = run("apply", "swapped.yaml", "old.msgpack", "new", "--verify", "full", "--probe", "probes:layers")
    assert 1 == result.exit_code
    assert [] == leftovers(here)
    golden("cli/probe_differs.txt", result.stderr)


def test_a_model_without_floats_is_probed_without_nan(run, here):
    (here / "whole_model.py").write_text(
        "import numpy as np\n\n\ndef make():\n    return {'table': np.zeros(3, 'int32')}\n\n\n"
        "def probe(old, model):\n    return old['params']['table'], model['table']\n"
    )
    (here / "whole.yaml").write_text(
        'migrate: 1\ntarget: {template: "whole_model:make"}\nrules: ["params/table -> table"]\n'
    )
    table = pack({"params": {"table": np.arange(3, dtype="int32")}})
    (here / "table.msgpack").write_bytes(msgpack.packb(table, use_bin_type=True, strict_types=True))
    result = run("apply", "whole.yaml", "table.msgpack", "new", "--probe", "whole_model:probe")
    assert 0 == result.exit_code, result.output


def test_a_difference_within_the_tolerance_is_none(run):
    assert (
        0
        == run("apply", "swapped.yaml", "old.msgpack", "new", "--probe", "probes:layers", "--tolerance", "99").exit_code
    )


def test_a_rule_file_sets_the_tolerances_of_its_probe_and_options_replace_them(run, here):
    loose = (here / "swapped.yaml").read_text() + "probe: {function: 'probes:layers', atol: 99, rtol: 1e-5}\n"
    (here / "loose.yaml").write_text(loose)
    command = ("apply", "loose.yaml", "old.msgpack", "new", "--json")
    assert 1 == run(*command, "--atol", "1e-5").exit_code
    assert 99 == json.loads(run(*command).stdout)["receipt"]["probe"]["tolerance"]


def test_the_tolerance_of_a_rule_file_is_a_number_that_is_not_negative(run, here):
    wrong = (here / "swapped.yaml").read_text() + "probe: {function: 'probes:layers', atol: -1}\n"
    (here / "wrong.yaml").write_text(wrong)
    result = run("check", "wrong.yaml")
    assert 1 == result.exit_code
    assert "`atol` must be a number such as `1e-5` that is not negative, not `-1`" in result.output


def test_outputs_of_other_shapes_differ_whatever_the_tolerance(run):
    result = run(*APPLY, "--probe", "probes:other_shape", "--tolerance", "1e9")
    assert 1 == result.exit_code
    assert "error[M513]: `probes:other_shape`: pair 1: the old output is float64[2,3], the new one float64[3,2]" in (
        result.stderr
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "`probes:nothing` yielded no pair, which proves nothing"),
        ("forgot", "`probes:forgot` returned NoneType instead of pairs"),
        ("alone", "`probes:alone` does not take two arguments: too many positional arguments"),
        ("old_alone", "`probes:old_alone` also passes on a model of NaN, so it proves nothing"),
        ("number", "`probes:number` is a int, not a function"),
        ("layer", "`probes:layer`: `probes` has no attribute `layer`"),
        (
            "raising",
            '`probes:raising` failed at probes.py:31, `yield old["params"]["Dense_7"], 1`: KeyError: \'Dense_7\'',
        ),
    ],
)
def test_a_probe_that_shows_nothing_is_no_proof_and_nothing_is_published(name, message, run, here):
    result = run(*APPLY, "--probe", f"probes:{name}")
    assert 2 == result.exit_code
    assert f"error[M514]: {message}" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (here / "new").exists()


def test_once_the_probe_is_mended_the_same_command_goes_on(run, here):
    assert 2 == run(*APPLY, "--probe", "probes:raising").exit_code
    mended = (here / "probes.py").read_text().replace('old["params"]["Dense_7"], 1', "one_pair(old, model)")
    (here / "mended.py").write_text(mended)
    result = run(*APPLY, "--probe", "mended:raising")
    assert 0 == result.exit_code, result.output
    assert "resumed an earlier run, which had staged 6 of 6 arrays" in result.stderr


def test_what_a_probe_prints_is_not_the_answer(run):
    result = run(*APPLY, "--probe", "probes:talking", "--json")
    assert 0 == json.loads(result.stdout)["exit_code"]
    assert "hello" in result.stderr


def test_a_dry_run_says_which_probe_will_run_and_finds_a_misspelled_one(run, here):
    result = run(*APPLY, "-n", "--probe", "probes:layers")
    assert "Before DST appears, the probe `probes:layers` compares " in result.stdout
    assert 2 == run(*APPLY, "-n", "--probe", "probes:layer").exit_code
    assert [] == leftovers(here)


@pytest.fixture
def elsewhere(here, tmp_path_factory):
    """A rule file with a probe that is not below the current directory."""
    return str(shutil.copy("with_probe.yaml", tmp_path_factory.mktemp("elsewhere")))


def test_the_probe_of_a_rule_file_from_elsewhere_runs_only_when_code_is_allowed(run, here, elsewhere):
    command = ("apply", elsewhere, "old.msgpack", "new", "--template", "tiny_model:make")
    refused = run(*command)
    assert (1, []) == (refused.exit_code, leftovers(here))
    assert f"error[M506]: `probe` would run `probes:layers` at {elsewhere}:" in refused.stderr
    assert "Proved by value: `probes:layers`" in run(*command, "--allow-code").stdout


def test_the_probe_of_a_rule_file_below_the_current_directory_runs(run):
    assert "Proved by value: `probes:layers`" in run("apply", "with_probe.yaml", "old.msgpack", "new").stdout


def test_a_probe_on_the_command_line_is_allowed_and_stands_in_for_the_rule_files(run):
    result = run("apply", "with_probe.yaml", "old.msgpack", "new", "--probe", "probes:one_pair")
    assert "Proved by value: `probes:one_pair`" in result.stdout


def test_a_probe_needs_a_model(run, here):
    (here / "bare.yaml").write_text("migrate: 1\nrules: []\n")
    result = run("apply", "bare.yaml", "old.msgpack", "new", "--probe", "probes:layers")
    assert 2 == result.exit_code
    assert "error[M514]: the probe `probes:layers` needs a model, and no template is given" in result.stderr


def test_a_single_file_is_no_model_that_can_be_probed(run, here):
    result = run("apply", "rules.yaml", "old.msgpack", "new.msgpack", "--probe", "probes:layers")
    assert (2, []) == (result.exit_code, leftovers(here))
    assert "error[M514]: `new.msgpack` is not a checkpoint from which Orbax restores a model" in result.stderr


@pytest.mark.parametrize("tolerance", ["-1", "nan", "x"])
def test_a_tolerance_is_a_number_that_is_not_negative(tolerance, run):
    assert 2 == run(*APPLY, "--probe", "probes:layers", "--tolerance", tolerance).exit_code


def test_unproved_leaves_are_errors_where_proof_is_required(run, here, golden):
    result = run(*APPLY, "--require-proof")
    assert (1, []) == (result.exit_code, leftovers(here))
    golden("cli/apply_unproved.txt", f"{result.stdout}--- stderr\n{result.stderr}")


def test_a_probe_that_passes_is_the_proof_that_is_required(run):
    assert 0 == run(*APPLY, "--require-proof", "--probe", "probes:layers").exit_code


def test_check_requires_proof_too(run):
    assert 0 == run("check", "rules.yaml", "old.msgpack").exit_code
    result = run("check", "rules.yaml", "old.msgpack", "--require-proof")
    assert 1 == result.exit_code
    assert "error[M309]: 6 leaves are unproved" in result.stdout
    assert 2 == run("check", "rules.yaml", "--require-proof").exit_code
    counts = {"name": 0, "shape": 0, "value": 0, "none": 6}
    assert counts == json.loads(run("check", "rules.yaml", "old.msgpack", "--json").stdout)["proof"]


AHEAD = "The probe `probes:layers` has not run yet; it must prove 6 unproved leaves: `layers/0/bias`, "


def test_check_and_a_dry_run_name_the_leaves_that_a_probe_must_prove(run):
    by_file = ("with_probe.yaml", "old.msgpack")
    for result in (
        run("check", *by_file, "--require-proof"),
        run("apply", *by_file, "new", "-n", "--require-proof", "--allow-code"),
        run(*APPLY, "-n", "--require-proof", "--probe", "probes:layers"),
    ):
        assert 0 == result.exit_code
        assert AHEAD in result.stdout


def test_verify_runs_a_probe_on_what_was_written_before(run, migrated):
    result = run("verify", migrated, "--source", "old.msgpack", "--rules", "rules.yaml", "--probe", "probes:layers")
    assert 0 == result.exit_code
    assert "Proved by value: `probes:layers` compared 3 pairs" in result.stdout
    assert "Leaves: 6 proved by value." in result.stdout


def test_verify_finds_what_rules_that_are_wrong_have_made(run):
    assert 0 == run("apply", "swapped.yaml", "old.msgpack", "new").exit_code
    against = ("verify", "new", "--source", "old.msgpack", "--rules", "swapped.yaml")
    assert 0 == run(*against).exit_code
    result = run(*against, "--probe", "probes:layers")
    assert 1 == result.exit_code
    assert "error[M513]: `probes:layers`: layer `layers.0`: max |old − new| = " in result.stderr


def test_verify_says_when_it_did_not_run_the_rule_files_probe(run, migrated, elsewhere):
    local = run("verify", migrated, "--source", "old.msgpack", "--rules", "with_probe.yaml")
    assert "Proved by value: `probes:layers`" in local.stdout
    against = ("verify", migrated, "--source", "old.msgpack", "--rules", elsewhere, "--template", "tiny_model:make")
    assert "The rule file's probe `probes:layers` was not run; --allow-code runs it.\n" in run(*against).stdout
    assert "Proved by value: `probes:layers`" in run(*against, "--allow-code").stdout


def test_verify_with_a_probe_needs_the_old_model(run, migrated):
    assert 2 == run("verify", migrated, "--probe", "probes:layers").exit_code


def test_from_python_the_receipt_has_what_the_probe_has_shown(here):
    rules = migrate.load_rules("rules.yaml")
    with migrate.open_checkpoint("old.msgpack") as source:
        plan = migrate.plan(source, rules)
        receipt = migrate.apply(plan, source, Path("new"), probe="probes:layers", tolerance=0.0, require_proof=True)
        assert (3, 0.0) == (receipt.probe.pairs, receipt.probe.largest)
        assert {"value": 6} == dict(receipt.proofs)
        with pytest.raises(migrate.PlanError, match="6 leaves are unproved"):
            migrate.apply(plan, source, Path("other"), require_proof=True)
        with pytest.raises(migrate.UsageError, match="a probe needs the source and the plan"):
            migrate.verify("new", probe="probes:layers")
