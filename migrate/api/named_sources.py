"""A checkpoint with the named sources of a rule file beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrate.checkpoint import Checkpoint, StrPath, open_checkpoint
from migrate.codes import InvalidUsage, StalePlan, UnknownSource
from migrate.errors import CheckpointError, Diagnostic, PlanError, UsageError, did_you_mean

if TYPE_CHECKING:
    from migrate.planning.model import Plan
    from migrate.rules.model import RuleSet

Sources = Mapping[str, Checkpoint | StrPath]
"""Named sources, open or by path."""


@contextmanager
def joined(checkpoint: Checkpoint, rules: RuleSet, given: Sources | None = None) -> Iterator[Checkpoint]:
    """Yields a checkpoint with the named sources of its rules, and closes those that it opens.

    Args:
      checkpoint: the main source; unchanged where it has its named sources already.
      rules: the rules.
      given: sources by name, in place of the paths of the rule file.

    Raises:
      UsageError: the rules declare no such source (`UnknownSource`), or one is missing (`MissingSource`).
      CheckpointError: a source cannot be read.
    """
    with ExitStack() as stack:
        yield _joined(stack, checkpoint, rules, given or {}, follow_links=False)


@contextmanager
def joined_as_planned(checkpoint: Checkpoint, plan: Plan, given: Sources | None = None) -> Iterator[Checkpoint]:
    """Yields a checkpoint with the sources that a plan was made for, and closes those that it opens.

    Raises:
      PlanError: the structure of a source is not the planned one (`StalePlan`).
      UsageError, CheckpointError: as in `joined`.
    """
    planned = plan.source.sources
    with ExitStack() as stack:
        found = dict(given or {})
        for name, one in planned.items() if not checkpoint.abstract.sources else ():
            if name not in found:
                step = one.step if one.steps else None
                guard = plan.rules.sources[name].guard
                found[name] = stack.enter_context(
                    open_checkpoint(one.path, step, unbox=guard.unbox, separator=guard.separator)
                )
        source = _joined(stack, checkpoint, plan.rules, found, follow_links=False)
        if planned and source.abstract.structure_hash != plan.source.structure_hash:
            message = "the structure of the sources is not the one that the plan was made for"
            raise PlanError(StalePlan.at(message, help="plan again, with the sources of this run"))
        yield source


def open_joined(checkpoint: Checkpoint, rules: RuleSet, given: Sources, *, follow_links: bool = False) -> Checkpoint:
    """Returns a checkpoint with the named sources of its rules, which `close` closes together.

    Raises:
      UsageError, CheckpointError: as in `joined`; then all of them are closed.
    """
    with ExitStack() as stack:
        stack.enter_context(checkpoint)
        found = _joined(stack, checkpoint, rules, given, follow_links=follow_links)
        stack.pop_all()
        return found


def _joined(
    stack: ExitStack, checkpoint: Checkpoint, rules: RuleSet, given: Sources, *, follow_links: bool
) -> Checkpoint:
    from migrate.formats.joined import JoinedReader
    from migrate.planning.named_sources import missing_sources

    known = checkpoint.abstract.sources
    if known and given:
        message = "the checkpoint has its named sources already"
        raise UsageError(InvalidUsage.at(message, help="leave out `sources`, or pass the main source alone"))
    _refuse_unknown(rules, given)
    paths = {name: given.get(name, one.path) for name, one in rules.sources.items()}
    present = {**known, **{name: path for name, path in paths.items() if path is not None}}
    missing = list(missing_sources(rules, present))
    if missing:
        raise UsageError(*missing)
    if known or not rules.sources:
        return checkpoint
    named = {}
    for name, path in paths.items():
        if isinstance(path, Checkpoint):
            named[name] = path.reader
        elif path is not None:
            guard = rules.sources[name].guard
            how: dict[str, Any] = {"unbox": guard.unbox, "separator": guard.separator, "follow_links": follow_links}
            try:
                named[name] = stack.enter_context(open_checkpoint(path, **how)).reader
            except CheckpointError as error:
                raise CheckpointError(*(_of_source(name, found, rules) for found in error.diagnostics)) from error
    return Checkpoint(JoinedReader(checkpoint.reader, named))


def _refuse_unknown(rules: RuleSet, given: Sources) -> None:
    unknown = [name for name in given if name not in rules.sources]
    if unknown:
        name = unknown[0]
        file = rules.path or "the command"
        raise UsageError(
            UnknownSource.at(
                f"{file} declares no source `{name}`",
                help=did_you_mean(name, rules.sources)
                or f"write `sources: {{{name}: null}}` in the rule file, and rules for `{name}:/…`",
            )
        )


def _of_source(name: str, found: Diagnostic, rules: RuleSet) -> Diagnostic:
    """Returns a finding about a source that cannot be opened, at the line that names it."""
    own = rules.sources[name]
    return replace(found, message=f"source `{name}`: {found.message}", span=found.span or own.span)
