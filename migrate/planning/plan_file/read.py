"""Reads a plan file to a plan, strictly: what the file claims is computed again, and nothing that it names is run.

The plan that results is for a checkpoint of which only the structure is known; `migrate.planning.plan_file.bind` makes
it the plan for the checkpoint at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from migrate.codes import InvalidPlanFile, MissingField, UnsupportedPlanVersion
from migrate.errors import Code, Diagnostic, PlanError, Span
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.companions import left_companions
from migrate.planning.config import plan_config
from migrate.planning.coverage import refuse_collisions
from migrate.planning.model import Plan, Task
from migrate.planning.partition import assign_shardings
from migrate.planning.plan_file.read_tasks import EntryReader, parse_place
from migrate.planning.plan_file.schema import PLAN, VERSION, VERSION_FIELD
from migrate.planning.plan_file.syntax import parse
from migrate.planning.planner import with_slots
from migrate.planning.proof import prove
from migrate.rules.field_types import FieldValues, ReadContext, describe_node, head_span
from migrate.rules.files import RuleFile
from migrate.rules.layout_type import structure_and_storage
from migrate.rules.model import CalledFunction, ConfigRule, Guard, OtherSource, RuleSet, Target
from migrate.rules.portable_names import is_portable
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode
from migrate.source_names import source_of
from migrate.tree import AbstractLeaf, AbstractTree, ChunkShapes, Container, KeyPath, Sharding, format_path, parse_path

FORMAT = "plan file"
"""The format of the checkpoint of a plan that is bound to none."""

_AGAIN = "the file was edited; `migrate plan RULES SRC -o FILE` writes it again"


def read_plan(text: str, file: RuleFile, place: str) -> Plan:
    """Returns the plan of a text; all its arrays are streamed, because no checkpoint is known yet.

    Args:
      text: the whole file.
      file: the file, with its name in diagnostics.
      place: its real path, by which the permission to run the code that it names is decided.

    Raises:
      PlanError: the text is not JSON or contradicts itself (`InvalidPlanFile`), its version is unknown
        (`UnsupportedPlanVersion`), or fields are unknown, missing or of another type; carries all findings.
    """
    root = _root(parse(text, file.name))
    findings: list[Diagnostic] = []
    record = PLAN.read(root, ReadContext("plan", findings))
    if findings or record is None:
        raise PlanError(*findings)
    source, target = record.get("source"), record.get("target")
    entries = EntryReader(names=source.get("sources", {}))
    tasks = entries.tasks(record.get("tasks"))
    dropped, created = entries.dropped(record.get("dropped")), entries.created(record.get("created"))
    _raise(entries.findings)
    trees = _tree(entries.sources, source).by_source
    target_tree = _placed(_tree(entries.targets, target), target, entries.findings)
    rules = _rule_set(record, entries.calls, place, entries.findings)
    checkpoint = AbstractCheckpoint(
        file.place,
        FORMAT,
        {"": trees[()]},
        extras=source.get("json", {}),
        knows_config=False,
        sources={
            source_of(start): AbstractCheckpoint(file.place, FORMAT, {"": trees[start]}) for start in trees if start
        },
    )
    config, problems = plan_config(rules.config, checkpoint)
    entries.findings.extend(problems)
    plan = Plan(
        source=checkpoint,
        rules=rules,
        target=target_tree,
        template=target.get("template"),
        tasks=tasks,
        dropped=dropped,
        created=created,
        diagnostics=tuple(_notes(record.get("notes"), entries.findings)),
        model_facts=_facts(record.get("model")),
        extras=tuple(sorted(name for name, fate in source.get("json", {}).items() if fate == "kept")),
        config=config,
    )
    _check_whole(plan, record, entries.findings)
    _raise(entries.findings)
    return replace(plan, tasks=_proved(plan, record.get("tasks")))


def _raise(findings: Iterable[Diagnostic]) -> None:
    found = list(findings)
    if found:
        raise PlanError(*found)


def _root(node: Node) -> MapNode:
    """Returns the root mapping of a plan file of a known version."""
    if not isinstance(node, MapNode):
        raise PlanError(InvalidPlanFile.at(f"a plan file is a mapping, not {describe_node(node)}", span=node.span))
    version = node.get(VERSION_FIELD)
    if version is None:
        message = f"a plan file needs the field `{VERSION_FIELD}`"
        raise PlanError(MissingField.at(message, span=head_span(node), help="is it a plan file?"))
    if not isinstance(version, ScalarNode) or version.value != VERSION or isinstance(version.value, bool):
        message = f"the version of the plan file is {describe_node(version)}; this version of migrate reads {VERSION}"
        advice = "write the plan again with `migrate plan RULES SRC -o FILE`, or use the migrate that wrote it"
        raise PlanError(UnsupportedPlanVersion.at(message, span=version.span, help=advice))
    return node


def _tree(leaves: Mapping[KeyPath, AbstractLeaf], side: FieldValues) -> AbstractTree:
    kinds: Mapping[str, Container] = side.get("containers", {})
    return AbstractTree.build(leaves.items(), {parse_path(path): kind for path, kind in kinds.items()})


def _placed(tree: AbstractTree, side: FieldValues, findings: list[Diagnostic]) -> AbstractTree:
    """Returns the target with its shardings."""
    mesh = tuple(side.get("mesh", {}).items()) or None
    leaves = dict(tree.leaves)
    for text, entries in side.get("specs", {}).items():
        path = parse_path(text)
        if path not in leaves or leaves[path].kind != "array":
            findings.append(_at(f"`specs` names `{text}`, which is no array of the target", side, "specs"))
            continue
        spec = tuple(tuple(axes) or None for axes in entries)
        leaves[path] = replace(leaves[path], sharding=Sharding((), spec))
    placed, problems = assign_shardings(AbstractTree(leaves, tree.containers), mesh, annotations=True)
    findings += [replace(problem, span=side.node.span) for problem in problems]
    return _chunked(placed, side, findings)


def _chunked(tree: AbstractTree, side: FieldValues, findings: list[Diagnostic]) -> AbstractTree:
    """Returns the target with the chunks that were chosen for its arrays."""
    leaves = dict(tree.leaves)
    for text, shapes in side.get("chunks", {}).items():
        path = parse_path(text)
        leaf = leaves.get(path)
        if leaf is None or leaf.kind != "array" or leaf.aval is None:
            findings.append(_at(f"`chunks` names `{text}`, which is no array of the target", side, "chunks"))
        elif not _are_chunks(shapes, len(leaf.aval.shape)):
            findings.append(_at(f"`chunks` of `{text}` are no chunks of {leaf}", side, "chunks"))
        else:
            leaves[path] = replace(leaf, chunks=ChunkShapes(tuple(shapes[0]), tuple(shapes[-1])))
    return AbstractTree(leaves, tree.containers)


def _are_chunks(shapes: Sequence[Sequence[int]], rank: int) -> bool:
    """Whether shapes are those of a chunk, or of a shard and the chunks that divide it evenly."""
    if len(shapes) not in (1, 2) or any(len(shape) != rank or min(shape, default=1) < 1 for shape in shapes):
        return False
    return all(outer % inner == 0 for outer, inner in zip(shapes[0], shapes[-1], strict=True))


def _at(message: str, side: FieldValues, name: str) -> Diagnostic:
    node = side.node.get(name)
    return InvalidPlanFile.at(message, span=(node or side.node).span, help=_AGAIN)


def _rule_set(
    record: FieldValues, calls: Mapping[CalledFunction, Span], place: str, findings: list[Diagnostic]
) -> RuleSet:
    """Returns what a run takes from the rule file but its rules; code has its place in the plan file."""
    rules, source = record.get("rules"), record.get("source")
    file = record.node.span.file
    if not is_portable(rules.get("file")):
        findings.append(_at("the name of the rule file is an absolute path", rules, "file"))
    probe = record.node.get("probe")
    return RuleSet(
        path=rules.get("file"),
        digest=rules.get("digest"),
        rules=(),
        name=rules.get("name", ""),
        source=_guard(source),
        target=_target(record.get("target")),
        probe=record.get("probe"),
        probe_span=probe.span if probe else None,
        files=((file, place),),
        planned=rules.get("count"),
        args=rules.get("args", {}),
        sources={name: OtherSource(guard=_guard(one)) for name, one in source.get("sources", {}).items()},
        calls=tuple(calls.items()),
        config=tuple(_config(record)),
    )


def _guard(fields: FieldValues) -> Guard:
    """Returns the requirements for a source, whose structure is compared leaf by leaf."""
    texts = fields.get("unbox", "auto"), fields.get("separator")
    return Guard(fields.get("model"), fields.get("version"), None, *texts)


def _config(record: FieldValues) -> Iterable[ConfigRule]:
    """Yields the rules for the config, with their places in the rule file."""
    nodes = record.node.get("config")
    for rule, node in zip(record.get("config", ()), nodes.items if isinstance(nodes, ListNode) else (), strict=True):
        place = node.get("rule") if isinstance(node, MapNode) else None
        yield replace(rule, span=parse_place(place.text) if isinstance(place, ScalarNode) else None)


def _target(fields: FieldValues) -> Target:
    structure, storage = structure_and_storage(fields.get("layout", ()))
    template = fields.node.get("template")
    return Target(
        fields.get("model"),
        fields.get("version"),
        fields.get("template"),
        fields.get("args", {}),
        layout=structure,
        storage=storage,
        template_span=template.span if template else None,
    )


def _facts(model: FieldValues | None) -> Mapping[str, Any]:
    """Returns the fields of the record that the model fills."""
    if model is None:
        return {}
    return {
        "graph_digest": model.get("graph_digest"),
        "code_digests": model.get("code_digests", {}),
        "hyperparameters": model.get("hyperparameters", {}),
        "transforms": model.get("transforms", ()),
    }


def _notes(notes: Iterable[FieldValues], findings: list[Diagnostic]) -> Iterable[Diagnostic]:
    for note in notes:
        if note.get("code") not in Code.registry:
            findings.append(_at(f"`{note.get('code')}` is not the number of a diagnostic", note, "code"))
        texts = {name: note.get(name) for name in ("code", "severity", "message", "label", "help")}
        yield Diagnostic(**texts, paths=note.get("paths", ()), snippet=note.get("snippet", ()))


def _check_whole(plan: Plan, record: FieldValues, findings: list[Diagnostic]) -> None:
    """Checks what concerns the whole plan: both structure hashes, and names that two leaves would share."""
    for name, tree in (("source", plan.source.tree), ("target", plan.target)):
        side = record.get(name)
        if side.get("structure") != tree.structure_hash:
            found = f"the leaves of the plan have the {name} structure {tree.structure_hash}, not the recorded one"
            findings.append(_at(found, side, "structure"))
    findings += [replace(problem, span=record.get("target").node.span) for problem in refuse_collisions(plan.target)]


def _proved(plan: Plan, entries: Iterable[FieldValues]) -> tuple[Task, ...]:
    """Returns the tasks with the proofs that hold.

    Raises:
      PlanError: the file claims a proof where none holds (`InvalidPlanFile`).
    """
    unscaled = left_companions(plan.tasks, plan.source.tree)
    tasks = prove(plan.tasks, with_slots(plan.source.tree), with_slots(plan.target), unscaled)
    findings = [
        _at(f"`proof` is `{claimed}`, but nothing proves `{format_path(task.targets[0])}`", entry, "proof")
        for task, entry in zip(tasks, entries, strict=True)
        if task.proved == "none" and (claimed := entry.get("proof", "none")) != "none"
    ]
    _raise(findings)
    return tasks
