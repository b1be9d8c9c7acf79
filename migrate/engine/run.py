"""Applies a plan: stage → commit → verify → publish.

Everything happens in a working directory beside DST; DST appears by one rename at the very end, after the
verification, or not at all. The source is only read. A run that was killed or stopped is gone on with by the same call.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from migrate.codes import CodeNotAllowed, DestinationExists, InvalidUsage, OverlappingPaths, StoppedPartway, WriteFailed
from migrate.engine.items import ItemPlan, item_of, item_plans
from migrate.engine.linking.relink import LINKED, Link, Locating, find_links
from migrate.engine.outputs.base import Effort, Output, Staged
from migrate.engine.outputs.registry import output_of
from migrate.engine.probing.probe import TOLERANCE, chosen_probe, prove
from migrate.engine.receipt import Receipt, VerifyMode
from migrate.engine.staged_array import StagedArray
from migrate.engine.stopping import never
from migrate.engine.streaming.budget import DEFAULT_BYTES, MINIMUM_BYTES
from migrate.engine.streaming.pieces import check_assertions
from migrate.engine.streaming.pipeline import Stopped, stage
from migrate.engine.streaming.store import Store
from migrate.engine.workspace.directory import Workspace, is_unfinished, open_workspace
from migrate.engine.workspace.journal import Journal
from migrate.engine.workspace.publish import publish
from migrate.engine.workspace.resume import finished, origin
from migrate.errors import (
    CheckpointError,
    Diagnostic,
    MigrateError,
    PlanError,
    RefusedError,
    StoppedError,
    UsageError,
    VerifyError,
)
from migrate.events import Event, LeafDone, Listener, PhaseDone, PhaseStarted, ignore
from migrate.formats.reader import Reader
from migrate.metadata import installed_versions
from migrate.planning.model import Plan
from migrate.planning.proof import count_proofs, refuse_unproved
from migrate.rules.model import RuleSet
from migrate.tree import AbstractLeaf, KeyPath

T = TypeVar("T")


@dataclass(frozen=True)
class _Job:
    """One call of `apply`: what is done, to what, and how the caller wants it done."""

    plan: Plan
    reader: Reader
    destination: Path
    output: Output
    verify: VerifyMode
    effort: Effort
    listener: Listener
    stopped: Callable[[], bool]


def apply(
    plan: Plan,
    reader: Reader,
    destination: Path,
    *,
    overwrite: bool = False,
    verify: VerifyMode = "digest",
    allow_code: bool = False,
    max_ram: int = DEFAULT_BYTES,
    jobs: int | None = None,
    compression: str | None = None,
    probe: str | None = None,
    tolerance: float = TOLERANCE,
    require_proof: bool = False,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
) -> Receipt:
    """Writes the checkpoint that a plan describes, or goes on with a run of this plan that did not end.

    Args:
      plan: an applicable plan for this reader's checkpoint.
      reader: the source.
      destination: its suffix says what it becomes (see `migrate.engine.outputs.registry`). Must not exist, unless
        `overwrite`; then it is replaced once the new one is complete and verified.
      overwrite: whether an existing destination may be replaced.
      verify: `digest` compares what is read back with the digests of what was written, `full` restores every leaf
        through plain Orbax (a single file: through its reader) and compares it with the rules applied to the source
        again, `none` compares nothing.
      allow_code: whether `call` ops and the rule file's probe may run.
      max_ram: bytes that array data may take in memory at once; at least 64 MiB.
      jobs: how many leaves are worked on at once; the number of CPUs by default.
      compression: `zstd:N` or `none` for what is written; by default each array keeps its source's.
      probe: `module:function` that compares outputs of the old model and the new before anything is published; the
        rule file's by default.
      tolerance: how far those outputs may be apart.
      require_proof: whether leaves that stay unproved are an error.
      listener: told what happens, by any thread, but by one at a time.
      stopped: asked between leaves; once it says yes, the leaves in flight are finished and the run stops.

    Raises:
      UsageError: an option makes no sense (M412), or a probe has no model (M514).
      PlanError: the plan is not applicable, or leaves are unproved that have to be proved (M309).
      CheckpointError: the probe cannot be run, or proves nothing (M514); the same call goes on.
      RefusedError: the destination exists (M501), another run is writing it (M509), code is not allowed (M506), an
        assertion or a cast fails (M503, M504).
      VerifyError: what was written is not what was meant, or does not compute what the old model did (M513); nothing
        was published.
      StoppedError: it was stopped; nothing was published, and the same call goes on (M508).
      MigrateError: writing failed (M507); the same call goes on once the cause is gone.
    """
    place = Path(os.path.abspath(destination))  # TensorStore refuses `..`
    output = output_of(destination)
    plan = output.fit(plan)
    _refuse_options(max_ram, jobs, compression, output)
    code = "" if allow_code else _code_of(plan.rules, probe)
    _refuse_beforehand(plan, destination, overwrite=overwrite, forbidden=code)
    chosen = chosen_probe(plan, probe, tolerance, destination)
    if require_proof and chosen is None:
        _refuse(PlanError, refuse_unproved(plan.tasks))
    effort = Effort(max_ram, jobs or os.cpu_count() or 1, compression)
    job = _Job(plan, reader, destination, output, verify, effort, listener, stopped)
    clock = _Clock(listener)
    with _writing(destination), open_workspace(place, plan.digest) as work:
        check_assertions(plan, reader, limit=max_ram // 4)
        now = origin(plan, compression)
        earlier = finished(plan, work, now, output.stored_arrays)
        with Journal(work.journal, now) as journal:
            staged = clock(_stage_phase(plan, earlier), lambda: _stage(job, work, earlier, journal))
        _stop_if_asked(job)
        links = find_links(plan, cast(Locating, reader), item_of(item_plans(plan)))
        staged = clock(_phase("commit", ()), lambda: output.commit(plan, staged, links, work, resumed=bool(earlier)))
        compared = _verify(job, staged, links, work, clock) if verify != "none" else 0
        _stop_if_asked(job)
        proving = partial(prove, plan, chosen, reader, work.result, all_of_it=require_proof)
        proved, probed = clock(_phase("probe", ()), proving) if chosen else proving()
        _stop_if_asked(job)
        publish(work, place, overwrite=overwrite)
    return Receipt(
        destination=destination,
        plan_digest=plan.digest,
        structure_hash=plan.target.structure_hash,
        leaf_digests=staged.digests,
        bytes_read=plan.bytes_read,
        bytes_written=plan.bytes_written,
        seconds=clock.seconds,
        verified=verify,
        verified_leaves=compared,
        leaves=len(plan.target.leaves),
        linked=len(links),
        dead_bytes=staged.dead_bytes,
        resumed=len(earlier),
        versions=installed_versions(),
        notes=tuple(work.notes),
        proofs=count_proofs(proved.tasks),
        probe=probed,
    )


def resume(plan: Plan, reader: Reader, destination: Path, **options: Any) -> Receipt:
    """The same as `apply`, for those who expect that there is something to go on with.

    Raises:
      UsageError: no run of this plan was killed or stopped there (M412). Otherwise see `apply`.
    """
    digest = output_of(destination).fit(plan).digest
    if not is_unfinished(Path(os.path.abspath(destination)), digest):
        raise UsageError(
            InvalidUsage.at(f"no unfinished run of this plan is beside {destination}", help="`apply` starts a new one")
        )
    return apply(plan, reader, destination, **options)


class _Clock:
    """Runs a phase and notes how long it took."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.seconds: dict[str, float] = {}

    def __call__(self, phase: PhaseStarted, work: Callable[[], T]) -> T:
        self._listener(phase)
        start = time.monotonic()
        result = work()
        self.seconds[phase.phase] = time.monotonic() - start
        self._listener(PhaseDone(phase.phase, self.seconds[phase.phase]))
        return result


