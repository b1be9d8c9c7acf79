"""Everything the command line does, as functions; `migrate` re-exports them one by one, when they are asked for.

    import migrate

    rules = migrate.load_rules("rules.yaml")
    with migrate.open_checkpoint("old/") as checkpoint:
        plan = migrate.plan(checkpoint, rules)
        receipt = migrate.apply(plan, checkpoint, "new/")

Nothing heavy is imported before it is needed: opening a msgpack file never imports JAX.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from migrate.checkpoint import Checkpoint, StrPath, list_steps, open_checkpoint
from migrate.codes import InvalidUsage
from migrate.engine.options import DEFAULT_RAM, DEFAULT_TOLERANCE, ApplyOptions, VerifyMode
from migrate.engine.stopping import never
from migrate.errors import (
    CheckpointError,
    Diagnostic,
    ExitCode,
    MigrateError,
    PlanError,
    RefusedError,
    RuleFileError,
    Span,
    StoppedError,
    UsageError,
    VerifyError,
)
from migrate.events import Listener, ignore
from migrate.metadata import Metadata
from migrate.planning.diff import Diff
from migrate.planning.diff import diff as diff_trees
from migrate.tree import AbstractTree

if TYPE_CHECKING:
    from migrate.engine.probing.probe import Probed
    from migrate.engine.receipt import Receipt
    from migrate.planning.invert.model import Inversion
    from migrate.planning.model import Plan, Proof
    from migrate.planning.planner import TemplateLike
    from migrate.planning.suggest.pipeline import Suggestion
    from migrate.rules.model import RuleSet
    from migrate.rules.partition_file import Partition
    from migrate.template import Template

__all__ = [
    "AbstractTree",
    "Checkpoint",
    "CheckpointError",
    "Diagnostic",
    "Diff",
    "ExitCode",
    "Metadata",
    "MigrateError",
    "PlanError",
    "RefusedError",
    "RuleFileError",
    "Span",
    "StoppedError",
    "UsageError",
    "Verified",
    "VerifyError",
    "abstract_template",
    "apply",
    "diff",
    "invert",
    "list_steps",
    "load_rules",
    "open_checkpoint",
    "plan",
    "resume",
    "structure_hash",
    "suggest",
    "verify",
]

Mesh = tuple[tuple[str, int], ...]


def load_rules(path: StrPath) -> RuleSet:
    """A rule file, or a bundled one by its bare name.

    Raises:
      RuleFileError: with every mistake that is in it.
    """
    from migrate.rules.loader import load_rules as load

    return load(os.fspath(path))


def abstract_template(
    spec: str, args: Mapping[str, Any] | None = None, layout: Literal["state", "pure_dict", "items"] = "state"
) -> Template:
    """The tree that a model expects, from the callable that makes it (`module:callable`), without allocating an array.

    Raises:
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
    """
    from migrate.template import abstract_template as build

    return build(spec, args, layout)


def template_of(rules: RuleSet | None, spec: str | None = None) -> Template | None:
    """The template that the user or else the rule file names; the rule file's arguments and layout hold for both."""
    target = rules.target if rules else None
    chosen = spec or (target.template if target else None)
    if chosen is None:
        return None
    return abstract_template(chosen, target.args if target else None, (target.layout if target else None) or "state")


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
) -> Plan:
    """Decide what happens to every leaf; nothing is read and nothing is written.

    Args:
      checkpoint: the source.
      rules: a rule set, or its file.
      template: what the target expects, or `module:callable`; by default what the rule file names.
      mesh: axes and sizes, as a value or as `data=-1,model=4`; without it the output suits any devices.
      partition: which key paths are split over which axes, or its file.
      as_step: whether one pytree is written as a step with one item, for a `CheckpointManager` root.
      max_ram: host bytes that `apply` will be given, for the plan to say how much of them it needs.
      link: whether arrays whose bytes do not change are linked (`auto`), or read and written like all others (`never`).
      require_proof: whether leaves that nothing but the rule file assigns are errors (`UnprovedLeaves`).
      destination: where it will be written; a single file, as its suffix may ask for, cannot hold everything.

    Returns:
      The plan. A mistake of the user raises nothing here: `plan.applicable` says no, `plan.diagnostics` say why.
    """
    from migrate.engine.outputs.registry import fitted
    from migrate.planning.planner import make_plan
    from migrate.planning.proof import refuse_unproved

    rule_set = load_rules(rules) if isinstance(rules, str | os.PathLike) else rules
    built = template_of(rule_set, template) if template is None or isinstance(template, str) else template
    axes, table = _placement(mesh, partition)
    made = make_plan(checkpoint.abstract, rule_set, built, mesh=axes, partition=table, link=link == "auto")
    unproved = refuse_unproved(made.tasks) if require_proof else ()
    diagnostics = (*made.diagnostics, *unproved, *getattr(built, "notes", ()))
    made = replace(made, as_step=as_step, max_ram=max_ram, diagnostics=diagnostics)
    return made if destination is None else fitted(made, destination, mesh=axes is not None)


