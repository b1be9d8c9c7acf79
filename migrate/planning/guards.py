"""Checks before planning: source and template must be the ones that the rules were written for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from shlex import quote
from typing import Any, Protocol

from migrate.codes import (
    AlreadyApplied,
    CodeMismatch,
    HyperparameterMismatch,
    ModelMismatch,
    NoCheckpoint,
    RecordedStructureMismatch,
    SourceStructureMismatch,
    TemplateStructureMismatch,
)
from migrate.errors import Diagnostic
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata, already_applied
from migrate.planning.config import RECORD, UNCHANGED, PlannedConfig, config_name
from migrate.planning.named_sources import missing_sources
from migrate.planning.recorded_leaves import SHOWN, changes_since_record, leaf_changes, listed_changes
from migrate.rules.model import OtherSource, RuleSet, Target
from migrate.tree import AbstractTree

ABOUT_SOURCE = frozenset(
    code.number
    for code in (
        *(AlreadyApplied, CodeMismatch, HyperparameterMismatch, ModelMismatch, NoCheckpoint),
        *(RecordedStructureMismatch, SourceStructureMismatch, TemplateStructureMismatch),
    )
)
"""The numbers of the diagnostics of `guard`, which concern one checkpoint and not only its structure."""

LONGEST_VALUE = 60
"""The most characters of a hyperparameter that a message shows."""


class ModelFactsLike(Protocol):
    """What the checks need to know about the template's model; `migrate.template.facts` reads it."""

    @property
    def attributes(self) -> Mapping[str, tuple[Any, ...]]:
        """Every value that a plain attribute has in the model."""

    @property
    def code_digests(self) -> Mapping[str, str]:
        """The digests of the model's code, by module."""


def guard(
    source: AbstractCheckpoint,
    rules: RuleSet,
    template: AbstractTree | None,
    *,
    facts: ModelFactsLike | None = None,
    expected: AbstractTree | None = None,
    config: PlannedConfig = UNCHANGED,
) -> Iterator[Diagnostic]:
    """Yields diagnostics about the source, its recorded structure and model, and the template.

    Args:
      source: the source.
      rules: the rule file.
      template: the tree of the template.
      facts: what is known about the template's model.
      expected: the tree that the rules alone make of the source, where the template is not the one that they pin.
      config: the hyperparameters and JSON items that the rules change.
    """
    main = source.checkpoints[()]
    metadata = Metadata.from_json(source.metadata) or Metadata()
    yield from _has_pytree(main)
    yield from missing_sources(rules, source.sources)
    yield from _source_structure(main, metadata, rules)
    yield from _target_structure(rules, template, expected) if template is not None else ()
    yield from recorded_structure(main)
    yield from _model(main, metadata, rules)
    yield from _named(source, rules)
    yield from _hyperparameters(metadata, rules, facts, config)
    yield from _code(metadata, facts)
    yield from _already_applied(source, metadata, rules)


def _named(source: AbstractCheckpoint, rules: RuleSet) -> Iterator[Diagnostic]:
    """Compares each named source with its record and with what the rules require of it."""
    for name, one in source.sources.items():
        metadata = Metadata.from_json(one.metadata) or Metadata()
        required = replace(rules, source=rules.sources.get(name, OtherSource()).guard, target=Target())
        found = (
            *_source_structure(one, metadata, required),
            *recorded_structure(one),
            *_model(one, metadata, required),
        )
        yield from (replace(finding, message=f"source `{name}`: {finding.message}") for finding in found)


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
    recorded = metadata.structure_hash if metadata else None
    if metadata is None or recorded is None or recorded == source.structure_hash:
        return
    changes = changes_since_record(source, metadata)
    if changes:
        yield RecordedStructureMismatch.at(
            f"the checkpoint's structure is not the one that its metadata records: {listed_changes(changes)}",
            paths=[change.path for change in changes],
            help="a file was changed, lost or mixed with another checkpoint; copy the checkpoint again from its origin",
        )


def _source_structure(source: AbstractCheckpoint, metadata: Metadata, rules: RuleSet) -> Iterator[Diagnostic]:
    pinned = rules.source.structure
    if pinned is None or pinned == source.structure_hash:
        return
    changes = changes_since_record(source, metadata) if pinned == metadata.structure_hash else []
    named = f": {listed_changes(changes)}" if changes else _recorded_version(metadata)
    yield SourceStructureMismatch.at(
        f"the source's structure is {source.structure_hash}, not {pinned}{named}",
        span=rules.source.span,
        label="the rule file was written for another structure",
        paths=[change.path for change in changes],
        help="`migrate diff SRC OTHER` compares two checkpoints; if the difference is intended, pin the new hash",
    )


def _recorded_version(metadata: Metadata) -> str:
    if metadata.model is None:
        return ""
    version = "" if metadata.version is None else f", version {metadata.version}"
    return f"; the checkpoint records that it is of {metadata.model}{version}"


