"""Loads a checkpoint through a plan: plan → checks → reads → one update of the model. No file is written.

Nothing of the caller's model changes before every leaf was read and compared with the model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrate.codes import AbstractInitialValue, InvalidUsage
from migrate.engine.items import item_of, item_plans
from migrate.engine.linking.link import find_links, stream_unlocated
from migrate.engine.loading.agreement import agree
from migrate.engine.loading.chunk_reads import ChunkReads
from migrate.engine.loading.decoded_links import DecodedLink, converted_links
from migrate.engine.loading.jobs import LoadJob, LoadJobs
from migrate.engine.loading.loaded_leaves import LoadedLeaves, narrowed
from migrate.engine.loading.recipient import INTO, Recipient
from migrate.engine.loading.run_jobs import run_jobs
from migrate.engine.loading.shardings import MeshLike, Placement
from migrate.engine.loading.virtual_arrays import VirtualArrays, loading_context
from migrate.engine.options import DEFAULT_RAM, MINIMUM_RAM
from migrate.engine.streaming.assertions import check_assertions
from migrate.engine.streaming.memory import explained_memory_failures
from migrate.engine.streaming.pieces import Piece, pieces
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import CheckpointError, Diagnostic, PlanError, UsageError
from migrate.formats.files import unreadable
from migrate.formats.reader import Reader
from migrate.garbage import without_collection
from migrate.places.names import path_of
from migrate.planning.model import Created, Plan
from migrate.rules.permission import require_permission
from migrate.tree import KeyPath, format_path

READ_AHEAD_BYTES = 512 << 20
"""The most host bytes of jobs that run at once: with more, encoded chunks wait for decoding and only take memory."""


def load(
    plan: Plan,
    reader: Reader,
    recipient: Recipient,
    *,
    mesh: MeshLike | None = None,
    max_ram: int = DEFAULT_RAM,
    allow_code: bool = False,
) -> Any:
    """Returns the recipient's model with the values that a plan computes from a checkpoint.

    In a job of several processes, all of them call it, and none returns before all have succeeded.

    Args:
      plan: a plan for this reader's checkpoint and the recipient's template.
      reader: the source.
      recipient: the model.
      mesh: the mesh of arrays that have no sharding of their own (default: that of the context).
      max_ram: bytes of array data on the host at once, beside what is on the devices.
      allow_code: whether `call` ops may run if the rule file or the module is not below the current directory.

    Raises:
      UsageError: `max_ram` is too small (`InvalidUsage`), or a sharding does not fit (`InvalidSharding`).
      PlanError: the plan is not applicable, a leaf would be narrowed (`NarrowedLeaf`), or an initial value is missing
        (`AbstractInitialValue`).
      CheckpointError: the source lacks bytes or cannot be read.
      RefusedError: code is not allowed (`CodeNotAllowed`), an assertion or a cast fails (`FailedAssertion`,
        `LossyCast`), or the source changed meanwhile (`SourceChanged`).
      MigrateError: memory is exhausted (`OutOfMemory`), or another process failed (`FailedProcess`).
    """
    values = agree(
        lambda: _values(plan, reader, recipient, mesh=mesh, max_ram=max_ram, allow_code=allow_code), lambda _: "loaded"
    )
    return recipient.filled(values)


def _values(
    plan: Plan, reader: Reader, recipient: Recipient, *, mesh: MeshLike | None, max_ram: int, allow_code: bool
) -> Mapping[KeyPath, Any]:
    """Returns the value of every leaf of the model; arguments and errors as in `load`."""
    if max_ram < MINIMUM_RAM:
        message = f"{max_ram:,} bytes of memory are too few"
        raise UsageError(InvalidUsage.at(message, help=f"let `max_ram` be at least {MINIMUM_RAM:,}"))
    plan = stream_unlocated(plan, reader)
    refuse(plan, recipient, allow_code=allow_code)
    shardings = Placement.of(mesh).shardings(recipient)
    source = SourceState.now(reader)
    problems = reader.problems()
    if problems:
        raise CheckpointError(*problems)
    leaves = LoadedLeaves(recipient.leaves, shardings)
    with _explained_failures(plan.source.path), source.explaining():
        check_assertions(plan, reader, limit=max_ram // 4)
        _Load(plan, reader, recipient, leaves, max_ram).run()
        source.refuse_changes()
    leaves.require_complete()
    return leaves.values


def refuse(plan: Plan, recipient: Recipient, *, allow_code: bool) -> None:
    """Refuses a load before any array is read; arguments and errors as in `load`."""
    problems = [problem for problem in plan.diagnostics if problem.is_error]
    problems += [*narrowed(recipient.leaves, recipient.template.tree), *_without_value(plan, recipient)]
    if problems:
        raise PlanError(*problems)
    template = plan.rules.template_code if plan.rules.planned is not None and plan.calls_model else ()
    require_permission((*template, *plan.rules.call_code), allow_code=allow_code)


def _without_value(plan: Plan, recipient: Recipient) -> Iterator[Diagnostic]:
    """Finds leaves that keep the value of the caller's model, which has none."""
    if recipient.template.spec != INTO:
        return
    for creation in plan.created:
        if keeps_value(creation) and not _has_value(recipient.leaves.get(creation.target)):
            name = format_path(creation.target)
            message = f"`{name}` keeps the value that the model has, and `into` is abstract"
            advice = "pass a real model as `into`, or also the callable that makes it, as `template`"
            yield AbstractInitialValue.at(message, span=creation.rule, paths=[name], help=advice)


