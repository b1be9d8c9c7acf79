"""The check of a folder of rule files as a report: a line for each version, the findings, and a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrate.errors import ExitCode
from migrate.planning.model import Plan
from migrate.planning.versions.check import FolderCheck, ModelComparison
from migrate.planning.versions.every_path import PlannedStep
from migrate.planning.versions.graph import ModelVersion
from migrate.report.amounts import plural
from migrate.report.of_plan import task_counts
from migrate.report.view import Report, Row, TextOf, findings, no_text


def folder_report(
    checked: FolderCheck,
    written: Sequence[str] = (),
    *,
    template: str | None = None,
    writes: bool = False,
    text_of: TextOf = no_text,
) -> Report:
    """Reports the check of a folder.

    Args:
      checked: the check; of the folder as it is now.
      written: the files that were written.
      template: the model that was to be compared; None for none.
      writes: whether files were to be written.
      text_of: returns the text of a file, for excerpts.
    """
    shown = findings(checked.findings, text_of)
    errors = sum(one.severity == "error" for one in shown)
    versions, steps = _versions(checked), checked.every.steps
    return Report(
        "check",
        ExitCode.NO if errors else ExitCode.OK,
        title=f"{checked.folder.path}: {plural(len(versions), 'version')}, {plural(len(steps), 'rule file')}",
        rows=tuple(_rows(checked, versions)),
        summary=tuple(_summary(checked, written, errors, template, writes=writes)),
        brief=_verdict(checked, errors),
        findings=shown,
        data=_data(checked, versions, written),
    )


def _versions(checked: FolderCheck) -> list[ModelVersion]:
    """Returns all versions: those of rule files, and those that only a recorded tree describes."""
    return list(dict.fromkeys((*checked.every.graph.versions, *checked.heads)))


def _rows(checked: FolderCheck, versions: Sequence[ModelVersion]) -> Iterator[Row]:
    """Yields a line for each rule file below its version, and for versions that no rule file leads to."""
    incoming = {version: [one for one in checked.every.steps if one.step.target == version] for version in versions}
    lines = [(version, one) for version in versions for one in (incoming[version] or (None,))]
    cells = [
        (str(version), one.step.rules.path if one else "", _amount(checked, version), _done(one) if one else "")
        for version, one in lines
    ]
    names, files, amounts, _ = (max(map(len, column)) for column in zip(*cells, strict=True)) if cells else (0,) * 4
    for name, file, amount, done in cells:
        yield Row(subject=f"  {name:{names}}  {file:{files}}", detail=f"{amount:{amounts}}  {done}".rstrip())


def _amount(checked: FolderCheck, version: ModelVersion) -> str:
    leaves = _leaves(checked, version)
    return "" if leaves is None else plural(leaves, "leaf")


def _leaves(checked: FolderCheck, version: ModelVersion) -> int | None:
    """Returns the number of leaves of a version; None where it is unknown."""
    recorded = checked.folder.recorded_tree(version.model, version.version)
    if recorded is not None:
        return len(recorded.tree.leaves)
    plans = (one.plan for one in checked.every.steps if one.step.target == version and one.applicable)
    return next((len(plan.target.leaves) for plan in plans if plan), None)


def _done(planned: PlannedStep) -> str:
    if planned.plan is None:
        return "not planned"
    return task_counts(planned.plan) or "nothing to do" if planned.applicable else "does not apply"


def _summary(
    checked: FolderCheck, written: Sequence[str], errors: int, template: str | None, *, writes: bool
) -> Iterator[str]:
    if written:
        yield f"Wrote {', '.join(written)}."
    elif writes and not checked.is_writable:
        yield "Nothing was written: correct the errors first."
    if template is not None and checked.model is None:
        yield f"`{template}` was not compared: there is no single newest version with a recorded tree."
    elif checked.model is not None and checked.model.draft is None:
        yield f"`{template}` is {checked.model.version}, the newest version."
    yield _verdict(checked, errors)


def _verdict(checked: FolderCheck, errors: int) -> str:
    steps, paths = checked.every.steps, checked.every.paths
    applying = sum(one.applicable for one in steps)
    fused = sum(one.is_planned for one in paths)
    good = "OK" if not errors else plural(errors, "error")
    of_steps = f"{applying:,} of {plural(len(steps), 'rule file')}"
    return (
        f"Check: {good}. {of_steps} and {fused:,} of {plural(len(paths), 'path')} to the newest version can be planned."
    )


def _data(checked: FolderCheck, versions: Sequence[ModelVersion], written: Sequence[str]) -> dict[str, Any]:
    recorded = {version: checked.folder.recorded_tree(version.model, version.version) for version in versions}
    return {
        "heads": [_version(head) for head in checked.heads],
        "versions": [
            {**_version(version), "leaves": _leaves(checked, version), "recorded": recorded[version] is not None}
            for version in versions
        ],
        "steps": [_step(one) for one in checked.every.steps],
        "paths": [
            {
                "model": path.source.model,
                "from": path.source.version,
                "to": path.target.version,
                "files": [step.rules.path for step in path.steps],
                "planned": path.is_planned,
            }
            for path in checked.every.paths
        ],
        "lock": {
            "file": checked.lock.path,
            "files": sorted(checked.lock.entries),
            "missing": sorted(checked.lock.missing),
        },
        "template": _model(checked.model),
        "written": list(written),
    }


def _version(version: ModelVersion) -> dict[str, Any]:
    return {"model": version.model, "version": version.version}


def _step(planned: PlannedStep) -> dict[str, Any]:
    step, plan = planned.step, planned.plan
    return {
        "file": step.rules.path,
        "model": step.target.model,
        "from": step.source.version,
        "to": step.target.version,
        "applies": planned.applicable,
        "plan": _amounts(plan) if plan is not None and plan.applicable else None,
    }


def _amounts(plan: Plan) -> Mapping[str, Any]:
    return {
        "tasks": Counter(task.verb for task in plan.tasks),
        "dropped": len(plan.dropped),
        "created": len(plan.created),
        "config": len(plan.config.changes) + len(plan.config.patterns),
    }


def _model(model: ModelComparison | None) -> dict[str, Any] | None:
    if model is None:
        return None
    draft = model.draft
    return {
        "template": model.template,
        **_version(model.version),
        "is_newest": draft is None,
        "changes": [{"path": one.path, "before": one.before, "after": one.after} for one in model.changes],
        "draft": {"file": draft.name, "text": draft.text, "applies": draft.suggestion.plan.applicable}
        if draft
        else None,
    }
