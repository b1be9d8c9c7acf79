"""The table of outputs: a suffix selects a row before DST is written, its content afterwards."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from migrate.engine.outputs import registry
from migrate.engine.outputs.registry import OUTPUTS, fitted, is_single_file, kind_of, output_at, output_of
from migrate.errors import UsageError
from migrate.report.of_plan import plan_report
from tests.engine.sources import apply_plan, opened, plan_for, save


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", {"a": np.ones(3, np.float32)})


@pytest.fixture
def plan(row, source):
    """A plan that writes the row, together with its suffix."""
    with opened(source) as reader:
        made = plan_for(reader)
    target = replace(made.rules.target, storage=row.storage)
    return replace(made, rules=replace(made.rules, target=target))


def test_names_and_suffixes_of_rows_differ_and_one_row_is_a_directory_by_default():
    assert len(OUTPUTS) == len({row.name for row in OUTPUTS}) == len({(row.suffix, row.storage) for row in OUTPUTS})
    assert ["orbax"] == [row.name for row in OUTPUTS if not row.suffix and not row.storage]


@pytest.mark.parametrize("row", OUTPUTS, ids=lambda row: row.name)
def test_a_row_selects_what_is_written_under_its_suffix_and_recognizes_it_again(row, plan, source, tmp_path):
    target = tmp_path / f"new{row.suffix.upper()}"
    assert row == kind_of(target, plan)
    assert bool(row.suffix) == is_single_file(target)
    with opened(source) as reader:
        apply_plan(plan, reader, target, verify="none")
    assert bool(row.suffix) == target.is_file()
    assert row.load() is output_of(target, plan) is output_at(target)


@pytest.mark.parametrize("row", OUTPUTS, ids=lambda row: row.name)
def test_a_report_names_the_row(row, plan):
    report = plan_report(plan, f"new{row.suffix}")
    assert f"new{row.suffix} ({row.name}, " in report.title


def test_a_suffix_that_no_format_has_is_a_part_of_a_directorys_name():
    assert "orbax" == kind_of("run.2024").name


def test_the_message_about_a_wrong_suffix_names_every_suffix_of_the_table():
    with pytest.raises(UsageError) as refusal:
        kind_of("new.PT")
    (found,) = refusal.value.diagnostics
    assert "new.PT: `.pt` files are not written" == found.message
    assert all(f"`{row.suffix}`" in found.help for row in OUTPUTS if row.suffix)


def test_a_row_for_a_suffix_that_was_not_written_so_far_is_enough(monkeypatch):
    monkeypatch.setattr(registry, "OUTPUTS", (*OUTPUTS, registry.OutputKind("npy", ".npy", "npy")))
    assert "npy" == kind_of("new.npy").name


def test_a_file_records_no_mesh(source):
    with opened(source) as reader:
        plan = plan_for(reader)
    assert plan is fitted(plan, "new", mesh=True)
    with pytest.raises(UsageError, match="records no mesh"):
        fitted(plan, "new.msgpack", mesh=True)
    assert {"stream"} == {task.mode for task in fitted(plan, "new.msgpack", mesh=False).tasks}


def test_what_a_table_row_names_exists():
    assert all(hasattr(importlib.import_module(f"{registry.__package__}.{row.module}"), "OUTPUT") for row in OUTPUTS)
