"""Writes a plan as text: one task on each line, the same bytes for the same inputs.

The text has no dates and no absolute paths. What depends on a particular checkpoint is left out: whether an array is
linked or streamed is decided again where the plan is applied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrate.codes import InvalidPlanFile
from migrate.errors import Diagnostic, PlanError, Span
from migrate.planning.guards import ABOUT_SOURCE
from migrate.planning.model import Created, Dropped, Plan, Task
from migrate.planning.plan_file.leaf_text import leaf_text
from migrate.planning.plan_file.op_lines import default_groups, init_line, step_lines
from migrate.planning.plan_file.schema import VERSION, VERSION_FIELD
from migrate.planning.rule_text.config import config_fields
from migrate.planning.rule_text.ops import op_text
from migrate.printable import UNSAFE
from migrate.rules.model import ConfigRule, Guard, RuleSet
from migrate.rules.portable_names import PortableNames, last_name
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path, natural_key

_UNSAFE = re.compile(f"[{UNSAFE}]")

Entry = dict[str, Any]


def plan_text(plan: Plan) -> str:
    """Returns the text of a plan file.

    Args:
      plan: an applicable plan, made without a destination.

    Raises:
      PlanError: the plan is not applicable, or has a value that JSON lacks (`InvalidPlanFile`).
    """
    errors = [diagnostic for diagnostic in plan.diagnostics if diagnostic.is_error]
    if errors:
        raise PlanError(*errors)
    if plan.chain:
        files = ", ".join(one.rules.path for one in plan.chain)
        message = f"the plan of several rule files ({files}) cannot be saved: a plan file is of one rule file"
        raise PlanError(InvalidPlanFile.at(message, help="`migrate squash` writes one rule file; plan that file"))
    names = PortableNames(plan.rules.path)
    head: Entry = {
        VERSION_FIELD: VERSION,
        "rules": _rules(plan.rules, names),
        "source": _source(plan),
        "target": _target(plan),
        **_given(probe=plan.rules.probe, model=_given(**plan.model_facts)),
    }
    config = [_config(rule, names) for rule in plan.rules.config]
    lists = {
        "tasks": [_task(task, plan.target, plan.source.tree, names) for task in plan.tasks],
        "dropped": [_dropped(drop, names) for drop in plan.dropped],
        "created": [_created(creation, plan.target, names) for creation in plan.created],
        **_given(config=config),
        "notes": [_note(note) for note in _own_notes(plan)],
    }
    parts = [f"{_json(name)}: {_json(value)}" for name, value in head.items()]
    parts += [f"{_json(name)}: {_lines(entries)}" for name, entries in lists.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _place(span: Span | None, names: PortableNames) -> str | None:
    return f"{names.name(span.file)}:{span.line}:{span.column}" if span else None


def _given(**fields: Any) -> Entry:
    """Returns the fields that are not None and not empty."""
    return {name: value for name, value in fields.items() if value not in (None, "", (), [], {})}


def _rules(rules: RuleSet, names: PortableNames) -> Entry:
    return {
        "file": names.name(rules.path),
        "digest": rules.digest,
        "count": rules.count - len(rules.config),
        **_given(name=rules.name, args=dict(rules.args)),
    }


def _source(plan: Plan) -> Entry:
    source = plan.source
    return {
        "structure": source.structure_hash,
        **_guard(plan.rules.source),
        **_given(
            containers=_containers(source.tree),
            json={name: "kept" if name in plan.extras else "dropped" for name in sorted(source.extras)},
            sources={name: _guard(plan.rules.sources[name].guard) for name in source.sources},
        ),
    }


def _guard(guard: Guard) -> Entry:
    return {
        **_given(model=guard.model, version=guard.version),
        **({"unbox": guard.unbox} if guard.unbox != "auto" else {}),
        **({"separator": guard.separator} if guard.separator is not None else {}),
    }


def _target(plan: Plan) -> Entry:
    target = plan.rules.target
    words = [*filter(None, (target.layout, target.storage))]
    return {
        "structure": plan.target.structure_hash,
        **_given(
            model=target.model,
            version=target.version,
            template=last_name(plan.template) if plan.template else None,
            args=dict(target.args),
            layout=words[0] if len(words) == 1 else words,
            containers=_containers(plan.target),
            **_placement(plan.target),
            chunks=_chunks(plan.target),
        ),
    }


def _containers(tree: AbstractTree) -> Mapping[str, str]:
    kinds = {path: kind for path, kind in tree.containers.items() if kind != "dict"}
    return {format_path(path): kinds[path] for path in sorted(kinds, key=natural_key)}


def _placement(target: AbstractTree) -> Entry:
    """Returns the mesh, which all arrays share, and the specs of the arrays that are split."""
    placed = {path: leaf.sharding for path, leaf in target.leaves.items() if leaf.sharding}
    specs = {path: sharding.spec for path, sharding in placed.items() if any(sharding.spec)}
    mesh = next((dict(sharding.mesh) for sharding in placed.values()), {})
    return {
        "mesh": mesh if mesh != {"devices": -1} or specs else {},
        "specs": {format_path(path): [list(axes or ()) for axes in spec] for path, spec in specs.items()},
    }


def _chunks(target: AbstractTree) -> Mapping[str, list[list[int]]]:
    """Returns the chunks that were chosen for leaves: their shape, after that of the shard where it is another."""
    chosen = {path: leaf.chunks for path, leaf in target.leaves.items() if leaf.chunks is not None}
    return {
        format_path(path): [list(shape) for shape in dict.fromkeys((chunks.outer, chunks.inner))]
        for path, chunks in chosen.items()
    }


def _task(task: Task, target: AbstractTree, source: AbstractTree, names: PortableNames) -> Entry:
    groups, count = [], len(task.sources)
    for step in task.steps:
        usual = step.groups == default_groups(step.op, count)
        groups.append([] if usual else [list(group) for group in step.groups])
        count = _results(task, len(groups))
    return {
        "from": _leaves(task.sources, source),
        "to": _leaves(task.targets, target),
        **_given(
            ops=[step_lines(step) for step in task.steps],
            groups=groups if any(groups) else None,
            outputs=None if task.outputs == usual_outputs(count, len(task.targets)) else list(task.outputs),
            proof=task.proved if task.proved != "none" else None,
            follows=format_path(task.follows) if task.follows is not None else None,
            state=task.state,
            remark=task.remark,
            rule=_place(task.rule, names),
        ),
    }


def _results(task: Task, steps: int) -> int:
    """Returns the number of arrays after the first steps of a task."""
    arrays: Sequence[Any] = task.in_avals
    for step in task.steps[:steps]:
        arrays = [result for op, group in step.calls for result in op.infer(*(arrays[index] for index in group))]
    return len(arrays)


def usual_outputs(arrays: int, targets: int) -> tuple[int, ...]:
    """Returns the outputs of a task that are not written: one array for each target, or one array for all."""
    return (0,) * targets if arrays == 1 else tuple(range(targets))


def _leaves(paths: Sequence[KeyPath], tree: AbstractTree) -> Mapping[str, str]:
    return {format_path(path): leaf_text(tree.leaves[path]) for path in paths}


def _one_leaf(path: KeyPath, leaf: AbstractLeaf) -> Mapping[str, str]:
    return {format_path(path): leaf_text(leaf)}


def _dropped(drop: Dropped, names: PortableNames) -> Entry:
    return {
        "from": _one_leaf(drop.source, drop.leaf),
        **_given(
            **{"assert": "zero" if drop.assert_zero else None},
            equal=None if drop.equal is None else format_path(drop.equal),
            ops=[op_text(op) for op in drop.ops] or None,
            rule=_place(drop.rule, names),
        ),
    }


def _created(creation: Created, target: AbstractTree, names: PortableNames) -> Entry:
    return {
        "to": _leaves((creation.target,), target),
        **_given(
            init=init_line(creation.init) if creation.init else None,
            remark=creation.remark,
            rule=_place(creation.rule, names),
        ),
    }


def _config(rule: ConfigRule, names: PortableNames) -> Entry:
    return {**config_fields(rule), "rule": _place(rule.span, names)}


def _own_notes(plan: Plan) -> Iterator[Diagnostic]:
    """Yields the notes that do not concern the particular checkpoint; those are found again where it is applied."""
    yield from (note for note in dict.fromkeys(plan.diagnostics) if note.code not in ABOUT_SOURCE)


def _note(note: Diagnostic) -> Entry:
    return {
        "code": note.code,
        "severity": note.severity,
        "message": note.message,
        **_given(label=note.label, paths=note.paths, help=note.help, snippet=note.snippet),
    }


def _lines(entries: Sequence[Entry]) -> str:
    """Returns a list with one entry on each line."""
    return "[\n" + ",\n".join(f"  {_json(entry)}" for entry in entries) + "\n]" if entries else "[]"


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        message = f"the arguments of the template cannot be written as JSON: {error}"
        raise PlanError(InvalidPlanFile.at(message, help="use finite numbers in `target: {args: …}`")) from None
    return _UNSAFE.sub(_escaped, text).replace("##[", r"\u0023#[")


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
