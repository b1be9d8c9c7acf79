"""Public function that checks a folder of rule files: all findings, without a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from shlex import join
from typing import TYPE_CHECKING, Any

from migrate.api.plans import abstract_template
from migrate.api.versions import draft_version, recorded_tree
from migrate.checkpoint import StrPath
from migrate.errors import Diagnostic
from migrate.tree import format_path

if TYPE_CHECKING:
    from migrate.planning.versions.check import FolderCheck, ModelComparison
    from migrate.planning.versions.graph import ModelVersion
    from migrate.rules.model import Target
    from migrate.rules.policy import Policy


def check_versions(folder: StrPath, template: str | None = None, *, message: str = "") -> FolderCheck:
    """Check a folder of rule files: plan every step and every path, compare its lock file, lint; nothing is written.

    Args:
      folder: the folder.
      template: the model, as `module:callable`, to be compared with the newest version; only this imports JAX.
      message: what changes in the model, in a few words; a part of the name of the drafted rule file.

    Returns:
      The findings as `findings`, with the severities of `[tool.migrate]` in the nearest `pyproject.toml`, the plans,
      and the lock file. If the model is not the newest version, `model.draft` is the missing rule file.

    Raises:
      RuleFileError: it is no folder.
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
    """
    from migrate.planning.versions.check import check
    from migrate.rules.folder import read_folder, released_names
    from migrate.rules.lock import load_lock
    from migrate.rules.policy_file import load_policy

    path = os.fspath(folder)
    found, mistakes = read_folder(path)
    policy, invalid = load_policy(path)
    made = check(found, load_lock(path, released_names(found)), mistakes)
    comparison = None if template is None or mistakes else _compared(made, template, message)
    if comparison is not None and comparison.draft is not None:
        made = replace(made, diagnostics=(*made.diagnostics, _unreleased(path, comparison, message)))
    judged = (*policy.applied(made.diagnostics), *invalid, *_idle(policy, made))
    return replace(made, diagnostics=judged, model=comparison)


def _idle(policy: Policy, made: FolderCheck) -> Iterator[Diagnostic]:
    folder = made.folder
    files = {name for rules in folder.files for name, _ in rules.files} | {tree.spec for tree in folder.trees}
    trees = [tree.tree for tree in folder.trees]
    trees += [planned.plan.target for planned in made.every.steps if planned.plan is not None]
    return policy.idle(sorted(files), (format_path(path) for tree in trees for path in tree.leaves))


def _compared(made: FolderCheck, template: str, message: str) -> ModelComparison | None:
    """Return the comparison of a model with the newest version; None if that version is not the only one or unknown."""
    from migrate.api.recorded_templates import target_fields
    from migrate.planning.versions.chain import recorded_source
    from migrate.planning.versions.check import compared
    from migrate.planning.versions.new_version import next_release
    from migrate.rules.recorded_tree import is_recorded_tree

    head = _head(made, template)
    recorded = recorded_tree(made.folder, head) if head else None
    if head is None or recorded is None:
        return None
    target, fields = _target(made, head), dict[str, Any]()
    if target and target.args and target.template == template:
        fields["args"] = dict(target.args)
    layout = target.layout if target and target.layout else "state"
    built = abstract_template(template, fields.get("args"), layout)
    comparison = compared(recorded, head, template, built.tree)
    if built.tree.structure_hash == recorded.tree.structure_hash:
        return comparison
    if layout != "state":
        from migrate.planning.rule_text.write import Word

        fields["layout"] = Word(layout)
    if is_recorded_tree(template):
        fields = target_fields(template)
    release = next_release(made.folder, head.model, recorded.version)
    draft = draft_version(made.folder, release, recorded_source(recorded), built, fields, message)
    return replace(comparison, draft=draft)


def _head(made: FolderCheck, template: str) -> ModelVersion | None:
    """Return the newest version; of those of several models, the one whose rule file names the template."""
    if len(made.heads) == 1:
        return made.heads[0]
    named = [step.target for step in made.every.graph.steps if step.rules.target.template == template]
    alike = {head for head in made.heads if head in named}
    models = {head.model for head in made.heads}
    return alike.pop() if len(alike) == 1 and len(models) == len(made.heads) else None


def _target(made: FolderCheck, head: ModelVersion) -> Target | None:
    return next((step.rules.target for step in made.every.graph.steps if step.target == head), None)


def _unreleased(folder: str, comparison: ModelComparison, message: str) -> Diagnostic:
    from migrate.planning.versions.check import unreleased

    words = ["migrate", "check", folder, "--template", comparison.template, "--write"]
    text = join([*words, "-m", message]) if message else f"{join(words)} -m TEXT"
    return unreleased(folder, comparison, text)
