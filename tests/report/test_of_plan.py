import re
from dataclasses import replace

import optax
import pytest

from migrate.errors import ExitCode
from migrate.planning.model import Task
from migrate.report import html, json, text
from migrate.report.diagnostics import draw_findings
from migrate.report.github import draw as github
from migrate.report.layout import Layout
from migrate.report.of_plan import MOST_ROWS, plan_report
from migrate.report.picture_page import script, style
from migrate.rules.model import Init
from migrate.tree import AbstractArray, parse_path
from tests.planning.optimizer_trees import state
from tests.planning.trees import planned
from tests.report import vit


def test_a_plan_as_text(golden):
    golden("report/plan.txt", text.draw(plan_report(vit.plan(), "out/step_0")))


def test_a_plan_that_does_not_apply_says_so(golden):
    report = plan_report(vit.plan(covered=False), "out/step_0", verbose=True)
    assert ExitCode.NO == report.exit_code
    golden("report/plan_not_applicable.txt", text.draw(report))


def test_a_plan_as_json(golden):
    golden("report/plan.json", json.draw(plan_report(vit.plan(), "out/step_0")))


def test_a_plan_for_a_github_workflow(golden):
    golden("report/plan.md", github(plan_report(vit.plan(covered=False), "out/step_0")))


def test_a_plan_as_html(golden):
    page = html.draw(plan_report(vit.plan(covered=False), "out/step_0"))
    digest = re.compile(r"sha256-[^']+")
    golden("report/plan.html", digest.sub("sha256-…", page.replace(script(), "…").replace(style(), "…")))


def test_layers_whose_shapes_differ_are_on_lines_of_their_own():
    plan = vit.plan()
    odd = replace(plan.tasks[3], sources=(parse_path("params/x_0"),), targets=(parse_path("params/y_0"),))
    even = replace(
        odd,
        sources=(parse_path("params/x_1"),),
        targets=(parse_path("params/y_1"),),
        in_avals=(AbstractArray((7,), "float32"),),
        out_avals=(AbstractArray((7,), "float32"),),
    )
    rows = plan_report(replace(plan, tasks=(odd, even)), "out").rows
    assert ["float32[1,197,768]", "float32[7]"] == [row.detail for row in rows if row.verb == "rename"]


def test_the_summary_counts_what_is_joined_and_what_it_is_divided_into():
    rules = """
- {from: qkv, to: [q, k, v], ops: [{split: {axis: 0}}]}
- {from: [a, b], to: ab, ops: [concat]}
- "old -> new"
"""
    plan = planned(rules, {"qkv": "6", "a": "2", "b": "2", "old": "3"})
    summary = plan_report(plan, "out").summary[0]
    assert summary.startswith("Plan: 1 rename, 1 concat (from 2), 1 split (to 3). ")


def test_a_task_is_named_by_its_most_prominent_op_and_else_by_the_first():
    def verb(ops, to="x", source="4,6"):
        return planned(f'- {{from: "l_{{i}}", to: {to}, ops: [{ops}]}}', {"l_0": source, "l_1": source}).tasks[0].verb

    assert "stack" == verb("transpose, {split: {axis: 0}}, {stack: {over: i}}", "[x, y]")
    assert "concat" == verb("{split: {axis: 0}}, {concat: {over: i}}", "[x, y]")
    assert "unstack" == verb("{unstack: {over: j}}, {concat: {axis: 0, over: i}}", '"x/{j}"')
    assert "reshape" == verb("{reshape: [24]}, {flip: {axis: 0}}", '"x_{i}"')


def moment(name, path):
    param, slot = parse_path(f"params/{path}"), parse_path(f"opt_state/0/{name}/{path}")
    aval = AbstractArray((3,), "float32")
    return Task((slot,), (("opt", *slot[1:]),), (0,), (), (aval,), (aval,), rule=vit.line(14), follows=param)


def test_moments_are_one_line_for_each_slot_until_asked_for():
    tasks = tuple(moment(name, path) for name in ("mu", "nu") for path in ("a/kernel", "a/bias", "b/kernel"))
    plan = replace(vit.plan(), tasks=tasks, dropped=(), created=())
    brief = plan_report(plan, "out").rows
    assert [
        ("&", "opt_state/0/mu/**", "3 leaves, like their params"),
        ("&", "opt_state/0/nu/**", "3 leaves, like their params"),
    ] == [(row.symbol, row.subject, row.detail) for row in brief]
    assert {"rename"} == {row.verb for row in plan_report(plan, "out", verbose=True).rows}


