"""Public functions for plan files: a plan that is saved for review, and applied later to a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, Literal

from migrate.api.named_sources import Sources, joined
from migrate.api.plans import finished, linked_or_copied, load_rules, template_of
from migrate.checkpoint import Checkpoint, StrPath
from migrate.codes import DestinationExists, InvalidPlanFile, StalePlan, WriteFailed
from migrate.errors import PlanError, RuleFileError, Span, UsageError
from migrate.places.names import local_path
from migrate.text_files import write_text

if TYPE_CHECKING:
    from migrate.planning.model import Plan
    from migrate.planning.planner import TemplateLike
    from migrate.rules.model import RuleSet

MAX_BYTES = 64 * 2**20
"""The maximum size of a plan file in bytes."""

_SNIFFED = 4096


def save_plan(plan: Plan, path: StrPath, *, overwrite: bool = False) -> None:
    """Write a plan to a file, for review and for `load_plan`.

    Args:
      plan: an applicable plan that was made without `destination`.
      path: the file.
      overwrite: whether an existing file is replaced.

    Raises:
      PlanError: the plan is not applicable.
      UsageError: the file exists (`DestinationExists`) or cannot be written (`WriteFailed`).
    """
    from migrate.planning.plan_file.save import saved_text

    text = saved_text(plan)
    if os.path.lexists(path) and not overwrite:
        raise UsageError(DestinationExists.at(f"{os.fspath(path)} exists", help="choose another file, or overwrite it"))
    try:
        write_text(local_path(path), text)
    except OSError as error:
        raise UsageError(WriteFailed.at(f"cannot write {os.fspath(path)}: {error.strerror}")) from error


def load_plan(
    path: StrPath,
    checkpoint: Checkpoint,
    template: TemplateLike | str | None = None,
    *,
    as_step: bool = False,
    link: Literal["auto", "never"] = "auto",
    max_ram: int | None = None,
    require_proof: bool = False,
    destination: StrPath | None = None,
    sources: Sources | None = None,
) -> Plan:
    """Read a plan file and return its plan for a checkpoint; calls no code that the file names.

    Args:
      path: the file.
      checkpoint: the source; its structure must be the one that the plan was made for.
      template: a template, or `module:callable`, whose tree must be the target of the plan. It is called for leaves
        with `init: template` and for a probe (default: the callable that the file names, if it may run).
      as_step: whether one pytree is written as a step with one item, for a `CheckpointManager` root.
      link: whether chunks whose bytes do not change are linked (`auto`), or copied as they are encoded (`never`).
      max_ram: the host bytes that `apply` will get, an upper bound of the plan's `peak_host_bytes`.
      require_proof: whether leaves that only the rule file assigns are errors (`UnprovedLeaves`).
      destination: DST, if it is known; its suffix may ask for a single file, which cannot hold every kind of leaf.
      sources: the named sources of the rules, open or by path; a plan file does not record their paths.

    Raises:
      RuleFileError: the file cannot be read (`UnreadableRuleFile`).
      PlanError: the file is invalid (`InvalidPlanFile`, `UnsupportedPlanVersion`), or the source, the template or the
        rule file changed since (`StalePlan`).
      CheckpointError: the template cannot be found or fails, or a file of the checkpoint lacks bytes.
    """
    return bind_plan(
        open_plan(path),
        checkpoint,
        template,
        as_step=as_step,
        link=link,
        max_ram=max_ram,
        require_proof=require_proof,
        destination=destination,
        sources=sources,
    )


def bind_plan(
    saved: Plan,
    checkpoint: Checkpoint,
    template: TemplateLike | str | None = None,
    *,
    as_step: bool = False,
    link: Literal["auto", "never"] = "auto",
    max_ram: int | None = None,
    require_proof: bool = False,
    destination: StrPath | None = None,
    sources: Sources | None = None,
) -> Plan:
    """Return the plan of `open_plan` for a checkpoint; arguments and errors as in `load_plan`."""
    from migrate.planning.plan_file.bind import bound

    with joined(checkpoint, saved.rules, sources) as source:
        source.require_complete()
    built = template_of(saved.rules, template) if isinstance(template, str) else template
    made = linked_or_copied(bound(saved, source.abstract, built), link)
    made = replace(made, as_step=as_step, max_ram=max_ram)
    return finished(made, require_proof=require_proof, destination=destination, mesh=made.has_mesh)


def is_plan_file(path: StrPath) -> bool:
    """Return whether a file is a plan file, judged by its beginning, and not a rule file."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as stream:
            begin = stream.read(_SNIFFED).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (OSError, ValueError):
        return False
    return begin.startswith(b"{") and b'"migrate_plan"' in begin


