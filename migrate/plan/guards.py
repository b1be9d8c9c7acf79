"""What is checked before anything is planned: is this the source, and the template, that the rule file was written for?"""

from __future__ import annotations

from collections.abc import Iterator

from migrate.codes import M304, M305, M306, M308, M502
from migrate.errors import Diagnostic
from migrate.formats.base import AbstractCheckpoint
from migrate.metadata import Metadata, already_applied
from migrate.rules.model import RuleSet
from migrate.tree import AbstractTree


def guard(source: AbstractCheckpoint, rules: RuleSet, template: AbstractTree | None) -> Iterator[Diagnostic]:
    """Findings about the source, its own record of itself, and the template."""
    metadata = Metadata.from_json(source.metadata)
    yield from _source_structure(source, rules)
    yield from _target_structure(rules, template)
    if metadata is not None:
        yield from _own_record(source, metadata)
        yield from _model(metadata, rules)
        yield from _twice(source, metadata, rules)


def _source_structure(source: AbstractCheckpoint, rules: RuleSet) -> Iterator[Diagnostic]:
    if rules.source.structure not in (None, source.structure_hash):
        yield M304.at(
            f"the source's structure is {source.structure_hash}, but the rule file was written for {rules.source.structure}",
            span=rules.source.span,
            help="`migrate diff` compares two checkpoints leaf by leaf; pin the new hash when the difference is meant",
        )


def _target_structure(rules: RuleSet, template: AbstractTree | None) -> Iterator[Diagnostic]:
    if template is not None and rules.target.structure not in (None, template.structure_hash):
        yield M305.at(
            f"the template's structure is {template.structure_hash}, but the rule file was written for {rules.target.structure}",
            span=rules.target.span,
            help="the model changed since; compare it with `migrate diff SRC --template`, then pin the new hash",
        )


def _own_record(source: AbstractCheckpoint, metadata: Metadata) -> Iterator[Diagnostic]:
    if metadata.structure_hash not in (None, source.structure_hash):
        yield M306.at(
            f"the checkpoint says that its structure is {metadata.structure_hash}, but what is on disk is {source.structure_hash}",
            help="a file was changed, lost or mixed with another checkpoint; copy it again from where it was written",
        )


def _model(metadata: Metadata, rules: RuleSet) -> Iterator[Diagnostic]:
    for name in ("model", "version"):
        wanted, found = getattr(rules.source, name), getattr(metadata, name)
        if wanted is not None and found is not None and str(wanted) != str(found):
            yield M308.at(
                f"the rule file is for {name} {wanted}, but the checkpoint's metadata says {name} {found}", span=rules.source.span
            )


def _twice(source: AbstractCheckpoint, metadata: Metadata, rules: RuleSet) -> Iterator[Diagnostic]:
    if rules.rules and already_applied(metadata, rules.digest):
        yield M502.at(
            f"{rules.path} was already applied to {source.path}: its metadata records the migration",
            help="apply the rules to the checkpoint from before; this one needs no change",
        )
