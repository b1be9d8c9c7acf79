"""Public functions for roots: which steps a run takes, and a run of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.checkpoint import Checkpoint, StrPath, open_checkpoint
from migrate.codes import DamagedStep, InvalidUsage, SurplusSteps
from migrate.engine.options import DEFAULT_RAM, VerifyMode
from migrate.engine.streaming.stopping import never
from migrate.errors import CheckpointError, Diagnostic, UsageError, listed
from migrate.events import Listener, ignore
from migrate.formats.files import is_dir
from migrate.places.names import destination_path, refresh
from migrate.planning.root_steps import StepSelection, StepSelector, parse_selector
from migrate.planning.root_steps import choose_steps as choose

if TYPE_CHECKING:
    from migrate.engine.receipt import Receipt
    from migrate.formats.root import Root, RootStep
    from migrate.planning.model import Plan

_LISTED = 20


@dataclass(frozen=True, slots=True)
class ChosenSteps:
    """The steps of a root that a run takes.

    Attributes:
      root: the root.
      selector: the parsed `--step`.
      selection: the steps to migrate, and those that are left out.
      damaged: the errors of the steps that are skipped because they cannot be read, by number.
      keep: how many steps are kept; None for all.
      keep_period: multiples of it are kept as well.
    """

    root: Root
    selector: StepSelector
    selection: StepSelection
    damaged: Mapping[int, tuple[Diagnostic, ...]]
    keep: int | None = None
    keep_period: int | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the steps to migrate, in rising order."""
        return tuple(step.number for step in self.selection.chosen)

    def surplus(self, destination: StrPath) -> list[Diagnostic]:
        """Returns a note on steps of DST that `keep` would not keep; none without `keep`."""
        from migrate.formats.steps import find_steps

        where = destination_path(destination)
        refresh(where)
        if self.keep is None or not is_dir(where):
            return []
        names = [step.path.name for step in find_steps(where).steps if step.whole not in self.numbers]
        message = f"`{os.fspath(destination)}` also holds steps that `--keep {self.keep}` does not keep: "
        advice = "delete them if nothing needs them"
        return [SurplusSteps.at(f"{message}{listed(names, _LISTED)}", paths=names, help=advice)] if names else []


@dataclass(frozen=True, slots=True)
class RootReceipt:
    """The result of `apply_root`.

    Attributes:
      steps: what was chosen, dropped and skipped.
      receipts: the receipt of each step that was migrated, by number.
      notes: notes about the new root.
    """

    steps: ChosenSteps
    receipts: Mapping[int, Receipt]
    notes: tuple[Diagnostic, ...] = ()


def choose_steps(
    root: StrPath,
    step: str | int = "all",
    *,
    keep: int | None = None,
    keep_period: int | None = None,
    skip_damaged: bool = False,
    follow_links: bool = False,
    opened: Callable[[int], Checkpoint] | None = None,
) -> ChosenSteps:
    """Choose steps of a root, and open each of them once; nothing is written.

    Args:
      root: a directory with steps, of a `CheckpointManager`, of `Checkpointer` of Orbax's v1 API, or of Flax.
      step: `all`, `latest`, a number, numbers such as `"100,200"`, `"every:1000"`, or `"best:METRIC"`, with `:min` or
        `:max` if the name of the metric does not tell what is best.
      keep: how many of the latest steps are kept, or of the best (default: all; for `best`, one).
      keep_period: steps whose numbers are multiples of it are kept as well.
      skip_damaged: whether steps that cannot be read are left out, before `keep` counts (default: refuse them).
      follow_links: whether links below `root` may lead out of it.
      opened: opens a step (default: `open_checkpoint`).

    Raises:
      UsageError: an argument is invalid.
      CheckpointError: there are no steps, none is selected (`NoSelectedStep`), no step has the metric
        (`UnknownMetric`), or a chosen step cannot be read (`DamagedStep`).
    """
    from migrate.formats.root import read_root

    selector = parse_selector(step)
    read = read_root(root, metrics=selector.kind == "best", follow_links=follow_links)
    open_step = opened or (lambda number: open_checkpoint(root, number, follow_links=follow_links))
    damaged = {step.number: step.problems for step in read.steps if step.problems}
    if damaged and not skip_damaged:
        raise _damaged(read, damaged, skippable=len(damaged) < len(read.steps))
    sound: set[int] = set()
    while True:
        choice = choose(read, selector, keep, keep_period, skipped=damaged)
        found = {
            step.number: problems
            for step in choice.chosen
            if step.number not in sound and (problems := _problems(open_step, step))
        }
        damaged.update(found)
        if not found and choice.chosen:
            kept = 1 if selector.kind == "best" and keep is None else keep
            return ChosenSteps(read, selector, choice, damaged, kept, keep_period)
        if not skip_damaged or not choice.chosen:
            raise _damaged(read, damaged, skippable=bool(set(read.numbers) - set(damaged)) and bool(choice.chosen))
        sound.update(step.number for step in choice.chosen if step.number not in found)


