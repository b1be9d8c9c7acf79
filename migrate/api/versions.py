"""Public functions for versions of a model: paths through a folder of rule files, and the plan of an upgrade."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from migrate.api.plans import Mesh, finished, linked_or_copied, placement, template_of
from migrate.checkpoint import Checkpoint, StrPath
from migrate.codes import InvalidUsage, UnknownVersion
from migrate.errors import CheckpointError, MigrateError, UsageError
from migrate.events import Listener, ignore
from migrate.metadata import Metadata

if TYPE_CHECKING:
    from migrate.formats.reader import AbstractCheckpoint
    from migrate.planning.model import Plan
    from migrate.planning.planner import TemplateLike
    from migrate.planning.suggest.pipeline import Suggestion
    from migrate.planning.versions.chain import ChainStep
    from migrate.planning.versions.graph import ModelVersion, VersionStep
    from migrate.planning.versions.new_version import NewVersion, Release
    from migrate.planning.versions.squash import Squashed
    from migrate.rules.folder import RuleFolder
    from migrate.rules.partition_file import Partition
    from migrate.rules.recorded_tree import RecordedTree
    from migrate.template.template import Template


def load_versions(folder: StrPath) -> RuleFolder:
    """Load the rule files and the recorded trees of a folder.

    Raises:
      RuleFileError: with every mistake in its files.
    """
    from migrate.rules.folder import load_folder

    return load_folder(folder)


def upgrade_path(
    checkpoint: Checkpoint,
    folder: RuleFolder | StrPath,
    *,
    to: int | str | None = None,
    start: int | str | None = None,
) -> tuple[VersionStep, ...]:
    """Return the rule files that lead from the version of a checkpoint to another version, in order.

    Args:
      checkpoint: the source; its record names model and version.
      folder: the rule files.
      to: the version (default: the newest).
      start: the version of the checkpoint (default: that of its record).

    Raises:
      UsageError: a version is unknown (`UnknownVersion`).
      PlanError: there is no path, or more than one, or a circle.
    """
    from migrate.planning.versions.graph import VersionGraph

    graph = VersionGraph(load_versions(folder) if isinstance(folder, str | os.PathLike) else folder)
    record = Metadata.from_json(checkpoint.abstract.metadata) or Metadata()
    version = record.version if start is None else start
    if version is None:
        path = checkpoint.abstract.path
        raise UsageError(
            UnknownVersion.at(
                f"{path} does not record the version of its model",
                help=f"name it with `--from V`; `migrate heads {graph.folder}` draws the versions",
            )
        )
    first = graph.find(record.model, version)
    return graph.path(first, None if to is None else graph.find(first.model, to))


def plan_upgrade(
    checkpoint: Checkpoint,
    folder: RuleFolder | StrPath,
    template: TemplateLike | str | None = None,
    *,
    to: int | str | None = None,
    start: int | str | None = None,
    mesh: Mesh | str | None = None,
    partition: Partition | StrPath | None = None,
    as_step: bool = False,
    link: Literal["auto", "never"] = "auto",
    max_ram: int | None = None,
    require_proof: bool = False,
    destination: StrPath | None = None,
    allow_code: bool = False,
) -> Plan:
    """Plan all steps from the version of a checkpoint to another version as one; no array is read or written.

    Args:
      checkpoint: the source; its record names model and version.
      folder: the rule files.
      template: the template of the last version, or `module:callable` (default: the one that its rule file names).
      to: the version (default: the newest).
      start: the version of the checkpoint (default: that of its record).
      mesh: as in `plan`, for the last version.
      partition: as in `plan`, for the last version.
      as_step: as in `plan`.
      link: as in `plan`.
      max_ram: as in `plan`.
      require_proof: as in `plan`.
      destination: as in `plan`.
      allow_code: whether the templates of rule files may run if they are not below the current directory.

    Returns:
      The plan; where a step is not applicable, the plan of that step with its diagnostics.

    Raises:
      UsageError: a version is unknown (`UnknownVersion`).
      PlanError: there is no path, or more than one, or a circle.
      RefusedError: the template of a rule file may not run (`CodeNotAllowed`).
      CheckpointError: a template fails and its tree is not recorded (`InvalidTemplate`), or a file of the checkpoint
        lacks bytes in which leaves are stored.
    """
    from migrate.planning.versions.chain import plan_chain

    checkpoint.require_complete()
    known = load_versions(folder) if isinstance(folder, str | os.PathLike) else folder
    path = upgrade_path(checkpoint, known, to=to, start=start)
    refuse_other_reading(checkpoint, path[0])
    steps = chain_steps(known, path, template, allow_code=allow_code)
    axes, table = placement(mesh, partition)
    made = linked_or_copied(plan_chain(checkpoint.abstract, steps, mesh=axes, partition=table), link)
    made = replace(made, as_step=as_step, max_ram=max_ram)
    notes = getattr(steps[-1].template, "notes", ())
    return finished(made, notes, require_proof=require_proof, destination=destination, mesh=axes is not None)


def squash(
    folder: RuleFolder | StrPath,
    start: int | str,
    to: int | str | None = None,
    *,
    checkpoint: Checkpoint | None = None,
    allow_code: bool = False,
) -> Squashed:
    """Write one rule file with the effect of the chain from one version to another; nothing is applied.

    Args:
      folder: the rule files.
      start: the version from which the file leads.
      to: the version to which it leads (default: the newest).
      checkpoint: a checkpoint of the first version (default: the recorded tree of that version).
      allow_code: whether the templates of rule files may run if they are not below the current directory.

    Returns:
      The text of the rule file, its plan, and the names of the files that it replaces. The file is planned, and its
      plan is compared with that of the chain.

    Raises:
      UsageError: a version or the tree of the first version is unknown (`UnknownVersion`).
      PlanError: there is no single path, a step is not applicable, or the chain cannot be written as one rule file
        (`InexpressibleRules`).
    """
    from migrate.planning.versions.graph import VersionGraph
    from migrate.planning.versions.squash import squash as write

    known = load_versions(folder) if isinstance(folder, str | os.PathLike) else folder
    graph = VersionGraph(known)
    first = graph.find(None, start)
    path = graph.path(first, None if to is None else graph.find(first.model, to))
    source = checkpoint.abstract if checkpoint else _recorded_source(known, path[0])
    return write(source, chain_steps(known, path, allow_code=allow_code))


def new_version(
    folder: StrPath,
    template: str,
    checkpoint: Checkpoint | None = None,
    *,
    message: str = "",
    model: str | None = None,
    to: int | str | None = None,
    args: Mapping[str, Any] | None = None,
    probe: str | None = None,
    listener: Listener = ignore,
) -> NewVersion:
    """Draft the next rule file of a folder, and record the tree of the new version; nothing is written or applied.

    Args:
      folder: the folder; it need not exist.
      template: the model of the new version, as `module:callable`.
      checkpoint: a checkpoint of the newest version (default: the recorded tree of that version).
      message: what changes, in a few words; a part of the file's name.
      model: the model's name (default: from the record of the checkpoint, or from the rule files).
      to: the new version (default: the number after the newest).
      args: keyword arguments of the callable, which the rule file records.
      probe: `module:function` that settles the doubts of the draft on the checkpoint, as in `suggest`; the rule file
        names it.
      listener: receives an event for every run of the probe.

    Raises:
      UsageError: the checkpoint is not of the newest version (`AmbiguousUpgradePath`), there is neither a checkpoint
        nor a recorded tree (`UnknownVersion`), the model has the structure of the newest version, or there is a probe
        and no checkpoint (`InvalidUsage`).
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`), or the probe fails on the draft or
        proves nothing (`InconclusiveProbe`).
    """
    from migrate.api.plans import settling, template_for
    from migrate.planning.versions import new_version as new
    from migrate.planning.versions.chain import recorded_source
    from migrate.rules.folder import RuleFolder
    from migrate.rules.recorded_tree import SUFFIX, RecordedTree, tree_text

    known = load_versions(folder) if os.path.lexists(folder) else RuleFolder(os.fspath(folder), ())
    record = (Metadata.from_json(checkpoint.abstract.metadata) if checkpoint else None) or Metadata()
    release = new.next_release(known, model or record.model, record.version, to)
    tree = _tree_before(known, release)
    if probe is not None and checkpoint is None:
        message = f"the probe `{probe}` needs the values of version {release.before}"
        raise UsageError(InvalidUsage.at(message, help="name a checkpoint of that version with `--from SRC`"))
    if checkpoint is None and tree is None:
        raise _no_source(known, str(release.before), "--from")
    source = checkpoint.abstract if checkpoint else recorded_source(tree)  # type: ignore[arg-type]
    built, fields = template_for(source, template, args)
    if built.tree.structure_hash == source.structure_hash:
        message = f"`{template}` has the structure of version {release.before}: there is nothing to migrate"
        raise UsageError(InvalidUsage.at(message, help="no rule file is needed"))
    settle = settling(template, checkpoint, probe, listener=listener) if checkpoint and probe else None
    made = draft_version(known, release, source, built, fields, message, settle)
    if settle is not None:
        made = replace(made, text=new.with_probe(made.text, str(probe)))
    if tree is not None:
        return made
    before = RecordedTree(str(source.path), release.model, release.before, source.tree)
    return replace(made, trees={**made.trees, f"{release.before}{SUFFIX}": tree_text(before)})


def draft_version(
    folder: RuleFolder,
    release: Release,
    source: AbstractCheckpoint,
    built: Template,
    fields: Mapping[str, Any],
    message: str = "",
    settle: Callable[[Suggestion], Suggestion] | None = None,
) -> NewVersion:
    """Return the draft of the next rule file of a folder, with the recorded tree of the new version.

    Args:
      folder: the rule files that exist.
      release: the versions of the new file.
      source: the tree of the version before.
      built: the model of the new version.
      fields: arguments and layout of the template, for `target:`.
      message: what changes, in a few words; a part of the file's name.
      settle: settles the doubts of the draft.
    """
    from migrate.planning.suggest.pipeline import suggest
    from migrate.planning.versions import new_version as new
    from migrate.rules.recorded_tree import SUFFIX, RecordedTree, tree_text

    made = suggest(source, built, {**fields, **new.target_fields(release, built.tree.structure_hash)})
    made = made if settle is None else settle(made)
    after = RecordedTree(built.spec, release.model, release.after, built.tree, built.transforms, built.x64)
    names = os.listdir(folder.path) if os.path.isdir(folder.path) else []
    text = new.with_source(made.text, release, source.structure_hash)
    trees = {f"{release.after}{SUFFIX}": tree_text(after)}
    return new.NewVersion(release, new.file_name(names, release, message), text, trees, made)


def _tree_before(folder: RuleFolder, release: Release) -> RecordedTree | None:
    from migrate.planning.versions.graph import ModelVersion

    return recorded_tree(folder, ModelVersion(release.model, str(release.before)))


def _no_source(folder: RuleFolder, version: str, option: str) -> UsageError:
    return UsageError(
        UnknownVersion.at(
            f"the tree of version {version} is not recorded in {folder.path}",
            help=f"name a checkpoint of that version with `{option} SRC`, or restore {folder.path}/{version}.tree.json",
        )
    )


def _recorded_source(folder: RuleFolder, first: VersionStep) -> AbstractCheckpoint:
    from migrate.planning.versions.chain import recorded_source

    recorded = recorded_tree(folder, first.source)
    if recorded is None:
        raise _no_source(folder, first.source.version, "--source")
    return recorded_source(recorded)


def recorded_tree(folder: RuleFolder, version: ModelVersion) -> RecordedTree | None:
    """Return the recorded tree of a version, or None."""
    return folder.recorded_tree(version.model, version.version)


def chain_steps(
    folder: RuleFolder,
    path: tuple[VersionStep, ...],
    template: TemplateLike | str | None = None,
    *,
    allow_code: bool = False,
) -> list[ChainStep]:
    """Return the steps of a path with their targets.

    The target of a step is the recorded tree of its version, where the rule file names a template: the code has moved
    on since. Only the newest version is built from its template, and from its recorded tree if that fails.

    Raises:
      RefusedError: the template of a rule file may not run (`CodeNotAllowed`).
      CheckpointError: a template fails and its tree is not recorded (`InvalidTemplate`).
    """
    from migrate.planning.versions.graph import VersionGraph

    newest = VersionGraph(folder).heads
    last = path[-1]
    return [
        _chain_step(
            folder,
            step,
            template if step is last else None,
            from_code=step is last and (template is not None or step.target in newest),
            allow_code=allow_code,
        )
        for step in path
    ]


def _chain_step(
    folder: RuleFolder, step: VersionStep, template: TemplateLike | str | None, *, from_code: bool, allow_code: bool
) -> ChainStep:
    from migrate.planning.versions.chain import ChainStep

    rules = step.rules
    if template is not None and not isinstance(template, str):
        return ChainStep(rules, template)
    if template is None and rules.target.template is None:
        return ChainStep(rules)
    recorded = recorded_tree(folder, step.target)
    if recorded is not None and not from_code:
        return ChainStep(rules, recorded, is_recorded=True)
    try:
        return ChainStep(rules, template_of(rules, template, allow_code=allow_code))
    except CheckpointError as error:
        if recorded is not None and template is None:
            return ChainStep(rules, recorded, is_recorded=True)
        raise _unrecorded(step, folder, error) if template is None else error from None


def _unrecorded(step: VersionStep, folder: RuleFolder, error: MigrateError) -> CheckpointError:
    """Returns the error of a template with advice: its tree could have been recorded."""
    advice = (
        f"restore {folder.path}/{step.target.version}.tree.json, the recorded tree of version {step.target.version}"
    )
    return CheckpointError(
        *(replace(one, span=one.span or step.rules.target.span, help=advice) for one in error.diagnostics)
    )


def refuse_other_reading(checkpoint: Checkpoint, first: VersionStep) -> None:
    """Refuse a chain whose first rule file reads key paths in its own way.

    Raises:
      UsageError: it does (`InvalidUsage`).
    """
    guard = first.rules.source
    if guard.unbox == "never" or guard.separator not in (None, checkpoint.abstract.separator):
        raise UsageError(
            InvalidUsage.at(
                f"{first.rules.path} reads key paths in its own way (`unbox`, `separator`), which a chain does not do",
                span=guard.span,
                help=f"apply that file alone first: `migrate apply {first.rules.path} SRC DST`",
            )
        )