def keeps_value(creation: Created) -> bool:
    """Whether a leaf without a source has the initial value of the model."""
    return creation.init is not None and creation.init.kind == "template"


def _has_value(leaf: Any) -> bool:
    import jax

    return not isinstance(leaf, jax.ShapeDtypeStruct)


@dataclass(frozen=True)
class _Load:
    """The reads of one load."""

    plan: Plan
    reader: Reader
    recipient: Recipient
    leaves: LoadedLeaves
    max_ram: int

    def run(self) -> None:
        """Reads the value of every leaf."""
        run_jobs(self._jobs(), min(self.max_ram, READ_AHEAD_BYTES), self.leaves.place)

    def _jobs(self) -> Iterator[LoadJob]:
        plan = self.plan
        windows, context = self.leaves.windows, loading_context()
        with without_collection():
            items = item_of(item_plans(plan))
            links = [link for link in find_links(plan, self.reader, items) if link.path in windows]
            converted = [one for one in converted_links(plan, self.reader, items) if one.link.path in windows]
            chunks = ChunkReads([*map(DecodedLink, links), *converted])
        jobs = LoadJobs(
            reader=self.reader,
            target=plan.target,
            windows=windows,
            chunks=chunks,
            virtual=VirtualArrays([link for link in links if link.path not in chunks.links], context),
            context=context,
            limit=self.max_ram,
        )
        for piece in pieces(plan, self.reader):
            if self._is_kept(piece):
                for path in piece.targets:
                    self.leaves.keep(path)
            elif any(path in self.recipient.leaves for path in piece.targets):
                yield from jobs.of(piece)

    def _is_kept(self, piece: Piece) -> bool:
        """Whether the values of a piece are those that the caller's model has."""
        created = piece.work if isinstance(piece.work, tuple) else ()
        is_kept = self.recipient.live is not None and any(map(keeps_value, created))
        return is_kept and all(_has_value(self.recipient.leaves.get(path)) for path in piece.targets)


@contextmanager
def _explained_failures(source: Path) -> Iterator[None]:
    """Turns failures of the file system and of memory into errors about the source.

    Raises:
      CheckpointError: a file cannot be read.
      MigrateError: memory is exhausted (`OutOfMemory`).
    """
    try:
        with explained_memory_failures(f"a leaf of {source}", advice="load onto more devices, or lower `max_ram`"):
            yield
    except OSError as error:
        raise unreadable(path_of(str(error.filename or source)), error) from error