def read_plan_file(path: StrPath) -> Plan:
    """Return the plan of a file as it is, bound to no checkpoint; its rule file may have changed.

    Raises:
      RuleFileError: the file cannot be read (`UnreadableRuleFile`).
      PlanError: the file is invalid.
    """
    from migrate.planning.plan_file.read import read_plan
    from migrate.rules.files import SUFFIXES, RuleFile, decode, read

    file = RuleFile(os.fspath(path), Path(path))
    if file.place.suffix in SUFFIXES and file.place.is_file():
        command = join(["migrate", "plan", file.name, "SRC", "-o", "plan.json"])
        message = f"`{file.name}` is a rule file, not a plan file"
        raise PlanError(InvalidPlanFile.at(message, help=f"`{command}` writes its plan"))
    return read_plan(decode(read(file, MAX_BYTES), file.name), file, os.path.realpath(path))


def open_plan(path: StrPath) -> Plan:
    """Return the plan of a file, bound to no checkpoint, if its rule file has not changed or does not exist.

    Raises:
      RuleFileError, PlanError: as `load_plan`.
    """
    saved = read_plan_file(path)
    return _with_known_places(saved, {saved.rules.path, *_rule_files(saved, os.fspath(path))})


def _rule_files(saved: Plan, path: str) -> Collection[str]:
    """Return the names of the rule files that still are those of the plan.

    The rule file is looked for from the current directory and from the folder of the plan file.

    Raises:
      PlanError: it is there with another content (`StalePlan`).
    """
    name, changed = saved.rules.path, []
    for folder in dict.fromkeys(("", os.path.dirname(path))):
        rules = _loaded(os.path.join(folder, name), saved.rules.args, bundled=not folder)
        if rules is not None and rules.digest == saved.rules.digest:
            return {os.path.relpath(file, folder or ".") if folder else file for file, _ in rules.files}
        if rules is not None or os.path.isfile(os.path.join(folder, name)):
            changed.append(f"its digest is {rules.digest}" if rules else "it can no longer be read")
    if changed:
        message = (
            f"the rule file `{name}` changed since the plan {path} was made: {changed[0]}, not {saved.rules.digest}"
        )
        advice = f"`migrate plan {name} SRC -o {path} --overwrite` plans the present rules; review the difference"
        raise PlanError(StalePlan.at(message, help=advice))
    return ()


def _loaded(place: str, args: Mapping[str, Any], *, bundled: bool) -> RuleSet | None:
    """Return a rule file that exists and has no mistakes."""
    from migrate.rules.files import bundled_names

    if not os.path.isfile(place) and not (bundled and place in bundled_names()):
        return None
    try:
        return load_rules(place, args)
    except RuleFileError:
        return None


def _with_known_places(plan: Plan, known: Collection[str]) -> Plan:
    """Return the plan without places in other files than its rule files, of which messages would show lines."""

    def place(span: Span | None) -> Span | None:
        return span if span and span.file in known else None

    config = tuple(replace(rule, span=place(rule.span)) for rule in plan.rules.config)
    changes = tuple(replace(change, rule=place(change.rule)) for change in plan.config.changes)
    return replace(
        plan,
        rules=replace(plan.rules, config=config),
        config=replace(plan.config, changes=changes),
        tasks=tuple(replace(task, rule=place(task.rule)) for task in plan.tasks),
        dropped=tuple(replace(drop, rule=place(drop.rule)) for drop in plan.dropped),
        created=tuple(replace(creation, rule=place(creation.rule)) for creation in plan.created),
    )
