"""Applies a plan: preflight → workspace → stage → commit → verify → probe → publish → receipt.

Everything is written to a working directory beside DST. DST appears by one rename at the end, after the verification,
or not at all; the source is only read. The same call resumes a run that was killed or stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from migrate.codes import InvalidUsage, RunStopped
from migrate.engine import preflight
from migrate.engine.items import ItemPlan, item_of, item_plans
from migrate.engine.linking.link import LINKED, Link, find_links
from migrate.engine.options import DEFAULTS, ApplyOptions
from migrate.engine.outputs.base import Output, Staged
from migrate.engine.outputs.registry import is_single_file, output_of
from migrate.engine.probing.probe import Probed, prove
from migrate.engine.receipt import Checked, Clock, Receipt, earlier_receipt, phase, sources_used, stage_phase
from migrate.engine.sharing.merging import merge_shares
from migrate.engine.sharing.workers import Errand, OthersArrays, Workers
from migrate.engine.staged_array import StagedArray
from migrate.engine.streaming.assertions import check_assertions
from migrate.engine.streaming.inputs import Inputs
from migrate.engine.streaming.memory import explained_memory_failures
from migrate.engine.streaming.pipeline import Sink, Stopped, stage
from migrate.engine.streaming.stopping import never
from migrate.engine.streaming.store import Store
from migrate.engine.verification.source_digests import (
    carried_digests,
    inputs_of,
    recorded_digests,
    refuse_changed,
    uncompared,
)
from migrate.engine.workspace.any_place import (
    clear_finished,
    clear_needless,
    is_there,
    is_unfinished,
    open_workspace,
    publish,
)
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.journal import BucketJournal, Journal, open_journal
from migrate.engine.workspace.resume import Finished, Shared, finished, origin
from migrate.engine.workspace.source_state import SourceState
from migrate.engine.workspace.write_failures import explained_failures
from migrate.errors import CheckpointError, Diagnostic, StoppedError, UsageError, VerifyError
from migrate.events import Event, LeafDone, Listener, ignore
from migrate.formats.base import Value
from migrate.formats.digest_record import Blocks
from migrate.formats.reader import Reader
from migrate.metadata import installed_versions
from migrate.planning.model import Plan
from migrate.planning.proof import count_proofs
from migrate.tree import KeyPath

Arrays = Mapping[KeyPath, StagedArray]


def apply(
    plan: Plan,
    reader: Reader,
    destination: Path,
    options: ApplyOptions = DEFAULTS,
    *,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
    output: Output | None = None,
    workers: Workers | None = None,
) -> Receipt:
    """Writes the checkpoint that a plan describes, or resumes an unfinished run of this plan.

    Where DST is the finished result of this plan on this source already, nothing is written, and the receipt states it
    (`Receipt.published`), unless `options.overwrite`.

    Args:
      plan: an applicable plan for this reader's checkpoint.
      reader: the source.
      destination: DST; its suffix selects the output (see `migrate.engine.outputs.registry`). It must not exist, unless
        `options.overwrite`; then it is replaced once the new checkpoint is complete and verified.
      options: see `ApplyOptions`.
      listener: receives every event, from several threads, one event at a time.
      stopped: asked between leaves; once it returns true, the leaves in flight are finished and the run stops.
      output: the kind of DST (default: the one that its suffix selects).
      workers: stage arrays and read them back (default: this process does).

    Raises:
      UsageError: an option is invalid (`InvalidUsage`), or a probe has no model (`InconclusiveProbe`).
      PlanError: the plan is not applicable, or unproved leaves have to be proved (`UnprovedLeaves`).
      CheckpointError: the source lacks bytes or cannot be read, or the probe cannot be run or proves nothing
        (`InconclusiveProbe`); the same call resumes.
      RefusedError: DST exists (`DestinationExists`) or cannot be created (`UnwritableDestination`, `NoRoom`), another
        run is writing it (`DestinationLocked`), code is not allowed (`CodeNotAllowed`), an assertion or a cast fails
        (`FailedAssertion`, `LossyCast`), or the source changed during the run (`SourceChanged`).
      VerifyError: DST differs from the plan (`VerificationFailed`), or computes something else than the old model
        (`OutputMismatch`); nothing was published.
      StoppedError: the run was stopped; nothing was published, and the same call resumes it (`RunStopped`).
      MigrateError: writing failed (`WriteFailed`) or memory is exhausted (`OutOfMemory`); the same call resumes once
        the cause is gone.
    """
    output = output or output_of(destination, plan)
    clear_needless(destination, output.beside(preflight.absolute(destination)))
    job = preflight.check(plan, reader, destination, options, output)
    if job.done is not None:
        clear_finished(job.place, job.plan.digest)
        return earlier_receipt(job.plan, job.destination, job.done)
    workers = workers or Workers()
    workers.check(job, reader)
    source = SourceState.now(reader)
    _refuse(reader.problems())
    recorded = recorded_digests(job.plan, reader)
    carried = carried_digests(job.plan, recorded)
    inputs = inputs_of(job.plan, recorded, reader, verify=options.verify, jobs=options.workers)
    run = _Run(job, reader, source, Clock(listener), listener, stopped, carried, inputs, workers)
    kind = {"overwrite": options.overwrite, "single_file": is_single_file(destination)}
    with (
        explained_failures(destination, job.plan.source.path),
        explained_memory_failures(f"a leaf of {destination}", options.max_ram),
        open_workspace(job.place, job.plan.digest, source.digest, job.beside, **kind) as work,
        source.explaining(),
    ):
        if (done := preflight.published_meanwhile(job, reader)) is not None:
            return earlier_receipt(job.plan, job.destination, done)
        work.notes.extend(job.output.remarks(job.plan, job.place, job.options))
        check_assertions(job.plan, reader, limit=options.max_ram // 4)
        earlier, streamed, shared = run.stage(work)
        run.compare_rest(streamed.arrays)
        links = run.find_links()
        staged = run.commit(work, streamed, shared, links, resumed=bool(earlier))
        checked = run.verify(work, staged, links)
        job.output.record_digests(job.plan, work.result, checked.blocks, staged)
        proved, probed = run.probe(work)
        preflight.refuse_replacing(job)
        source.refuse_changes()
        job.output.announce(work.result, job.place)
        publish(work, job.place, overwrite=options.overwrite)
    return run.receipt(work, earlier, staged, links, checked, proved, probed)


def resume(
    plan: Plan,
    reader: Reader,
    destination: Path,
    options: ApplyOptions = DEFAULTS,
    *,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
    workers: Workers | None = None,
) -> Receipt:
    """Resumes an unfinished run of this plan; arguments as in `apply`.

    Raises:
      UsageError: no run of this plan was killed or stopped beside DST (`InvalidUsage`). Otherwise see `apply`.
    """
    digest = preflight.carried_out(plan, reader, output_of(destination, plan), options).digest
    if not is_unfinished(preflight.absolute(destination), digest):
        message = f"no unfinished run of this plan is beside `{destination}`"
        raise UsageError(InvalidUsage.at(message, help="call `apply`, which starts a new run"))
    return apply(plan, reader, destination, options, listener=listener, stopped=stopped, workers=workers)


def _refuse(problems: Sequence[Diagnostic]) -> None:
    if problems:
        raise CheckpointError(*problems)


@dataclass(frozen=True)
class _Run:
    """The steps of one run, in the order of `apply`."""

    job: preflight.Job
    reader: Reader
    source: SourceState
    clock: Clock
    listener: Listener
    stopped: Callable[[], bool]
    carried: Mapping[KeyPath, Blocks]
    inputs: Inputs
    workers: Workers

    def stage(self, work: Workspace) -> tuple[Arrays, Staged, Shared]:
        """Streams what no earlier run made durable.

        Returns:
          The earlier run's arrays, all arrays and values, and those arrays that attempts at shares staged.
        """
        plan, errand = self.job.plan, self._errand(work)
        earlier = finished(plan, work, errand.origin, self.job.output, code=self.workers.one_run)
        with open_journal(work.journal, errand.origin) as journal, self.workers.staging(errand, earlier) as others:
            phase_of_all = stage_phase(plan, earlier.arrays)
            staged, shared = self.clock(phase_of_all, lambda: self._stream(work, earlier, others, journal))
        self._stop_if_asked()
        return earlier.arrays, staged, shared

    def _errand(self, work: Workspace) -> Errand:
        now = origin(self.job.plan, self.source, self.job.options)
        return Errand(self.job, self.reader, work, now, self.stopped)

    def _stream(
        self, work: Workspace, earlier: Finished, others: OthersArrays, journal: Journal | BucketJournal
    ) -> tuple[Staged, Shared]:
        arrays = dict(earlier.arrays)

        def durable(path: KeyPath, array: StagedArray) -> None:
            journal.record(path, array)
            arrays[path] = array
            self._tell_staged(path)

        with ExitStack() as stack:
            stores = {item.name: stack.enter_context(self._store(work, item)) for item in item_plans(self.job.plan)}
            values = self._fill(others.rest, stores, earlier.arrays, durable)
        for path in values:
            self._tell_staged(path)
        shared = {**earlier.shared, **others.collect(self._tell_staged)}
        arrays.update((path, found.array) for path, found in shared.items())
        return Staged(arrays, values), shared

    def _store(self, work: Workspace, item: ItemPlan) -> AbstractContextManager[Store]:
        job = self.job
        return job.output.open_store(job.plan, self.reader, item, work.store(item.place), self._own_options)

    @property
    def _own_options(self) -> ApplyOptions:
        return self.workers.own_options(self.job.options)

    def _fill(self, plan: Plan, stores: Mapping[str, Store], earlier: Arrays, durable: Sink) -> Mapping[KeyPath, Value]:
        options = self._own_options
        limit = options.max_ram - self.job.output.reserved_bytes(self.job.place, options.max_ram)
        how: dict[str, Any] = {"max_ram": limit, "jobs": options.workers}
        try:
            how |= {"finished": earlier, "sink": durable, "stopped": self.stopped, "inputs": self.inputs}
            return stage(plan, self.reader, stores, **how)
        except Stopped as stop:
            raise self._stopped_at(stop.staged, stop.staged + stop.remaining) from None

    def _tell_staged(self, path: KeyPath) -> None:
        self.listener(LeafDone("stage", path, self.job.plan.target.leaves[path].nbytes))

    def compare_rest(self, arrays: Arrays) -> None:
        """Compares the inputs that staging did not compare with the digests that the source records (`uncompared`).

        Raises:
          VerifyError: a leaf differs (`ChangedValues`).
          CheckpointError: a leaf cannot be decoded.
        """
        plan, max_ram = self.job.plan, self.job.options.max_ram
        if rest := uncompared(self.inputs, plan, arrays):
            compare = partial(self.inputs.compare, rest, max_ram, self._listen_or_stop)
            self.clock(phase("source", (plan.source.tree.leaves[path] for path in rest)), compare)

    def find_links(self) -> tuple[Link, ...]:
        """Returns the arrays that are linked instead of streamed."""
        plan = self.job.plan
        return find_links(plan, self.reader, item_of(item_plans(plan)))

    def commit(
        self, work: Workspace, streamed: Staged, shared: Shared, links: Sequence[Link], *, resumed: bool
    ) -> Staged:
        """Assembles the result from the staging stores and the links; returns all arrays and values."""

        def commit() -> Staged:
            merge_shares(self._errand(work), shared)
            return self.job.output.commit(self.job.plan, streamed, links, work, resumed=resumed)

        return self.clock(phase("commit", ()), commit)

    def verify(self, work: Workspace, staged: Staged, links: Sequence[Link]) -> Checked:
        """Compares the result as the options ask.

        Raises:
          VerifyError: leaves differ, or the result cannot be read, so that the staged arrays are not to be trusted.
        """
        leaves, mode = self.job.plan.target.leaves, self.job.options.verify
        digests = {path: digest for path, digest in staged.digests.items() if digest != LINKED}
        done = Checked(inputs=len(self.inputs.recorded), blocks={**self.carried, **staged.blocks})
        decoded = {link.path for link in links} if mode == "decode" else ()
        try:
            if mode == "full":
                self.clock(phase("verify", leaves.values()), partial(self._check_values, work, done))
            elif mode != "none":
                check = partial(self._check_digests, work, digests, links, done)
                self.clock(phase("verify", (leaves[path] for path in (*digests, *decoded))), check)
        except CheckpointError as error:
            raise VerifyError(*error.diagnostics) from error
        refuse_changed(self.carried, done.blocks, self.reader)
        self._stop_if_asked()
        return done

    def _check_values(self, work: Workspace, done: Checked) -> None:
        job, heard = self.job, self._listen_or_stop
        done.compared = job.output.check_values(job.plan, self.reader, work.result, heard, done.blocks)

    def _check_digests(
        self,
        work: Workspace,
        digests: Mapping[KeyPath, str],
        links: Sequence[Link],
        done: Checked,
    ) -> None:
        job, heard = self.job, self._listen_or_stop
        done.compared = self.workers.check_digests(self._errand(work), digests, links, heard)
        if job.options.verify == "decode":
            decoded = job.output.decode_links(job.plan, work.result, links, job.options, heard)
            done.decoded = len(decoded)
            done.blocks.update(decoded)

    def _listen_or_stop(self, event: Event) -> None:
        self.listener(event)
        self._stop_if_asked()

    def probe(self, work: Workspace) -> tuple[Plan, Probed | None]:
        """Runs the probe, if there is one; returns the plan with its proofs, and the probe's findings."""
        job = self.job
        run = partial(prove, job.plan, job.probe, self.reader, work.result, all_of_it=job.options.require_proof)
        proved = self.clock(phase("probe", ()), run) if job.probe else run()
        self._stop_if_asked()
        return proved

    def receipt(
        self,
        work: Workspace,
        earlier: Arrays,
        staged: Staged,
        links: Sequence[Link],
        checked: Checked,
        proved: Plan,
        probed: Probed | None,
    ) -> Receipt:
        """Returns the receipt of the published checkpoint."""
        plan = self.job.plan
        copied = sum(link.copied_bytes for link in links)
        return Receipt(
            destination=self.job.destination,
            plan_digest=plan.digest,
            structure_hash=plan.target.structure_hash,
            leaf_digests=staged.digests,
            bytes_read=plan.bytes_read + copied,
            bytes_written=plan.bytes_written + copied,
            seconds=self.clock.seconds,
            verified=self.job.options.verify,
            verified_leaves=checked.compared,
            decoded=checked.decoded,
            inputs=checked.inputs,
            digested=len(checked.blocks),
            leaves=len(plan.target.leaves),
            linked=len(links),
            copied=sum(link.copied or bool(link.digests) for link in links),
            dead_bytes=staged.dead_bytes,
            resumed=len(earlier),
            versions=installed_versions(),
            notes=tuple(work.notes),
            proofs=count_proofs(proved.tasks),
            probe=probed,
            config=len(plan.config.changes),
            sources=sources_used(plan, self.source),
        )

    def _stop_if_asked(self) -> None:
        if self.stopped():
            leaves = len(self.job.plan.target.leaves)
            raise self._stopped_at(leaves, leaves)

    def _stopped_at(self, done: int, leaves: int) -> StoppedError:
        destination, job_place = self.job.destination, self.job.place
        fate = "was not changed" if is_there(job_place) else "was not created"
        message = f"Stopped at {done:,}/{leaves:,} leaves. {destination} {fate}. Run the same command to resume."
        return StoppedError(RunStopped.at(message))