def _placement(mesh: Mesh | str | None, partition: Partition | StrPath | None) -> tuple[Mesh | None, Partition | None]:
    from migrate.rules.partition_file import load_partition
    from migrate.sharding import parse_mesh

    if mesh is None and partition is not None:
        message = "a partition without a mesh says nothing"
        raise UsageError(InvalidUsage.at(message, help="name the axes, for example `--mesh data=-1,model=4`"))
    axes = parse_mesh(mesh) if isinstance(mesh, str) else mesh
    return axes, load_partition(partition) if isinstance(partition, str | os.PathLike) else partition


def apply(
    plan: Plan,
    checkpoint: Checkpoint,
    destination: StrPath,
    *,
    overwrite: bool = False,
    verify: VerifyMode = "digest",
    allow_code: bool = False,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    compression: str | None = None,
    probe: str | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    require_proof: bool = False,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
) -> Receipt:
    """Run a plan: stage, commit, verify, publish; or resume an unfinished run of this plan.

    Args:
      plan: an applicable plan.
      checkpoint: the source that the plan was made for.
      destination: the new checkpoint; it appears at once, when it is complete and verified.
      overwrite: whether an existing destination is replaced, once the new checkpoint is complete and verified.
      verify: `digest` compares what is read back with the digests of what was written; `full` restores every leaf
        through plain Orbax and compares it with the rules applied to the source again; `none` compares nothing.
      allow_code: whether `call` ops and the rule file's probe may run.
      max_ram: bytes of array data in memory at once; at least 64 MiB (default: 2 GiB).
      jobs: number of leaves in work at once (default: the number of CPUs).
      compression: `zstd:N` or `none` for every array (default: each array keeps its own codec).
      probe: `module:function` that compares outputs of the old model and the new before anything is published
        (default: the rule file's probe).
      tolerance: the largest difference between those outputs that passes (default: 1e-5).
      require_proof: whether unproved leaves are errors.
      listener: receives every event of the run.
      stopped: asked between leaves; once it returns true, the leaves in flight are finished and the run stops.

    Raises:
      UsageError: an option is invalid, or a probe has no model.
      PlanError: the plan is not applicable, or `require_proof` finds unproved leaves.
      RefusedError: the destination exists, code is not allowed, a cast or an assertion fails.
      CheckpointError: the source cannot be read, or the probe proves nothing.
      VerifyError: the result differs from the plan; nothing was published.
      StoppedError: the run was stopped; nothing was published, and the same call resumes it.
      MigrateError: writing failed; the same call resumes once the cause is gone.
    """
    from migrate.engine.run import apply as run

    options = ApplyOptions(
        overwrite=overwrite,
        verify=verify,
        allow_code=allow_code,
        max_ram=max_ram,
        jobs=jobs,
        compression=compression,
        probe=probe,
        tolerance=tolerance,
        require_proof=require_proof,
    )
    return run(plan, checkpoint.reader, Path(destination), options, listener=listener, stopped=stopped)


def resume(
    plan: Plan,
    checkpoint: Checkpoint,
    destination: StrPath,
    *,
    overwrite: bool = False,
    verify: VerifyMode = "digest",
    allow_code: bool = False,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    compression: str | None = None,
    probe: str | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    require_proof: bool = False,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
) -> Receipt:
    """Resume a run of this plan that was killed or stopped; arguments and errors as in `apply`.

    Raises:
      UsageError: no unfinished run of this plan is beside the destination.
    """
    from migrate.engine.run import resume as run

    options = ApplyOptions(
        overwrite=overwrite,
        verify=verify,
        allow_code=allow_code,
        max_ram=max_ram,
        jobs=jobs,
        compression=compression,
        probe=probe,
        tolerance=tolerance,
        require_proof=require_proof,
    )
    return run(plan, checkpoint.reader, Path(destination), options, listener=listener, stopped=stopped)


def diff(source: Checkpoint | AbstractTree, target: Checkpoint | Template | AbstractTree) -> Diff:
    """What `target` expects against what `source` holds, by key path, shape and dtype."""
    sides = [side if isinstance(side, AbstractTree) else side.tree for side in (source, target)]
    return diff_trees(*sides)