def _problems(open_step: Callable[[int], Checkpoint], step: RootStep) -> tuple[Diagnostic, ...]:
    """Returns the errors of a step that cannot be read; another misuse is raised."""
    try:
        with open_step(step.number) as opened:
            return opened.abstract.problems
    except CheckpointError as error:
        if any(problem.code == InvalidUsage.number for problem in error.diagnostics):
            raise
        return tuple(error.diagnostics)


def _damaged(root: Root, damaged: Mapping[int, tuple[Diagnostic, ...]], *, skippable: bool) -> CheckpointError:
    numbers = ", ".join(map(str, list(damaged)[:_LISTED])) + (", …" if len(damaged) > _LISTED else "")
    noun = "step" if len(damaged) == 1 else "steps"
    message = f"{noun} {numbers} of `{root.path}` cannot be read; nothing was written"
    advice = "`--skip-damaged` migrates the other steps" if skippable else "restore the steps from another copy"
    causes = (problem for problems in damaged.values() for problem in problems)
    return CheckpointError(DamagedStep.at(message, help=advice), *dict.fromkeys(causes))


def apply_root(
    make_plan: Callable[[Checkpoint], Plan],
    source: StrPath,
    destination: StrPath,
    *,
    step: str | int = "all",
    keep: int | None = None,
    keep_period: int | None = None,
    skip_damaged: bool = False,
    follow_links: bool = False,
    opened: Callable[[int], Checkpoint] | None = None,
    overwrite: bool = False,
    verify: VerifyMode = "digest",
    allow_code: bool = False,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    compression: str | None = None,
    probe: str | None = None,
    tolerance: float | None = None,
    rtol: float | None = None,
    require_proof: bool = False,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
) -> RootReceipt:
    """Migrate the chosen steps of a root into another root; the same call completes a run that was killed.

    Every step is opened, planned and checked before the first one is written. Steps that an earlier run finished are
    skipped. Each step appears at once, complete and verified, under the name that it has in the old root.

    Args:
      make_plan: returns the plan of an open step: a function that calls `plan`, `plan_upgrade` or `load_plan`. The
        plan is written as a step, whatever its `as_step` is.
      source: the old root.
      destination: the new root.
      step: as in `choose_steps`.
      keep: as in `choose_steps`; steps that are not kept are not written, and nothing is deleted.
      keep_period: as in `choose_steps`.
      skip_damaged: as in `choose_steps`.
      follow_links: as in `choose_steps`.
      opened: as in `choose_steps`.
      overwrite: as in `apply`, for each step.
      verify: as in `apply`.
      allow_code: as in `apply`.
      max_ram: as in `apply`.
      jobs: as in `apply`.
      compression: as in `apply`.
      probe: as in `apply`.
      tolerance: as in `apply`.
      rtol: as in `apply`.
      require_proof: as in `apply`.
      listener: as in `apply`.
      stopped: as in `apply`.

    Raises:
      UsageError: an argument is invalid, or the destination is a single file.
      CheckpointError, PlanError, RefusedError: a step is refused; nothing was written.
      MigrateError: as in `apply`; the steps before it are complete.
    """
    from migrate.engine import preflight
    from migrate.engine.options import ApplyOptions
    from migrate.engine.outputs.registry import fitted, is_single_file
    from migrate.engine.run import apply

    if is_single_file(destination):
        advice = "name a directory, or migrate one step with `apply`"
        raise UsageError(InvalidUsage.at(f"{os.fspath(destination)} is a single file, which is no root", help=advice))
    place = destination_path(destination)
    options = ApplyOptions(
        overwrite=overwrite,
        verify=verify,
        allow_code=allow_code,
        max_ram=max_ram,
        jobs=jobs,
        compression=compression,
        probe=probe,
        tolerance=tolerance,
        rtol=rtol,
        require_proof=require_proof,
    )
    open_step = opened or (lambda number: open_checkpoint(source, number, follow_links=follow_links))
    chosen = choose_steps(
        source,
        step,
        keep=keep,
        keep_period=keep_period,
        skip_damaged=skip_damaged,
        follow_links=follow_links,
        opened=open_step,
    )

    def planned(checkpoint: Checkpoint, where: Path) -> Plan:
        made = replace(make_plan(checkpoint), as_step=True)
        return fitted(made, where, mesh=made.has_mesh)

    for one in chosen.selection.chosen:
        with open_step(one.number) as checkpoint:
            preflight.check(planned(checkpoint, place / one.name), checkpoint.reader, place / one.name, options)
    receipts = {}
    for one in chosen.selection.chosen:
        with open_step(one.number) as checkpoint:
            made = planned(checkpoint, place / one.name)
            receipts[one.number] = apply(
                made, checkpoint.reader, place / one.name, options, listener=listener, stopped=stopped
            )
    return RootReceipt(chosen, receipts, tuple(chosen.surplus(place)))
