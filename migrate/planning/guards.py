"""Checks before planning: source and template must be the ones that the rules were written for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migrate.codes import (
    AlreadyApplied,
    ModelMismatch,
    NoCheckpoint,
    RecordedStructureMismatch,
    SourceStructureMismatch,
    TemplateStructureMismatch,
)
from migrate.errors import Diagnostic
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata, already_applied
from migrate.rules.model import RuleSet
from migrate.tree import AbstractTree

SHOWN = 5
"""The number of differing leaves that a message names; its paths list all of them."""


def guard(source: AbstractCheckpoint, rules: RuleSet, template: AbstractTree | None) -> Iterator[Diagnostic]:
    """Yields diagnostics about the source, its recorded structure, and the template."""
    metadata = Metadata.from_json(source.metadata) or Metadata()
    yield from _has_pytree(source)
    yield from _source_structure(source, rules)
    yield from _target_structure(rules, template)
    yield from recorded_structure(source)
    yield from _model(metadata, rules)
    yield from _already_applied(source, metadata, rules)


def _has_pytree(source: AbstractCheckpoint) -> Iterator[Diagnostic]:
    if not source.items:
        names = ", ".join(f"`{name}`" for name in source.extras)
        yield NoCheckpoint.at(
            f"there is no pytree to migrate: `{source.path}` holds only JSON ({names})",
            help="copy the checkpoint unchanged; its JSON needs no migration",
        )


def recorded_structure(source: AbstractCheckpoint) -> Iterator[Diagnostic]:
    """Compares the structure that a checkpoint's metadata records with its tree; names the leaves that differ."""
    metadata = Metadata.from_json(source.metadata)
    if metadata is None or metadata.structure_hash in (None, source.structure_hash):
        return
    recorded, found = _recorded_leaves(source, metadata), source.tree.signature
    if recorded == found:
        return
    differ = sorted(path for path in {*recorded, *found} if recorded.get(path) != found.get(path))
    named = "; ".join(f"`{p}` was {recorded.get(p, 'absent')}, is {found.get(p, 'absent')}" for p in differ[:SHOWN])
    more = f"; and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
    yield RecordedStructureMismatch.at(
        f"the checkpoint's structure is not the one that its metadata records: {named}{more}",
        paths=differ,
        help="a file was changed, lost or mixed with another checkpoint; copy the checkpoint again from its origin",
    )


def _recorded_leaves(source: AbstractCheckpoint, metadata: Metadata) -> Mapping[str, str]:
    """Returns the recorded leaves; where one item of several was chosen, only those of that item."""
    names = [name for name in source.items if name]
    if len(names) != 1 or not all(path.startswith(f"{names[0]}/") for path in metadata.leaves):
        return metadata.leaves
    prefix = f"{names[0]}/"
    return {path.removeprefix(prefix): leaf for path, leaf in metadata.leaves.items() if path.startswith(prefix)}


def _source_structure(source: AbstractCheckpoint, rules: RuleSet) -> Iterator[Diagnostic]:
    if rules.source.structure not in (None, source.structure_hash):
        yield SourceStructureMismatch.at(
            f"the source's structure is {source.structure_hash}, not {rules.source.structure}",
            span=rules.source.span,
            label="the rule file was written for another structure",
            help="`migrate diff SRC OTHER` compares two checkpoints; if the difference is intended, pin the new hash",
        )


def _target_structure(rules: RuleSet, template: AbstractTree | None) -> Iterator[Diagnostic]:
    if template is not None and rules.target.structure not in (None, template.structure_hash):
        yield TemplateStructureMismatch.at(
            f"the template's structure is {template.structure_hash}, not {rules.target.structure}",
            span=rules.target.span,
            label="the rule file was written for another structure",
            help="`migrate diff SRC --template M:F` shows the model's changes; if they are intended, pin the new hash",
        )


def _model(metadata: Metadata, rules: RuleSet) -> Iterator[Diagnostic]:
    for name in ("model", "version"):
        wanted, found = getattr(rules.source, name), getattr(metadata, name)
        if wanted is not None and found is not None and str(wanted) != str(found):
            yield ModelMismatch.at(
                f"the rule file is for {name} {wanted}, but the checkpoint's metadata records {name} {found}",
                span=rules.source.span,
            )


def _already_applied(source: AbstractCheckpoint, metadata: Metadata, rules: RuleSet) -> Iterator[Diagnostic]:
    if rules.rules and already_applied(metadata, rules.digest):
        yield AlreadyApplied.at(
            f"`{rules.path}` was already applied to `{source.path}`: its metadata records the migration",
            help="apply the rules to the original checkpoint; this one is already migrated",
        )
