"""Public functions that read metadata only (but for a probe): rules, templates, plans, comparisons of trees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from migrate.api.named_sources import Sources, joined
from migrate.checkpoint import Checkpoint, StrPath
from migrate.codes import InvalidUsage
from migrate.errors import CheckpointError, Diagnostic, UsageError
from migrate.events import Listener, ignore
from migrate.planning.diff import Diff
from migrate.planning.diff import diff as diff_trees
from migrate.tree import AbstractTree

if TYPE_CHECKING:
    from migrate.formats.base import ModelConfig
    from migrate.formats.reader import AbstractCheckpoint
    from migrate.planning.invert.model import Inversion
    from migrate.planning.model import Plan
    from migrate.planning.planner import TemplateLike
    from migrate.planning.suggest.pipeline import Suggestion
    from migrate.rules.model import RuleSet
    from migrate.rules.partition_file import Partition
    from migrate.template import Template

Mesh = tuple[tuple[str, int], ...]


def load_rules(path: StrPath, args: Mapping[str, str | int] | None = None, config: StrPath | None = None) -> RuleSet:
    """Load a rule file, or a bundled one by its name.

    Args:
      path: the file, or the name.
      args: values of the arguments of the file (default: those of the model's `config.json`, or of the file).
      config: the `config.json` of the model, or its folder, from which rules take values (default: beside the tensors
        of the checkpoint).

    Raises:
      RuleFileError: with every mistake in the file.
      UsageError: there is no `config` (`InvalidUsage`).
    """
    from migrate.rules.loader import load_rules as load

    return load(os.fspath(path), args, _model_config(config) if config is not None else None)


def _model_config(path: StrPath) -> ModelConfig:
    """Return the `config.json` of a model, which is named or in a folder that is named.

    Raises:
      UsageError: there is no such file (`InvalidUsage`).
    """
    from migrate.formats.files import is_file
    from migrate.formats.model_config import CONFIG, config_beside, read_model_config
    from migrate.places.names import path_of

    place = path_of(os.fspath(path))
    found = read_model_config(place) if is_file(place) else config_beside(place / CONFIG)
    if found is None:
        message = f"`{path}` is neither a `{CONFIG}` nor a folder with one"
        raise UsageError(InvalidUsage.at(message, help=f"name the `{CONFIG}` of the model"))
    return found


def abstract_template(
    spec: str, args: Mapping[str, Any] | None = None, layout: Literal["state", "pure_dict", "items"] = "state"
) -> Template:
    """Trace the callable that makes a model (`module:callable`) and return the expected tree; no array is allocated.

    Args:
      spec: the callable, or the file that `migrate template` recorded from it, which is read without JAX.
      args: keyword arguments of the callable.
      layout: the layout of the checkpoint.

    Raises:
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
      RuleFileError: the file cannot be read or is invalid (`InvalidRecordedTree`).
      UsageError: the file was recorded with other arguments or another layout (`OtherRecordedCall`).
    """
    from migrate.api.recorded_templates import recorded_template
    from migrate.rules.recorded_tree import is_recorded_tree
    from migrate.template import abstract_template as build

    return recorded_template(spec, args, layout) if is_recorded_tree(spec) else build(spec, args, layout)


def template_of(rules: RuleSet | None, spec: str | None = None, *, allow_code: bool = False) -> Template | None:
    """Return the template that `spec` or else the rule file names, with the arguments and layout of the rule file.

    Args:
      rules: the rule set.
      spec: `module:callable`, or the file of a recorded tree.
      allow_code: whether the rule file's template may run if the file or the module is not below the current directory.

    Raises:
      RefusedError: the rule file's template may not run (`CodeNotAllowed`).
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
    """
    from migrate.api.recorded_templates import recorded_template
    from migrate.rules.permission import require_permission
    from migrate.rules.recorded_tree import is_recorded_tree

    target = rules.target if rules else None
    chosen = spec or (target.template if target else None)
    if chosen is None:
        return None
    if rules is not None and not spec:
        require_permission(rules.template_code, allow_code=allow_code)
    if target is None and is_recorded_tree(chosen):
        return recorded_template(chosen)
    args, layout = (target.args, target.layout) if target else (None, None)
    return abstract_template(chosen, args, layout or "state")


def plan(
    checkpoint: Checkpoint,
    rules: RuleSet | StrPath,
    template: TemplateLike | str | None = None,
    *,
    mesh: Mesh | str | None = None,
    partition: Partition | StrPath | None = None,
    as_step: bool = False,
    link: Literal["auto", "never"] = "auto",
    max_ram: int | None = None,
    require_proof: bool = False,
    destination: StrPath | None = None,
    allow_code: bool = False,
    reverse: bool = False,
    layout: Literal["huggingface", "zarr"] | None = None,
    sources: Sources | None = None,
) -> Plan:
    """Decide what happens to every leaf, without reading or writing an array.

    Args:
      checkpoint: the source.
      rules: a rule set, or its file.
      template: the target's template, `module:callable`, or the file of a recorded tree (default: the one that the
        rule file names).
      mesh: axes and sizes, as a value or as `data=-1,model=4` (default: the output suits any devices).
      partition: a partition table or its file, which assigns key paths to axes of the mesh.
      as_step: whether one pytree is written as a step with one item, for a `CheckpointManager` root.
      link: whether arrays whose bytes do not change are linked (`auto`), or copied as they are encoded (`never`).
      max_ram: the host bytes that `apply` will get, an upper bound of the plan's `peak_host_bytes`.
      require_proof: whether leaves that only the rule file assigns are errors (`UnprovedLeaves`).
      destination: DST, if it is known; its suffix may ask for a single file, which cannot hold every kind of leaf.
      allow_code: whether the rule file's template may run if the file or the module is not below the current directory.
      reverse: whether the rules are applied in reverse, to a checkpoint of their target; then `template` is the old
        model (default: derived from the rules and the checkpoint).
      layout: how the output is stored: as a folder of Hugging Face, or as plain zarr (default: from the rule file).
      sources: the named sources of the rules, open or by path (default: the paths of the rule file).

    Returns:
      The plan. Mistakes in the rules raise no error here: `plan.applicable` is false, with `plan.diagnostics`.

    Raises:
      RefusedError: the rule file's template may not run (`CodeNotAllowed`).
      CheckpointError: the template cannot be found or fails (`InvalidTemplate`), or a file of the checkpoint lacks
        bytes in which leaves are stored.
      PlanError: with `reverse`, a rule cannot be reversed (`IrreversibleRule`, `AmbiguousReversal`), or the model is
        not one that the rules are for (`UnmetRequirement`).
      RuleFileError: the model's configuration states a value that an argument cannot have (`InvalidModelArgument`).
      UsageError: a named source is missing, or the rules do not declare it (`MissingSource`, `UnknownSource`).
    """
    from migrate.planning.named_sources import refuse_several
    from migrate.planning.planner import make_plan
    from migrate.planning.requirements import resolved

    read = load_rules(rules) if isinstance(rules, str | os.PathLike) else rules
    rule_set = resolved(read, checkpoint.abstract)
    if reverse:
        refuse_several(rule_set, "applied in reverse")
    with joined(checkpoint, rule_set, sources) as whole:
        whole.require_complete()
        source = whole.abstract
    if template is None or isinstance(template, str):
        built: TemplateLike | None = template_of(None if reverse else rule_set, template, allow_code=allow_code)
    else:
        built = template
    notes = getattr(built, "notes", ())
    if reverse:
        from migrate.planning.invert.reversal import reversal

        turned = reversal(rule_set, source, built.tree if built else None)
        rule_set, notes = turned.rules, (*notes, *turned.findings)
    rule_set = rule_set.stored_as(layout)
    axes, table = placement(mesh, partition)
    made = make_plan(source, rule_set, built, mesh=axes, partition=table)
    made = replace(linked_or_copied(made, link), as_step=as_step, max_ram=max_ram)
    return finished(made, notes, require_proof=require_proof, destination=destination, mesh=axes is not None)


def linked_or_copied(made: Plan, link: Literal["auto", "never"]) -> Plan:
    """Return a plan with the chunks that do not change linked (`auto`) or copied as they are encoded (`never`)."""
    from migrate.planning.relink import copied_tasks

    return made if link == "auto" else replace(made, tasks=copied_tasks(made.tasks))


def finished(
    plan: Plan,
    notes: Iterable[Diagnostic] = (),
    *,
    require_proof: bool = False,
    destination: StrPath | None = None,
    mesh: bool = False,
) -> Plan:
    """Return a plan with the errors of `require_proof` and notes, as the output for a destination carries it out."""
    from migrate.engine.outputs.registry import fitted
    from migrate.planning.proof import refuse_unproved

    unproved = refuse_unproved(plan.tasks) if require_proof else ()
    plan = replace(plan, diagnostics=(*plan.diagnostics, *unproved, *notes))
    return plan if destination is None else fitted(plan, destination, mesh=mesh)


def placement(mesh: Mesh | str | None, partition: Partition | StrPath | None) -> tuple[Mesh | None, Partition | None]:
    """Return the mesh and the partition as values.

    Raises:
      UsageError: a partition has no mesh, or the mesh cannot be read.
    """
    from migrate.rules.partition_file import load_partition
    from migrate.sharding import parse_mesh

    if mesh is None and partition is not None:
        message = "a partition needs a mesh"
        raise UsageError(InvalidUsage.at(message, help="name the axes, for example `--mesh data=-1,model=4`"))
    axes = parse_mesh(mesh) if isinstance(mesh, str) else mesh
    return axes, load_partition(partition) if isinstance(partition, str | os.PathLike) else partition


def diff(source: Checkpoint | AbstractTree, target: Checkpoint | Template | AbstractTree) -> Diff:
    """Compare the leaves of two trees by key path, shape and dtype."""
    sides = [side if isinstance(side, AbstractTree) else side.tree for side in (source, target)]
    return diff_trees(*sides)


def structure_hash(tree: AbstractTree | Checkpoint | Template) -> str:
    """Return `sha256:` and the hash of all key paths, shapes and dtypes, which is equal for equal structures."""
    return tree.structure_hash if isinstance(tree, AbstractTree) else tree.tree.structure_hash


def suggest(
    checkpoint: Checkpoint,
    template: Template | str,
    args: Mapping[str, Any] | None = None,
    *,
    families: bool = True,
    probe: str | None = None,
    probe_budget: int | None = None,
    tolerance: float | None = None,
    rtol: float | None = None,
    listener: Listener = ignore,
) -> Suggestion:
    """Draft the rule file from a checkpoint to a model, for review; nothing is applied.

    Args:
      checkpoint: the source; no array byte is read without a probe.
      template: the target's template, `module:callable`, or the file of a recorded tree.
      args: keyword arguments of the callable, which the rule file records.
      families: whether a bundled rule file that accounts for every array of the model is suggested first; otherwise,
        rules are drafted from names and shapes.
      probe: `module:function` that compares outputs of the old model and the new. It runs on the suggestion and on its
        alternatives, in memory, until all outputs agree; `Suggestion.findings` has the result.
      probe_budget: the maximum number of runs of the probe (default: 64).
      tolerance: the largest difference between outputs that passes, beyond `rtol` (default: 1e-5).
      rtol: the difference relative to the old output that is allowed in addition (default: 1e-5).
      listener: receives an event for every run of the probe.

    Returns:
      The text of the rule file, its plan, the unproved assignments with their alternatives, and the unplaced leaves.

    Raises:
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`), a file of the checkpoint lacks bytes
        in which leaves are stored, or the probe fails on the suggestion or proves nothing (`InconclusiveProbe`).
      UsageError: a tolerance or the budget is invalid (`InvalidUsage`).
    """
    if probe is None:
        return _suggested(checkpoint, template, args, families=families)
    spec = template if isinstance(template, str) else template.spec
    settle = settling(spec, checkpoint, probe, probe_budget, tolerance, rtol, listener)
    return settle(_suggested(checkpoint, template, args, families=families))


def settling(
    template: str,
    checkpoint: Checkpoint,
    probe: str,
    probe_budget: int | None = None,
    tolerance: float | None = None,
    rtol: float | None = None,
    listener: Listener = ignore,
) -> Callable[[Suggestion], Suggestion]:
    """Return a function that settles the doubts of a suggestion by value; the arguments are those of `suggest`.

    Raises:
      CheckpointError: the template is a recorded tree (`InvalidTemplate`), or the probe cannot be imported
        (`InconclusiveProbe`).
      UsageError: a tolerance or the budget is invalid (`InvalidUsage`).
    """
    from migrate.engine.probing.settle import DEFAULT_BUDGET, settle, suggestion_probe
    from migrate.rules.recorded_tree import require_callable

    require_callable(template, f"the probe `{probe}` runs")
    chosen = suggestion_probe(probe, tolerance, rtol)
    budget = DEFAULT_BUDGET if probe_budget is None else probe_budget
    if budget < 1:
        raise UsageError(InvalidUsage.at(f"{budget} is not a number of runs", help="give a number of at least 1"))
    return lambda made: settle(made, chosen, checkpoint.reader, budget, listener)


def _suggested(
    checkpoint: Checkpoint, template: Template | str, args: Mapping[str, Any] | None, *, families: bool
) -> Suggestion:
    from migrate.planning.suggest.pipeline import suggest as make

    checkpoint.require_complete()
    if isinstance(template, str):
        built, fields = template_for(checkpoint.abstract, template, args)
    else:
        built, fields = template, {"args": args} if args else {}
    found = checkpoint.abstract.model_config
    config = found.content or None if families and found is not None else None
    return make(checkpoint.abstract, built, fields or None, families=families, config=config)


def template_for(
    source: AbstractCheckpoint, spec: str, args: Mapping[str, Any] | None = None
) -> tuple[Template, dict[str, Any]]:
    """Return the template for a suggestion, and the fields of `target:` that it needs.

    Raises:
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
    """
    from migrate.api.recorded_templates import recorded_template, target_fields
    from migrate.planning.rule_text.write import Word
    from migrate.rules.recorded_tree import is_recorded_tree

    if is_recorded_tree(spec):
        return recorded_template(spec, args), target_fields(spec)
    fields: dict[str, Any] = {"args": args} if args else {}
    built = _template_of_items(source, spec, args)
    if built is not None:
        return built, {**fields, "layout": Word("items")}
    return abstract_template(spec, args), fields


def _template_of_items(source: AbstractCheckpoint, spec: str, args: Mapping[str, Any] | None) -> Template | None:
    """Return the template with one item per part; None if source or template has no items, or a part cannot be one."""
    if len(source.items) < 2:
        return None
    try:
        built = abstract_template(spec, args, "items")
    except CheckpointError:
        return None
    names = {path[0] for path in built.tree.leaves}
    return built if names & set(source.items) else None


def invert(plan: Plan) -> Inversion:
    """Write the rule file that leads from the target of a plan back to its source.

    Args:
      plan: an applicable plan.

    Returns:
      The text of the rule file, and the leaves that it cannot restore, with the reasons.

    Raises:
      PlanError: the plan is not applicable.
    """
    from migrate.planning.invert.pipeline import invert as invert_plan

    return invert_plan(plan)