def _target_structure(rules: RuleSet, template: AbstractTree, expected: AbstractTree | None) -> Iterator[Diagnostic]:
    """Compares the structure that the rule file pins for its target with the template.

    Args:
      rules: the rule file.
      template: the tree of the template.
      expected: the tree that the rules alone make of the source; its leaves are named if it is the pinned one.
    """
    pinned = rules.target.structure
    if pinned is None or pinned == template.structure_hash:
        return
    is_known = expected is not None and expected.structure_hash == pinned
    changes = leaf_changes(expected.signature, template.signature) if expected is not None and is_known else []
    named = f": {listed_changes(changes)}" if changes else ""
    yield TemplateStructureMismatch.at(
        f"the template's structure is {template.structure_hash}, not {pinned}{named}",
        span=rules.target.span,
        label="the rule file was written for another structure",
        paths=[change.path for change in changes],
        help="`migrate diff SRC --template M:F` shows the model's changes; if they are intended, pin the new hash",
    )


def _model(source: AbstractCheckpoint, metadata: Metadata, rules: RuleSet) -> Iterator[Diagnostic]:
    for name in ("model", "version"):
        wanted, found = getattr(rules.source, name), getattr(metadata, name)
        if wanted is not None and found is not None and str(wanted) != str(found):
            yield ModelMismatch.at(
                f"the rule file is for {name} {wanted}, but the checkpoint's metadata records {name} {found}",
                span=rules.source.span,
                help=_model_help(source, metadata, rules),
            )


def _model_help(source: AbstractCheckpoint, metadata: Metadata, rules: RuleSet) -> str:
    target = rules.target
    if (target.model or rules.source.model or metadata.model) == metadata.model and (
        target.version is not None and str(target.version) == str(metadata.version)
    ):
        return "the checkpoint is at the version that the rule file leads to; use it without this migration"
    model, version = rules.source.model or metadata.model, rules.source.version
    stamp = f"migrate stamp {quote(str(source.path))} --model {quote(str(model))}"
    stamp += "" if version is None else f" --version {quote(str(version))}"
    return f"choose the rule file of the recorded version; if the record is wrong, correct it: `{stamp}`"


def _hyperparameters(
    metadata: Metadata, rules: RuleSet, facts: ModelFactsLike | None, config: PlannedConfig
) -> Iterator[Diagnostic]:
    """Names the hyperparameters, and names of JSON items that rules change, with another value in the template."""
    known = {name: (value,) for name, value in rules.target.args.items()}
    values: Mapping[str, Sequence[Any]] = {**(facts.attributes if facts else {}), **known}
    origins = {RECORD: "saved with", **{item: f"{config_name(item)} has" for item in config.contents}}
    contents = {RECORD: metadata.hyperparameters, **config.contents}
    differ = [
        (item, name, saved[name])
        for item, saved in contents.items()
        for name in saved
        if name in values and saved[name] not in values[name]
    ]
    planned = [name for item, name, _ in differ if item in config.contents]
    named = [
        f"{origins[item]} {name} {_shown(value)}, the template has {' or '.join(map(_shown, values[name]))}"
        for item, name, value in differ[:SHOWN]
    ]
    if named:
        more = f"; and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
        yield HyperparameterMismatch.at(
            "; ".join(named) + more,
            help="arrays of equal shapes may mean something else; check their rules, or compare outputs with `--probe`"
            + (f"; or correct the `config:` rules: give `{planned[0]}` its `value:`" if planned else ""),
        )


def _shown(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    except RecursionError:
        return "a nested value"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _code(metadata: Metadata, facts: ModelFactsLike | None) -> Iterator[Diagnostic]:
    """Names the modules whose code is not the code that the checkpoint was saved with."""
    saved, now = metadata.code_digests, facts.code_digests if facts else {}
    if not saved or not now or saved == now:
        return
    changed = sorted(name for name in {*saved, *now} if saved.get(name) != now.get(name))
    named = ", ".join(f"`{name}` ({_fate(name, saved, now)})" for name in changed[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    since = f" at commit {metadata.code}" if metadata.code else ""
    yield CodeMismatch.at(
        f"the code of the template is not the code that the checkpoint was saved with{since}: {named}{more}"
    )


def _fate(name: str, saved: Mapping[str, str], now: Mapping[str, str]) -> str:
    return "new" if name not in saved else "no longer used" if name not in now else "changed"


def _already_applied(source: AbstractCheckpoint, metadata: Metadata, rules: RuleSet) -> Iterator[Diagnostic]:
    if rules.count and already_applied(metadata, rules.digest):
        yield AlreadyApplied.at(
            f"`{rules.path}` was already applied to `{source.path}`: its metadata records the migration",
            help="apply the rules to the original checkpoint; this one is already migrated",
        )
