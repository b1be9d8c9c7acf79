"""Public function that resumes training: the newest readable step of a root becomes the state of the model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from migrate.api.loading import summary
from migrate.checkpoint import Checkpoint, StrPath
from migrate.codes import HyperparameterMismatch
from migrate.engine.options import DEFAULT_RAM
from migrate.errors import CheckpointError, Diagnostic, ResumeWarning
from migrate.places.names import place_of

if TYPE_CHECKING:
    from migrate.api.resumed_plan import ResumedModel
    from migrate.api.step_search import StepSearch
    from migrate.engine.loading.recipient import Recipient
    from migrate.engine.loading.shardings import MeshLike
    from migrate.planning.model import Plan
    from migrate.rules.folder import RuleFolder


@dataclass(frozen=True)
class Resumed:
    """A step of a root as the state of a model.

    Attributes:
      step: its number.
      state: what the template's callable returns, or `into`, with the values of the step.
      metadata: its custom metadata; the record is the entry `migrate`.
      plan: how each leaf was computed; `plan.chain` has the rule files if there were several.
      items: the content of its JSON items by name, such as the state of a data iterator.
    """

    step: int
    state: Any
    metadata: Mapping[str, Any]
    plan: Plan
    items: Mapping[str, Any]


def resume(
    root: StrPath,
    template: str | None = None,
    rules: RuleFolder | StrPath = "rules/",
    *,
    mesh: MeshLike | None = None,
    into: Any = None,
    step: int | Literal["latest"] = "latest",
    to: int | str | None = None,
    strict: bool = False,
    max_ram: int = DEFAULT_RAM,
    allow_code: bool = False,
) -> Resumed | None:
    """Return the newest step of a root as the state of the model, through the rule files from its version.

    The record of the step is compared first. A step of the model's version is loaded as it is, an older one through the
    chain of rule files from its version, as `load` does it; no file is written. If `expand` has added a layout of the
    model's version to an older step, that layout is loaded. A step without a version is loaded as it is if it fits the
    model, or else through the only path of rule files that fits. In a job of several processes, all of them call it.

    Args:
      root: a directory of steps, as `CheckpointManager` or v1's `Checkpointer` writes it.
      template: `module:callable`, which makes the model (default: `into`, or the template of the newest rule file).
      rules: the folder of rule files, or a loaded one; it may be missing as long as no step needs it.
      mesh: as for `load`.
      into: as for `load`.
      step: a number, or the latest; then newer steps that are unfinished, damaged or unreadable are skipped with a
        `ResumeWarning` that names them.
      to: the version of the model (default: the newest of the rule files).
      strict: whether such a step is refused instead.
      max_ram: as for `load`.
      allow_code: as for `load`.

    Returns:
      The step, or None if there is none: the root does not exist, or no save in it was ever finished.

    Raises:
      UsageError: there is no model, `to` is unknown, the root is a checkpoint or a file, or a sharding does not fit its
        array.
      CheckpointError: no step of the root can be read (`NoReadableStep`), the chosen step cannot be, `strict` refuses
        one (`SkippedStep`) or a layout of it (`SkippedLayout`), or a callable cannot be found or fails.
      PlanError: no rule file explains how the step differs from the model (`UnexplainedStep`), or the rules do not fit;
        no array was read.
      RuleFileError: a rule file has mistakes.
      RefusedError: code is not allowed, a cast or an assertion fails, or the checkpoint changed meanwhile.
      MigrateError: memory is exhausted, or another process of the job failed.
    """
    from migrate.api.resumed_plan import ResumedModel
    from migrate.api.step_search import StepSearch
    from migrate.engine.loading.agreement import agree, is_unreadable
    from migrate.engine.loading.load import load

    search = StepSearch(place_of(root), step, strict=strict)
    model = ResumedModel(template, into, rules, to, max_ram=max_ram, allow_code=allow_code)
    concerns: list[Diagnostic] = []
    try:
        while True:
            with ExitStack() as stack:

                def decide(stack: ExitStack = stack) -> _Choice | None:
                    checkpoint = search.next(stack)
                    return None if checkpoint is None else _choose(checkpoint, search, model, stack)

                chosen = agree(decide, lambda found: "no step" if found is None else found.summary(search.number))
                if chosen is None:
                    return None
                source, plan = chosen.checkpoint, chosen.plan
                try:
                    state = load(
                        plan, source.reader, chosen.recipient, mesh=mesh, max_ram=max_ram, allow_code=allow_code
                    )
                except CheckpointError as error:
                    if not is_unreadable(error):
                        raise
                    if chosen.layout is None:
                        search.skip(error)
                    else:
                        search.skip_layout(chosen.layout, error)
                    continue
                concerns += [one for one in plan.diagnostics if one.code == HyperparameterMismatch.number]
                return Resumed(search.number, state, source.abstract.metadata, plan, chosen.items)
    finally:
        for concern in (*search.skipped, *concerns):
            warnings.warn(ResumeWarning(concern), stacklevel=2)


@dataclass(frozen=True)
class _Choice:
    """A step or one of its layouts, with the model and the plan that leads from one to the other.

    Attributes:
      checkpoint: the step or the layout.
      recipient: the model.
      plan: the plan.
      items: the JSON items of the step.
      layout: the item that was chosen in place of the one that the step is read as by default.
    """

    checkpoint: Checkpoint
    recipient: Recipient
    plan: Plan
    items: Mapping[str, Any]
    layout: str | None = None

    def summary(self, number: int) -> str:
        """What has to be equal in all processes."""
        return f"step {number}, {summary(self.recipient, self.plan)}"


def _choose(checkpoint: Checkpoint, search: StepSearch, model: ResumedModel, stack: ExitStack) -> _Choice:
    """Returns the layout of a step that is of the model's version, or else the step through its rule files."""
    items = checkpoint.abstract.extras
    if checkpoint.abstract.layouts and model.plan_as_it_is(checkpoint) is None:
        for name, layout in search.layouts(checkpoint, stack):
            planned = model.plan_as_it_is(layout)
            if planned is not None:
                return _Choice(layout, *planned, items, name)
    return _Choice(checkpoint, *model.plan_for(checkpoint), items)
