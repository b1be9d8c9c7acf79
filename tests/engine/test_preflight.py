"""Every refusal comes before anything is written, with all findings of its kind at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from migrate.codes import InvalidUsage, UnrepresentableLeaf, UnusedSource
from migrate.engine.options import DEFAULTS, ApplyOptions
from migrate.engine.preflight import absolute, check
from migrate.errors import CheckpointError, PlanError, RefusedError, UsageError
from tests.engine.sources import opened, plan_for, save


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", {"a": 1.0})


@pytest.fixture
def plan(source):
    with opened(source) as reader:
        return plan_for(reader)


def checked(plan, destination, options=DEFAULTS):
    with opened(plan.source.path) as reader:
        return check(plan, reader, destination, options)


def refusals(kind, plan, destination, **options):
    with pytest.raises(kind) as refusal:
        checked(plan, destination, ApplyOptions(**options))
    return [(d.code, d.message) for d in refusal.value.diagnostics]


def test_a_run_that_nothing_refuses_is_a_job(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = checked(plan, Path("x/../new"), ApplyOptions(jobs=3))
    assert (plan, tmp_path / "new", None, 3) == (job.plan, job.place, job.probe, job.options.workers)
    assert tmp_path / "new" == absolute(Path("new"))


def test_a_job_has_the_plan_as_its_output_carries_it_out(plan, tmp_path):
    job = checked(plan, tmp_path / "new.msgpack")
    assert {"stream"} == {task.mode for task in job.plan.tasks}


def test_all_invalid_options_are_named_at_once(plan, tmp_path):
    found = refusals(UsageError, plan, tmp_path / "new.msgpack", max_ram=1, jobs=0, compression="gzip")
    assert [
        (InvalidUsage.number, "a msgpack file is not compressed"),
        (InvalidUsage.number, "1 bytes of memory are too few"),
        (InvalidUsage.number, "`--jobs 0` is below 1"),
        (InvalidUsage.number, "`gzip` is not a compression"),
    ] == found


@pytest.mark.parametrize("level", ["-6", "23", "x", "", "٣", "--1", "1.0"])
def test_a_compression_has_a_level_from_minus_5_to_22(plan, tmp_path, level):
    assert refusals(UsageError, plan, tmp_path / "new", compression=f"zstd:{level}")
    for valid in ("zstd:-5", "zstd:0", "zstd:1", "zstd:22", "none"):
        checked(plan, tmp_path / "new", ApplyOptions(compression=valid))


def test_errors_of_the_plan_come_before_what_dst_is(plan, tmp_path):
    (tmp_path / "new").mkdir()
    wrong = replace(plan, diagnostics=(UnusedSource.at("a is not used"),))
    assert ["a is not used"] == [message for _, message in refusals(PlanError, wrong, tmp_path / "new")]


def test_what_dst_is_and_forbidden_code_are_named_at_once(plan, tmp_path):
    (tmp_path / "new").mkdir()
    probed = replace(plan, rules=replace(plan.rules, probe="math:hypot"))
    found = refusals(RefusedError, probed, tmp_path / "new")
    assert ["M501", "M506"] == [code for code, _ in found]
    assert "`probe` would run `math:hypot` in rules.yaml, but it was not read from a file" == found[1][1]


def test_a_destination_that_overlaps_the_source_is_refused_even_to_overwrite(plan, source):
    assert ["M511"] == [code for code, _ in refusals(RefusedError, plan, source / "x", overwrite=True)]
    assert ["M511"] == [code for code, _ in refusals(RefusedError, plan, source.parent, overwrite=True)]


def test_a_probe_that_the_caller_names_stands_in_for_the_rule_files_and_needs_no_permission(plan, tmp_path):
    probed = replace(plan, rules=replace(plan.rules, probe="nowhere:probe"), template="tests.template.models:Small")
    job = checked(probed, tmp_path / "new", ApplyOptions(probe="math:hypot"))
    assert "math:hypot" == job.probe.spec
    assert [] != refusals(RefusedError, probed, tmp_path / "new")
    assert ["M514"] == [code for code, _ in refusals(CheckpointError, probed, tmp_path / "new", allow_code=True)]


def test_leaves_that_have_to_be_proved_are_refused_where_no_probe_can_prove_them(source, tmp_path):
    with opened(source) as reader:
        plan = plan_for(reader, 'rules: ["a -> b"]')
    tasks = tuple(replace(task, proved="none") for task in plan.tasks)
    unproved = replace(plan, tasks=tasks, template="tests.template.models:Small")
    assert ["M309"] == [code for code, _ in refusals(PlanError, unproved, tmp_path / "new", require_proof=True)]
    checked(unproved, tmp_path / "new", ApplyOptions(require_proof=True, probe="math:hypot"))


@pytest.mark.parametrize("name", ["new.orbax-checkpoint-tmp-0", "checkpoint_tmp", "x.partial_save"])
def test_a_name_of_an_unfinished_save_is_refused_where_a_reader_would_refuse_it(plan, tmp_path, name):
    message = f"`{name}` is a name that Orbax or Flax gives to unfinished saves, which no reader opens"
    assert [(InvalidUsage.number, message)] == refusals(UsageError, plan, tmp_path / name)
    step = replace(plan, as_step=True)
    assert [(InvalidUsage.number, message)] == refusals(UsageError, step, tmp_path / name / "5")
    assert checked(plan, tmp_path / name / "new").destination == tmp_path / name / "new"
    assert checked(plan, tmp_path / f"{name}.msgpack").destination == tmp_path / f"{name}.msgpack"


def test_a_target_with_more_levels_than_a_reader_reads_is_refused(source, tmp_path):
    with opened(source) as reader:
        deep = plan_for(reader, f"rules: ['a -> {'x/' * 200}a']")
        fits = plan_for(reader, f"rules: ['a -> {'x/' * 199}a']")
    (found,) = refusals(PlanError, deep, tmp_path / "new")
    assert UnrepresentableLeaf.number == found[0]
    assert "has 201 levels; 200 at most are written" in found[1]
    assert checked(fits, tmp_path / "new").plan == fits
