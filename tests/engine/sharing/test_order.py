"""A worker makes the plan again, and refuses to work where anything differs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from migrate.engine import preflight
from migrate.engine.options import ApplyOptions
from migrate.engine.outputs.orbax import OUTPUT
from migrate.engine.sharing.order import Order, jobs_of, new_order, plan_again, share_of
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.resume import origin
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import MigrateError, RefusedError
from tests.engine.sharing.shared_runs import RULES
from tests.engine.sources import opened, plan_for


@pytest.fixture
def job(source, tmp_path):
    with opened(source) as reader:
        plan = plan_for(reader, RULES)
        yield preflight.check(plan, reader, tmp_path / "new", ApplyOptions(max_ram=1 << 30, jobs=6), OUTPUT), reader


@pytest.fixture
def order(job, tmp_path):
    run, reader = job
    (tmp_path / "work").mkdir()
    now = origin(run.plan, SourceState.now(reader), run.options)
    return new_order(run, reader, Workspace(tmp_path / "work"), now, 2)


def test_an_order_is_plain_json(order):
    assert order == Order.from_json(json.loads(json.dumps(order.to_json())))


def test_the_plan_is_made_again(job, order):
    planned = plan_again(order)
    planned.reader.close()
    assert job[0].plan.digest == planned.plan.digest
    assert [task.mode for task in job[0].plan.tasks] == [task.mode for task in planned.plan.tasks]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda order: {"origin": {**order.origin, "migrate": "0.0.0"}}, "runs migrate"),
        (lambda order: {"origin": {**order.origin, "source": "sha256:0"}}, "sees other files"),
        (lambda _: {"digest": "sha256:0"}, "makes the plan"),
        (lambda order: {"modes": order.modes[1:]}, "another number of tasks"),
        (lambda order: {"modes": "r" * len(order.modes)}, "makes the plan"),
        (lambda order: {"workspace": order.workspace + "-gone"}, "does not see the working directory"),
    ],
)
def test_a_worker_that_differs_is_refused(order, change, reason):
    with pytest.raises(MigrateError, match=reason) as refusal:
        plan_again(replace(order, **change(order)))
    assert "M553" == refusal.value.diagnostics[0].code


def test_code_needs_the_same_permission_in_a_worker(source, tmp_path, monkeypatch):
    (tmp_path / "ops_of_mine.py").write_text("def twice(array):\n    return array * 2\n")
    rules = "migrate: 1\nrules: [{from: 'turned/0', to: a, ops: [{call: 'ops_of_mine:twice'}]}]"
    (tmp_path / "rules.yaml").write_text(rules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import migrate

    with migrate.open_checkpoint(source) as checkpoint:
        plan = migrate.plan(checkpoint, "rules.yaml")
        run = preflight.check(plan, checkpoint.reader, Path("new"), ApplyOptions(), OUTPUT)
        (tmp_path / "work").mkdir()
        now = origin(run.plan, SourceState.now(checkpoint.reader), run.options)
        made = new_order(run, checkpoint.reader, Workspace(tmp_path / "work"), now, 1)
    plan_again(made).reader.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(RefusedError) as refusal:
        plan_again(made)
    assert {"M506"} == {found.code for found in refusal.value.diagnostics}
    plan_again(replace(made, options={**made.options, "allow_code": True})).reader.close()


def test_memory_and_leaves_at_a_time_are_divided_among_the_workers_of_a_machine(order):
    assert (512 << 20, 3) == (order.apply_options.max_ram, order.apply_options.jobs)
    assert 3 == jobs_of(order)
    assert 64 << 20 == share_of(ApplyOptions(max_ram=100 << 20), 4).max_ram
