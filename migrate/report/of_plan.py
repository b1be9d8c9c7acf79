"""A plan as a report: what happens to every leaf, on as few lines as possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from migrate.engine.outputs.registry import kind_of
from migrate.errors import Diagnostic, ExitCode, Span
from migrate.ops.base import Op
from migrate.planning.losses import unrestored
from migrate.planning.model import Plan, Step, Task
from migrate.planning.proof import count_proofs, unseen_order
from migrate.report.amounts import plural, size
from migrate.report.collapse import Line, any_shape, column, merge_integers, merge_siblings
from migrate.report.of_arguments import argument_data, argument_rows
from migrate.report.of_config import config_data, config_rows
from migrate.report.of_coverage import creation_rows, drop_rows, initial, place
from migrate.report.of_items import item_sentences, items_data
from migrate.report.of_sources import source_sentences, sources_data
from migrate.report.picture_of_plan import plan_picture
from migrate.report.placeholders import filled
from migrate.report.proofs import left_to_probe, proof_counts, proof_data, unproved_lines, unseen_orders
from migrate.report.view import DeferredData, Report, Row, TextOf, findings, no_text
from migrate.tree import AbstractArray, KeyPath, format_path

MOST_ROWS = 40
"""The most lines of a plan without `-v`."""

LEAST_ROWS = 10
"""The lines of a plan without `-v` beside drops, creates and lossy casts, however many of those there are."""

MOST_KEPT = 6
"""The most lines of kept leaves without `-v`; more are merged into one line for each top-level name."""

_SYMBOLS = {"keep": "=", "rename": ">", "tie": ">", "follow": "&", "drop": "-", "create": "+"}
_FIRST = ("keep", "rename", "tie")
_LAST = ("follow", "drop", "create")


def plan_report(
    plan: Plan,
    destination: str,
    *,
    dry_run: bool = True,
    verbose: bool = False,
    probe: str | None = None,
    text_of: TextOf = no_text,
) -> Report:
    """Reports a plan, as `apply` prints it before it runs.

    Args:
      plan: the plan.
      destination: DST as the user wrote it.
      dry_run: whether nothing is written even if the plan is applicable.
      verbose: whether every line is shown, moments and unproved tasks included.
      probe: the probe that runs before DST is published.
      text_of: returns the text of a rule file, for excerpts.
    """
    changes, rows = list(_changes(plan)), _rows(plan, verbose=verbose)
    shown = rows if verbose else rows[: max(MOST_ROWS - len(changes), LEAST_ROWS)]
    ending = tuple(_ending(plan, dry_run=dry_run, probe=probe))
    return Report(
        command="apply",
        exit_code=ExitCode.OK if plan.applicable else ExitCode.NO,
        title=_title(plan, destination),
        rows=(*changes, *shown, *_empty_nodes(plan), *config_rows(plan.config), *argument_rows(plan.rules)),
        omitted=f"… {len(rows) - len(shown)} more lines (-v shows all)" if len(rows) > len(shown) else "",
        summary=(
            *_summary(plan, verbose=verbose),
            *source_sentences(plan),
            *item_sentences(plan, destination),
            *ending,
        ),
        brief=_brief(plan) if plan.applicable else ending[-1],
        findings=findings(plan_diagnostics(plan, destination), text_of),
        data=DeferredData(lambda: {**plan_data(plan), "items": items_data(plan)}),
        picture=lambda: plan_picture(plan, destination, text_of),
    )


def plan_diagnostics(plan: Plan, destination: str | None = None) -> tuple[Diagnostic, ...]:
    """Returns the diagnostics of a plan and of its source, with commands that can be pasted."""
    found = (*plan.diagnostics, *plan.source.concerns)
    return tuple(filled(found, src=str(plan.source.path), dst=destination, template=plan.template))


def _title(plan: Plan, destination: str) -> str:
    main, *others = plan.source.checkpoints.values()
    source = f"{main.path} ({main.format}, {plural(len(main.tree.leaves), 'leaf')})"
    source += "".join(f" + {one.path}" for one in others)
    target = f"{destination} ({kind_of(destination, plan).name}, {plural(len(plan.target.leaves), 'leaf')})"
    return f"Plan {short(plan.digest)}   {source} → {target}"


def short(digest: str) -> str:
    """Returns the first twelve digits of a hash, enough to compare by eye."""
    return digest.removeprefix("sha256:")[:12]


def _changes(plan: Plan) -> Iterator[Row]:
    """Yields the lines that are never omitted: what is lost, what is new, and what is rounded."""
    yield from drop_rows(drop for drop in plan.dropped if drop.leaf.has_data)
    yield from creation_rows(creation for creation in plan.created if creation.leaf.has_data)
    for verb, tasks in _by_verb(task for task in plan.tasks if _is_lossy(task)).items():
        yield from _moves(tasks, verb, verbose=True)


def _empty_nodes(plan: Plan) -> Iterator[Row]:
    """Yields the lines of dropped and created leaves without data, which end the list."""
    yield from drop_rows(drop for drop in plan.dropped if not drop.leaf.has_data)
    yield from creation_rows(creation for creation in plan.created if not creation.leaf.has_data)


def _is_lossy(task: Task) -> bool:
    """Returns whether an op may round values; moments are rounded as their params are, and are listed with them."""
    rounds = any(op.rounds for step in task.steps for op in step.ops)
    return not _follows(task) and (rounds or bool(unrestored(task)))


def _rows(plan: Plan, *, verbose: bool) -> list[Row]:
    followers = [] if verbose else [task for task in plan.tasks if _follows(task)]
    named = [task for task in plan.tasks if not _is_lossy(task) and (verbose or not _follows(task))]
    by_verb = _by_verb(named)
    verbs = [verb for verb in dict.fromkeys((*_FIRST, *by_verb)) if verb in by_verb]
    moves = chain.from_iterable(_moves(by_verb[verb], verb, verbose=verbose) for verb in verbs)
    return [*moves, *_followers(followers)]


def _by_verb(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.verb, []).append(task)
    return found


def _moves(tasks: Sequence[Task], verb: str, *, verbose: bool) -> Iterable[Row]:
    lines = merge_integers(_task_line(task, verb) for task in tasks)
    strict = merge_siblings((line for line in lines if line.members[0].steps), nested=False)
    loose = any_shape(line for line in lines if not line.members[0].steps)
    if verb == "keep" and len(loose) > MOST_KEPT and not verbose:
        loose = _by_top(loose)
    return [_task_row(line, verb) for line in sorted((*loose, *strict), key=_rule_line)]


def _task_line(task: Task, verb: str) -> Line:
    sides = (task.sources,) if verb == "keep" else (task.sources, task.targets)
    ops = tuple(repr(step.ops) for step in task.steps)
    key = (verb, ops, task.mode, task.rule, task.follows is None, (task.in_avals, task.out_avals))
    return Line(tuple(map(column, sides)), key, (task,))


def _by_top(lines: Iterable[Line]) -> list[Line]:
    groups: dict[Any, list[Line]] = {}
    for line in lines:
        groups.setdefault((line.columns[0][0], line.key), []).append(line)
    return [
        Line(
            ((top, "**"),) if len(group) > 1 else group[0].columns,
            key,
            tuple(m for line in group for m in line.members),
        )
        for (top, key), group in groups.items()
    ]


def _task_row(line: Line, verb: str) -> Row:
    task: Task = line.members[0]
    subject, target = (*line.texts, "")[:2]
    symbol = _SYMBOLS.get(verb, "*")
    return Row(symbol, verb, subject, target, _task_detail(line.members), task.mode, place(task.rule))


def _task_detail(tasks: Sequence[Task]) -> str:
    task = tasks[0]
    if not task.steps:
        return _aval(task.out_avals[0]) if len(tasks) == 1 else plural(sum(len(t.targets) for t in tasks), "leaf")
    chain_of_ops = [step.op.name for step in task.steps]
    via = f"  ({', '.join(chain_of_ops)})" if len(chain_of_ops) > 1 else ""
    count = f"{len(tasks)} × " if len(tasks) > 1 else ""
    change = f"{_avals(task.in_avals)} → {_avals(task.out_avals)}{_loss(task)}"
    return (f"{count}({change})" if count else change) + via


def _loss(task: Task) -> str:
    """Returns whether the task may round values, and which of them its inverse does not restore."""
    if not _is_lossy(task):
        return ""
    which = "; ".join(unrestored(task))
    return f", lossy: {which}" if which else ", lossy"


def _avals(avals: Sequence[AbstractArray | None]) -> str:
    counts = Counter(map(_aval, avals))
    return ", ".join(f"{count} × {text}" if count > 1 else text for text, count in counts.items())


def _aval(aval: AbstractArray | None) -> str:
    return str(aval) if aval else "no array"


def _follows(task: Task) -> bool:
    return bool(task.follows or task.state)


def _followers(tasks: Sequence[Task]) -> Iterable[Row]:
    """Yields a line for each slot of moments, which move like their params, then the other leaves of their states."""
    slots: dict[tuple[KeyPath, str], list[Task]] = {}
    for task in (task for task in tasks if task.follows):
        slots.setdefault((_slot(task), task.mode), []).append(task)
    for (slot, mode), members in slots.items():
        target = _shared([path for task in members for path in task.targets])
        leaves = plural(sum(len(task.targets) for task in members), "leaf")
        moved = "" if (*target, "**") == slot else f"{format_path(target)}/**"
        whose = f"{slot[-1] if slot[-1] != '**' else slot[-2]} of {members[0].state}: " if members[0].state else ""
        yield Row("&", "follow", _text_of(slot), moved, f"{whose}{leaves}, like their params", mode)
    yield from _state_leaves(task for task in tasks if not task.follows)


def _state_leaves(tasks: Iterable[Task]) -> Iterable[Row]:
    lines = [
        Line((column(t.sources), column(t.targets)), (t.state, t.mode, t.remark, str(t.out_avals[0])), (t,))
        for t in tasks
    ]
    for line in any_shape(merge_integers(lines)):
        first: Task = line.members[0]
        what = first.sources[0][-1] if len(line.members) == 1 else plural(len(line.members), "leaf")
        subject, target = line.texts
        yield Row(
            "&",
            "follow",
            subject,
            target,
            f"{what} of {first.state}{', ' if first.remark else ''}{first.remark}",
            first.mode,
        )


def _slot(task: Task) -> KeyPath:
    """Returns the moment's key path with `**` for the part that it shares with its param's: its end, or what precedes
    its last segment.
    """
    path, param = task.sources[0], task.follows or ()
    suffix = path[-1:] if path[-2:-1] == param[-1:] != path[-1:] else ()
    inner = path[: len(path) - len(suffix)]
    shared = 0
    while shared < min(len(inner), len(param)) - 1 and inner[-1 - shared] == param[-1 - shared]:
        shared += 1
    return (*inner[: len(inner) - shared], "**", *suffix)


def _text_of(slot: KeyPath) -> str:
    at = slot.index("**")
    return "/".join((format_path(slot[:at]), "**", *slot[at + 1 :]))


def _shared(paths: Sequence[KeyPath]) -> KeyPath:
    first, last = min(paths), max(paths)
    same = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(same, len(first) - 1)]


def _rule_line(line: Line) -> int:
    span: Span | None = line.members[0].rule
    return span.line if span else 0


def _summary(plan: Plan, *, verbose: bool) -> Iterable[str]:
    if plan.chain:
        names = ", ".join(one.rules.path for one in plan.chain)
        yield f"One plan for {plural(len(plan.chain), 'rule file')}: {names}."
    yield _brief(plan)
    yield (
        f"{_proved(plan, verbose=verbose)}Reads {size(plan.bytes_read)}, writes {size(plan.bytes_written)}, "
        f"peak host memory {size(plan.peak_host_bytes)}."
    )
    if verbose:
        yield from unproved_lines(plan.tasks)
        yield from unseen_orders(plan.tasks)


def _brief(plan: Plan) -> str:
    return f"Plan: {task_counts(plan) or 'nothing to do'}. {_coverage(plan)}"


def _proved(plan: Plan, *, verbose: bool) -> str:
    counts = count_proofs(plan.tasks)
    text = proof_counts(counts)
    return f"{text}{' (-v lists them)' if counts['none'] and not verbose else ''}. " if text else ""


def task_counts(plan: Plan) -> str:
    """Returns how many tasks of each kind, drops and creations a plan has; an empty string for an empty plan."""
    by_verb = _by_verb(plan.tasks)
    ordered = [verb for verb in dict.fromkeys((*_FIRST, *by_verb)) if verb in by_verb]
    parts = [f"{len(by_verb[verb]):,} {verb}{_arity(by_verb[verb])}" for verb in ordered]
    parts += [
        f"{len(things):,} {verb}"
        for things, verb in (
            (plan.dropped, "drop"),
            (plan.created, "create"),
            ((*plan.config.changes, *plan.config.patterns), "config"),
        )
        if things
    ]
    return ", ".join(parts)


def _arity(tasks: Sequence[Task]) -> str:
    sources, targets = (sum(map(len, sides)) for sides in zip(*((t.sources, t.targets) for t in tasks), strict=True))
    if sources > len(tasks):
        return f" (from {sources:,})"
    return f" (to {targets:,})" if targets > len(tasks) else ""


def _coverage(plan: Plan) -> str:
    written = {path for task in plan.tasks for path in task.targets} | {creation.target for creation in plan.created}
    used = {path for task in plan.tasks for path in task.sources} | {drop.source for drop in plan.dropped}
    wanted, held = plan.target.leaves.keys(), plan.source.tree.leaves.keys()
    return (
        f"{len(written & wanted):,}/{len(wanted):,} target leaves covered, "
        f"{len(used & held):,}/{len(held):,} source leaves accounted for."
    )


def _ending(plan: Plan, *, dry_run: bool, probe: str | None) -> Iterable[str]:
    if probe and plan.applicable:
        yield f"Before DST appears, the probe `{probe}` compares the outputs of the old and the new model."
        yield from left_to_probe(plan.tasks, probe)
    if not plan.applicable:
        errors = sum(d.is_error for d in plan.diagnostics)
        yield f"This plan cannot be applied: {plural(errors, 'error')}. Nothing was written."
    elif dry_run:
        yield "Nothing was written."


def plan_data(plan: Plan) -> dict[str, Any]:
    """Returns the plan for programs, with every task separately."""
    return {
        "digest": plan.digest,
        "source_structure_hash": plan.source.structure_hash,
        "target_structure_hash": plan.target.structure_hash,
        "template": plan.template,
        **sources_data(plan),
        **({"chain": [one.rules.path for one in plan.chain]} if plan.chain else {}),
        **{name: [format_path(p) for p in getattr(plan, name)] for name in MISMATCHES},
        "proof": proof_data(count_proofs(plan.tasks)),
        "tasks": [_task_data(task) for task in plan.tasks],
        "dropped": [
            {"path": format_path(d.source), "rule": _line(d.rule), "nbytes": d.leaf.nbytes} for d in plan.dropped
        ],
        "created": [{"path": format_path(c.target), "rule": _line(c.rule), "init": initial(c)} for c in plan.created],
        "config": config_data(plan.config),
        **({"arguments": argument_data(plan.rules)} if plan.rules.arguments else {}),
        "bytes_read": plan.bytes_read,
        "bytes_written": plan.bytes_written,
        "peak_host_bytes": plan.peak_host_bytes,
    }


MISMATCHES = ("missing", "unexpected", "shape_mismatch", "dtype_mismatch")
"""The lists of key paths that a plan and a diff have in common."""


def _task_data(task: Task) -> dict[str, Any]:
    return {
        "rule": _line(task.rule),
        "sources": [format_path(path) for path in task.sources],
        "targets": [format_path(path) for path in task.targets],
        "ops": [_step_data(step) for step in task.steps],
        "mode": task.mode,
        "exact": task.exact,
        "proved": task.proved,
        **({"unrestored": list(lost)} if (lost := unrestored(task)) else {}),
        **({"unseen_order": order} if (order := unseen_order(task)) else {}),
        "follows": format_path(task.follows) if task.follows else None,
        "state": task.state,
    }


def _step_data(step: Step) -> dict[str, Any]:
    """Returns an op as a rule file writes it; `bound` has the fields of each result where they differ.

    In a fused plan, the ops themselves may differ; then `bound` names them.
    """
    fields = _fields(step.op)
    over = {"over": step.over} if step.over else {}
    alike = len({op.name for op in step.bound}) < 2
    bound = {"bound": [_fields(op) if alike else {op.name: _fields(op)} for op in step.bound]} if step.bound else {}
    return {step.op.name: {**fields, **over, **bound}}


def _fields(op: Op) -> dict[str, Any]:
    return {param.name: getattr(op, param.name) for param in op.params}


def _line(span: Span | None) -> int | None:
    return span.line if span else None
