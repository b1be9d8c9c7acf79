"""One share of a plan, staged by a process that no other one waits for: `migrate stage`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrate.codes import RunStopped
from migrate.engine import preflight
from migrate.engine.options import ApplyOptions
from migrate.engine.outputs.registry import output_of
from migrate.engine.receipt import Clock, phase
from migrate.engine.sharing.dealing import Dealt, deal
from migrate.engine.sharing.refusals import refuse_unshared
from migrate.engine.sharing.staging import StagedShare, stage_share
from migrate.engine.verification.source_digests import recorded_digests
from migrate.engine.workspace.any_place import join_workspace
from migrate.engine.workspace.resume import origin, shared_arrays
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import CheckpointError, StoppedError
from migrate.events import LeafDone, Listener
from migrate.formats.reader import Reader
from migrate.planning.model import Plan
from migrate.tree import KeyPath


def stage_one(
    plan: Plan,
    reader: Reader,
    destination: Path,
    options: ApplyOptions,
    number: int,
    count: int,
    *,
    listener: Listener,
    stopped: Callable[[], bool],
) -> StagedShare | None:
    """Stages a share into the working directory beside DST; the processes of the other shares may run elsewhere.

    Args:
      plan: an applicable plan for this reader's checkpoint.
      reader: the source.
      destination: DST.
      options: see `ApplyOptions`.
      number: the number of the share, from 0.
      count: the number of shares into which the plan is divided.
      listener: receives every event.
      stopped: asked between arrays; once it returns true, the arrays in work are finished.

    Returns:
      The arrays of the share; None where DST is the finished result of the plan already.

    Raises:
      UsageError: the plan cannot be shared (`UnsharedPlan`).
      RefusedError: a run or a commit of this plan is writing DST (`DestinationLocked`). Otherwise as
        `migrate.engine.run.apply`.
      VerifyError: a leaf differs from the digest that the source records (`ChangedValues`).
      StoppedError: the share was stopped; the same call resumes it (`RunStopped`).
    """
    job = preflight.check(plan, reader, destination, options, output_of(destination, plan))
    if job.done is not None:
        return None
    refuse_unshared(job, reader, 1, together=False)
    source = SourceState.now(reader)
    if problems := reader.problems():
        raise CheckpointError(*problems)
    work = join_workspace(job.place, job.plan.digest, source.digest, job.beside, overwrite=options.overwrite)
    now = origin(job.plan, source, options)
    digests = recorded_digests(job.plan, reader)
    share = deal(job.plan, job.output.shared_items(job.plan), count)[number]
    leaves = job.plan.target.leaves
    earlier = shared_arrays(job.plan, work, now, job.output, share=number)

    def done(path: KeyPath) -> None:
        listener(LeafDone("stage", path, leaves[path].nbytes))

    started = phase("stage", (leaves[path] for path in share.targets(job.plan)))
    started = replace(started, done_leaves=len(earlier), done_nbytes=sum(leaves[path].nbytes for path in earlier))
    how: dict[str, Any] = {"digests": digests, "stopped": stopped, "done": done}
    with source.explaining():
        staged = Clock(listener)(
            started,
            lambda: stage_share(Dealt(job.plan), share, count, reader, job.output, work, now, options, **how),
        )
        source.refuse_changes()
    if staged.stopped:
        raise _stopped(staged, started.leaves)
    return staged


def _stopped(staged: StagedShare, arrays: int) -> StoppedError:
    message = f"Stopped at {len(staged.arrays):,}/{arrays:,} arrays of the share. Run the same command to resume."
    return StoppedError(RunStopped.at(message))
