"""Suggests a bundled rule file for a model of a known family, with rules for the rest of the training state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.model import Plan
from migrate.planning.suggest.composition import Composition, KnownTemplate, Suggestion
from migrate.planning.suggest.families import FamilyFit, fitting_families, other_tasks
from migrate.planning.suggest.layout import ClassifiedTree, lay_out
from migrate.planning.suggest.leftovers import settle_leftovers, with_leaves_without_arrays
from migrate.planning.suggest.transformers import buffer_drops, is_foreign
from migrate.planning.suggest.values import Doubt
from migrate.tree import KeyPath


def family_suggestion(
    source: AbstractCheckpoint,
    template: KnownTemplate,
    fields: Mapping[str, Any],
    mine: ClassifiedTree,
    config: Mapping[str, Any] | None = None,
) -> Suggestion | None:
    """Returns the suggestion of a bundled rule file, or None if no file accounts for every array of both models.

    Args:
      source: the abstract checkpoint.
      template: the target.
      fields: additional fields of `target:`.
      mine: the leaves of the checkpoint.
      config: the checkpoint's `config.json`, if it has one.
    """
    theirs = lay_out(template.tree, template.variables)
    if not (is_foreign(mine.of("model")) or is_foreign(theirs.of("model"))):
        return None
    made: list[tuple[FamilyFit, Composition, Suggestion]] = []
    for fit in told_apart(fitting_families(mine, theirs), config):
        composition = Composition(source, template, fields, (mine.name, theirs.name), family=fit)
        first = composition.general_plan([])
        if not set(first.unexpected) <= source.tree.leaves.keys():  # it fills leaves that the target does not have
            continue
        rest = settle_leftovers(mine, theirs, first.unexpected, first.missing)
        rest = with_leaves_without_arrays(rest, source.tree, first.unexpected)
        rest = rest.with_drops(buffer_drops(mine.of("model"), set(first.unexpected)))
        composition = replace(composition, rest=rest)
        suggestion = composition.suggestion(rest.drafts)
        if suggestion.plan.applicable:
            made.append((fit, composition, suggestion))
    if not made:
        return None
    (_, composition, first_one), *others = made
    doubts, notes = _rivals(first_one.plan, [(fit, other.plan) for fit, _, other in others])
    return replace(composition, doubts=doubts, notes=notes).suggestion(first_one.drafts) if others else first_one


def told_apart(fits: list[FamilyFit], config: Mapping[str, Any] | None) -> list[FamilyFit]:
    """Returns the files that are for a model of this config."""
    if config is None:
        return fits
    verdicts = [(fit, fit.family.is_for(config)) for fit in fits]
    return [fit for fit, told in verdicts if told] or [fit for fit, told in verdicts if told is None]


def _rivals(
    plan: Plan, others: list[tuple[FamilyFit, Plan]]
) -> tuple[dict[KeyPath, tuple[Doubt, ...]], tuple[str, ...]]:
    """Returns what other families of the same names and shapes move otherwise, as doubts and as lines of a comment."""
    doubts: defaultdict[KeyPath, list[Doubt]] = defaultdict(list)
    notes: list[str] = []
    for fit, other in others:
        changed = other_tasks(plan, other)
        name = f"`{fit.family.name}` ({fit.family.model})"
        for path in changed:
            doubts[path].append(Doubt(f"{name} has the same names and shapes, and moves it otherwise"))
        if not changed:
            notes.append(f"{name} has the same names and shapes, and the same rules.")
        else:
            leaves = "1 leaf" if len(changed) == 1 else f"{len(changed)} leaves"
            notes.append(f"{name} has the same names and shapes, but another meaning of {leaves}:")
            notes.append(f"include {fit.include} instead if the model's config says so.")
    return {path: tuple(found) for path, found in doubts.items()}, tuple(notes)