def test_many_kept_leaves_are_one_line_until_asked_for():
    tasks = tuple(
        vit.keep(f"params/{'abcdefgh'[i]}/{'stuvwxyz'[j]}", AbstractArray((i, j), "int8"))
        for i in range(8)
        for j in range(8)
    )
    plan = replace(vit.plan(), tasks=tasks, dropped=(), created=())
    assert [("params/**", "64 leaves")] == [(row.subject, row.detail) for row in plan_report(plan, "out").rows]
    assert 8 == len(plan_report(plan, "out", verbose=True).rows)


def test_a_few_kept_leaves_are_listed():
    paths = [f"params/a_rather_long_name_{letter}/b" for letter in "uvwxyz"]
    tasks = tuple(vit.keep(path, AbstractArray((1,), "int8")) for path in paths)
    plan = replace(vit.plan(), tasks=tasks, dropped=(), created=())
    assert 6 == len(plan_report(plan, "out").rows)


def test_a_leaf_that_the_model_initializes_is_called_template_as_in_rule_files():
    created = replace(vit.plan().created[0], init=Init("template"))
    report = plan_report(replace(vit.plan(), created=(created,)), "out")
    assert ["template: float32[768,10]"] == [row.detail for row in report.rows if row.verb == "create"]
    assert ["template"] == [entry["init"] for entry in report.data["created"]]


def test_a_long_plan_is_cut_and_says_so():
    words = [f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij"]
    tasks = tuple(vit.rename(f"p/{word}", f"q/{word}x", AbstractArray((2,), "int8"), 5) for word in words)
    report = plan_report(replace(vit.plan(), tasks=tasks, dropped=(), created=()), "out")
    assert MOST_ROWS == len(report.rows)
    assert "… 60 more lines (-v shows all)" == report.omitted


def drawn(*arguments):
    """A plan of states that optax made, and its findings, as the terminal shows them."""
    report = plan_report(planned(*arguments), "new")
    return re.sub(r"Plan [0-9a-f]{12}", "Plan 0123456789ab", text.draw(report)) + draw_findings(report.findings)


def training(tx, name, target=False):
    places = {"params": "model", "opt_state": "optimizer/opt_state"} if target else {}
    return state(tx, {f"{name}/kernel": (4, 6), f"{name}/bias": (6,)}, **places)


def test_slots_and_counts_are_named_by_their_transforms(golden):
    adamw = optax.adamw(optax.linear_schedule(1.0, 0.0, 9))
    old, new = optax.MultiSteps(adamw, 2), optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), adamw), 2)
    rules = '- "params/dense/** -> model/fc/**"\n'
    golden("report/plan_optimizer.txt", drawn(rules, training(old, "dense"), training(new, "fc", target=True)))


def test_what_cannot_follow_is_named_by_its_transform_with_the_reason(golden):
    old = optax.chain(optax.adafactor(0.1, min_dim_size_to_factor=2), optax.ema(0.9), optax.ema(0.5))
    new = optax.chain(optax.adafactor(0.1, min_dim_size_to_factor=2), optax.ema(0.9), optax.trace(0.9))
    rules = (
        "- {from: params/dense/kernel, to: model/fc/kernel, ops: [{scale: 2.0}]}\n"
        "- {from: params/dense/bias, to: model/fc/bias}"
    )
    golden("report/plan_optimizer_refused.txt", drawn(rules, training(old, "dense"), training(new, "fc", target=True)))


def test_drops_creates_and_lossy_casts_come_first_and_are_never_cut():
    words = [f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij"]
    renames = "\n".join(f'- "p/{word} -> q/{word}x"' for word in words)
    drops = "\n".join(f"- drop: old/{word}" for word in words)
    cast = "- {from: weights, to: half, ops: [{cast: {to: bfloat16, lossy: true}}]}"
    shapes = {f"p/{word}": "2" for word in words} | {f"old/{word}": str(i + 2) for i, word in enumerate(words)}
    plan = planned(f"{renames}\n{cast}\n{drops}", {**shapes, "weights": "3"})
    report = plan_report(plan, "out")
    verbs = [row.verb for row in report.rows]
    lost = verbs.count("drop")
    assert ["drop"] * lost + ["cast"] == verbs[: lost + 1]
    assert lost == sum(row.verb == "drop" for row in plan_report(plan, "out", verbose=True).rows)
    assert "float32[3] → bfloat16[3], lossy" == report.rows[lost].detail
    assert {"rename"} == set(verbs[lost + 1 :])
    assert report.omitted.endswith(" more lines (-v shows all)")


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_every_line_fits(width):
    report = plan_report(vit.plan(), "out", verbose=True)
    lines = text.draw(report, layout=Layout(width)).splitlines()
    assert max(map(len, lines)) <= width
    flat = "".join(line.strip() for line in lines)
    assert all(row.subject in flat and row.detail.replace(" ", "") in flat.replace(" ", "") for row in report.rows)