def _phase(name: str, leaves: Iterable[AbstractLeaf]) -> PhaseStarted:
    sizes = [leaf.nbytes for leaf in leaves]
    return PhaseStarted(name, len(sizes), sum(sizes))


def _stage_phase(plan: Plan, earlier: Mapping[KeyPath, StagedArray]) -> PhaseStarted:
    streamed = [path for task in plan.tasks if task.mode == "stream" for path in task.targets]
    leaves = plan.target.leaves
    phase = _phase("stage", (leaves[path] for path in (*streamed, *(c.target for c in plan.created))))
    return replace(phase, done_leaves=len(earlier), done_nbytes=sum(leaves[path].nbytes for path in earlier))


def _refuse_options(max_ram: int, jobs: int | None, compression: str | None, output: Output) -> None:
    problems = [*output.objections(compression)]
    if max_ram < MINIMUM_BYTES:
        problems.append(
            InvalidUsage.at(f"{max_ram:,} bytes of memory are too few", help="give `--max-ram` at least 64MiB")
        )
    if jobs is not None and jobs < 1:
        problems.append(InvalidUsage.at(f"{jobs} jobs do nothing", help="give `--jobs` at least 1"))
    if compression is not None and not _is_compression(compression):
        problems.append(
            InvalidUsage.at(f"`{compression}` is not a compression", help="say `zstd:N` with N from 1 to 22, or `none`")
        )
    _refuse(UsageError, problems)


def _is_compression(text: str) -> bool:
    codec, _, level = text.partition(":")
    return text == "none" or (codec == "zstd" and level.isascii() and level.isdigit() and 1 <= int(level) <= 22)


