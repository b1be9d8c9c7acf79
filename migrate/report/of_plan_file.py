"""A plan file as a report: the report of its plan, without what is decided where it is applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migrate.planning.model import Plan
from migrate.report.amounts import plural
from migrate.report.of_plan import plan_report
from migrate.report.view import Report

_UNDECIDED = ("digest", "bytes_read", "bytes_written", "peak_host_bytes", "items")
"""The values of a plan's report that depend on the checkpoint."""


def plan_file_report(plan: Plan, *, verbose: bool = False) -> Report:
    """Reports a plan that was read from a file and is bound to no checkpoint.

    Args:
      plan: the plan.
      verbose: whether every line is shown.
    """
    bare = replace(plan, source=replace(plan.source, extras={}), extras=())
    drawn = plan_report(bare, "DST", dry_run=False, verbose=verbose, probe=plan.rules.probe)
    data = {name: value for name, value in drawn.data.items() if name not in _UNDECIDED}
    data |= {"tasks": [{**task, "mode": None} for task in data["tasks"]], "rules": _rules(plan)}
    reads = next(index for index, sentence in enumerate(drawn.summary) if "Reads " in sentence)
    proofs = drawn.summary[reads].partition("Reads ")[0].strip()
    return replace(
        drawn,
        command="show",
        title=_title(plan),
        rows=tuple(replace(row, mode="") for row in drawn.rows),
        summary=(
            drawn.summary[0],
            *filter(None, (proofs,)),
            *drawn.summary[reads + 1 :],
            *_json_items(plan),
            *plan_file_sentences(plan, str(plan.source.path)),
        ),
        data=data,
    )


def _title(plan: Plan) -> str:
    sides = " → ".join(plural(len(tree.leaves), "leaf") for tree in (plan.source.tree, plan.target))
    return f"Plan file {plan.source.path}   {plan.rules.path}   {sides}"


def _rules(plan: Plan) -> dict[str, object]:
    return {"file": plan.rules.path, "digest": plan.rules.digest, "count": plan.rules.count}


def _json_items(plan: Plan) -> Iterator[str]:
    fates = [f"{name} {'kept' if name in plan.extras else 'dropped'}" for name in sorted(plan.source.extras)]
    if fates:
        yield f"JSON items: {', '.join(fates)}."


def plan_file_sentences(plan: Plan, file: str | None) -> Iterator[str]:
    """Yields what a reviewer needs to know about the file: how it is applied, and the code that this calls.

    Args:
      plan: the plan.
      file: the file; None if it was printed.
    """
    if plan.calls_model:
        initialized = sum(one.init is not None and one.init.kind == "template" for one in plan.created)
        yield (
            f"The model initializes {plural(initialized, 'leaf')}: applying this plan runs `{plan.template}`, "
            f"or the callable of `--template`."
        )
    calls = list(dict.fromkeys(reference.spec for reference in plan.rules.call_code))
    if calls:
        yield f"Applying this plan runs {', '.join(f'`{one}`' for one in calls)}."
    if file is not None:
        others = "".join(f" --source {name}=PATH" for name in plan.source.sources)
        yield f"`migrate apply {file} SRC DST{others}` carries it out on every SRC of this structure."
