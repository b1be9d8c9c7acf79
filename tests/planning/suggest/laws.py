"""What holds for every suggestion, whatever the models."""

from collections.abc import Iterator

from migrate.codes import UnfilledTarget, UnusedSource
from migrate.planning.planner import make_plan
from migrate.planning.suggest.composition import Suggestion
from migrate.rules.loader import parse_rules
from migrate.tree import format_path

UNPLACED = (UnfilledTarget.number, UnusedSource.number)


def faults(suggestion: Suggestion) -> Iterator[str]:
    """Yields what is wrong with the rule file of a suggestion.

    `check` finds no error in it but leaves that it lists as not placed, and its rules neither use nor fill these.
    """
    composition = suggestion.composition
    plan = make_plan(composition.source, parse_rules(suggestion.text, "own.yaml"), composition.template)
    yield from (found.message for found in plan.diagnostics if found.is_error and found.code not in UNPLACED)
    used = {path for task in plan.tasks for path in task.sources} | {drop.source for drop in plan.dropped if drop.rule}
    filled = {path for task in plan.tasks for path in task.targets} | {made.target for made in plan.created}
    for side, listed, taken in (
        ("source", suggestion.unplaced_sources, used),
        ("target", suggestion.unplaced_targets, filled),
    ):
        yield from (f"{side} {format_path(path)} is listed and placed" for path in listed if path in taken)
    left = {path for path, leaf in composition.source.tree.leaves.items() if leaf.has_data} - used
    missing = {path for path, leaf in composition.template.tree.leaves.items() if leaf.has_data} - filled
    model = not any(task.follows for task in plan.tasks)
    if model:  # the moments of params that are not placed are not listed again
        yield from (f"{format_path(path)} is not listed" for path in left - set(suggestion.unplaced_sources))
        yield from (f"{format_path(path)} is not listed" for path in missing - set(suggestion.unplaced_targets))