def _refuse_beforehand(plan: Plan, destination: Path, *, overwrite: bool, forbidden: str) -> None:
    _refuse(PlanError, (d for d in plan.diagnostics if d.is_error))
    refused: list[Diagnostic] = []
    if _overlap(plan.source.path, destination):
        advice = "choose a DST elsewhere; the source is never written to"
        refused.append(OverlappingPaths.at(f"{destination} and the source {plan.source.path} overlap", help=advice))
    elif os.path.lexists(destination) and not overwrite:
        refused.append(DestinationExists.at(f"{destination} exists", help="choose another DST, or say `--overwrite`"))
    if forbidden:
        refused.append(CodeNotAllowed.at(f"{plan.rules.path} {forbidden}", help="read it, then say `--allow-code`"))
    _refuse(RefusedError, refused)


def _code_of(rules: RuleSet, probe: str | None) -> str:
    """The code that a rule file wants to run, as the end of a sentence; a probe that the caller names is not its."""
    if rules.runs_code:
        return "calls Python functions"
    return f"names a probe, `{rules.probe}`" if rules.probe and not probe else ""


def _refuse(kind: type[MigrateError], problems: Iterable[Diagnostic]) -> None:
    found = list(problems)
    if found:
        raise kind(*found)


def _overlap(source: Path, destination: Path) -> bool:
    """Whether one is the other or lies inside it, links followed."""
    one, other = source.resolve(), destination.resolve()
    return one == other or one in other.parents or other in one.parents


@contextmanager
def _writing(destination: Path) -> Iterator[None]:
    """Whatever the file system refuses is one sentence, also where TensorStore says it in a longer one."""
    try:
        yield
    except OSError as error:
        raise _unwritable(destination, error.strerror or str(error)) from error
    except ValueError as error:
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number is None:
            raise
        raise _unwritable(destination, os.strerror(int(number[1]))) from error


def _unwritable(destination: Path, reason: str) -> MigrateError:
    advice = "free some space, or choose a directory that you may write to, and run the same command again"
    return MigrateError(WriteFailed.at(f"cannot write {destination}: {reason}", help=advice))


def _stop_if_asked(job: _Job) -> None:
    if job.stopped():
        leaves = len(job.plan.target.leaves)
        raise _stop(job, leaves, leaves)


def _stop(job: _Job, done: int, leaves: int) -> StoppedError:
    fate = "was not changed" if os.path.lexists(job.destination) else "was not created"
    sentence = f"Stopped at {done:,}/{leaves:,} leaves. {job.destination} {fate}. Run the same command to go on."
    return StoppedError(StoppedPartway.at(sentence))


def _stage(job: _Job, work: Workspace, earlier: Mapping[KeyPath, StagedArray], journal: Journal) -> Staged:
    """Writes every array that is not there yet to its item's staging store; keeps all other values."""
    plan, arrays = job.plan, dict(earlier)

    def sink(path: KeyPath, array: StagedArray) -> None:
        journal.record(path, array)
        arrays[path] = array
        job.listener(LeafDone("stage", path, plan.target.leaves[path].nbytes))

    def store(item: ItemPlan) -> AbstractContextManager[Store]:
        return job.output.open_store(plan, job.reader, item, work.store(item.name), job.effort)

    with ExitStack() as stack:
        stores = {item.name: stack.enter_context(store(item)) for item in item_plans(plan)}
        try:
            values = stage(
                plan,
                job.reader,
                stores,
                max_ram=job.effort.max_ram,
                jobs=job.effort.jobs,
                finished=earlier,
                sink=sink,
                stopped=job.stopped,
            )
        except Stopped as stop:
            raise _stop(job, stop.staged, stop.staged + stop.remaining) from None
    for path in values:
        job.listener(LeafDone("stage", path, plan.target.leaves[path].nbytes))
    return Staged(arrays, values)


def _verify(job: _Job, staged: Staged, links: Sequence[Link], work: Workspace, clock: _Clock) -> int:
    """How many leaves were compared, as the caller wants it.

    Raises:
      VerifyError: also where the result cannot even be read; what was staged is then not to be trusted.
    """
    leaves = job.plan.target.leaves
    digests = {path: digest for path, digest in staged.digests.items() if digest != LINKED}

    def listen(event: Event) -> None:
        job.listener(event)
        _stop_if_asked(job)

    def full() -> int:
        return job.output.check_values(job.plan, job.reader, work.result, listen)

    def cheap() -> int:
        return job.output.check_digests(job.plan, work.result, digests, links, job.effort, listen)

    try:
        if job.verify == "full":
            return clock(_phase("verify", leaves.values()), full)
        return clock(_phase("verify", (leaves[path] for path in digests)), cheap)
    except CheckpointError as error:
        raise VerifyError(*error.diagnostics) from error