def structure_hash(tree: AbstractTree | Checkpoint | Template) -> str:
    """`sha256:` and the hash of key paths, shapes and dtypes: equal for checkpoints of one structure."""
    return tree.structure_hash if isinstance(tree, AbstractTree) else tree.tree.structure_hash


def suggest(checkpoint: Checkpoint, template: Template | str, args: Mapping[str, Any] | None = None) -> Suggestion:
    """Suggest the rule file that leads from a checkpoint to a model, for a person to review; nothing is applied.

    Args:
      checkpoint: the source; no array byte is read.
      template: what the target expects, or `module:callable`.
      args: keyword arguments of the callable; they are written into the rule file.

    Returns:
      The text of the rule file, the plan that it leads to, what is not proved with its alternatives, and the leaves
      that found no place.

    Raises:
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
    """
    from migrate.planning.suggest.pipeline import suggest as make

    built = abstract_template(template, args) if isinstance(template, str) else template
    return make(checkpoint.abstract, built, {"args": args} if args else None)


def invert(plan: Plan) -> Inversion:
    """The rule file that leads from the target of an applicable plan back to its source, and what it cannot restore."""
    from migrate.planning.invert.pipeline import invert as invert_plan

    return invert_plan(plan)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification looked at; what does not hold is raised instead.

    Attributes:
      leaves: how many leaves there are.
      compared: how many were compared with the rules applied to the source again; None without a source.
      recorded: the structure hash that the checkpoint records, and that its tree has; None if it records none.
      template: the template whose tree this is, if one was given.
      probe: what a probe has shown, if one was run.
      proofs: how many leaves that have a source are proved by name, by shape, by value, or not; empty without a source.
    """

    leaves: int
    compared: int | None = None
    recorded: str | None = None
    template: str | None = None
    probe: Probed | None = None
    proofs: Mapping[Proof, int] = field(default_factory=dict)


def verify(
    destination: StrPath,
    *,
    plan: Plan | None = None,
    source: Checkpoint | None = None,
    template: Template | None = None,
    probe: str | None = None,
    tolerance: float | None = None,
    listener: Listener = ignore,
) -> Verified:
    """Check a checkpoint: its record of its own structure, every leaf, and what else is given to compare with.

    Args:
      destination: the checkpoint.
      plan: with `source`: every leaf is compared, bit for bit, with what the plan makes of the source.
      source: the checkpoint that the plan is for.
      template: the tree has to be this one.
      probe: with `plan` and `source`: `module:function` that compares outputs of the old model and the new.
      tolerance: the largest difference between outputs that passes (default: 1e-5).
      listener: told about every leaf.

    Raises:
      VerifyError: something does not hold; the diagnostics say what.
      CheckpointError: the checkpoint cannot be read, or the probe cannot be run or proves nothing.
      UsageError: a probe without source, plan or template.
    """
    from migrate.engine.verification import standalone as alone

    if probe is not None and (plan is None or source is None):
        raise UsageError(InvalidUsage.at("a probe needs the source and the plan", help="give `plan` and `source`"))
    with open_checkpoint(destination) as checkpoint:
        recorded = alone.check_record(checkpoint.abstract)
        if template is not None:
            alone.check_template(checkpoint.tree, template)
        if plan is None or source is None:
            alone.read_all(checkpoint.reader, listener)
    done = Verified(len(checkpoint.tree.leaves), None, recorded, template.spec if template else None)
    if plan is None or source is None:
        return done
    plan = replace(plan, as_step=any(checkpoint.abstract.items))
    return _compared(done, plan, source, Path(destination), probe, tolerance, listener)


def _compared(
    done: Verified,
    plan: Plan,
    source: Checkpoint,
    destination: Path,
    probe: str | None,
    tolerance: float | None,
    listener: Listener,
) -> Verified:
    """The same with what is proved by comparing with the source."""
    from migrate.engine.outputs.registry import output_at
    from migrate.engine.probing import probe as probing
    from migrate.planning.proof import count_proofs

    output, chosen = output_at(destination), None
    plan = output.fit(plan)
    if probe is not None:
        chosen = probing.chosen_probe(plan, probe, DEFAULT_TOLERANCE if tolerance is None else tolerance, destination)
    compared = output.check_values(plan, source.reader, destination, listener)
    proved, probed = probing.prove(plan, chosen, source.reader, destination, all_of_it=False)
    return replace(done, compared=compared, probe=probed, proofs=count_proofs(proved.tasks))
