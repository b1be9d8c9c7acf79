"""What a worker is told: where everything is, and what it must find there, as plain JSON values.

A worker gets no plan and no code. It reads the plan as the text of a plan file from the working directory, opens the
source itself and compares the digests of both with those of the order.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrate.codes import UnfitWorker
from migrate.engine.options import MINIMUM_RAM, ApplyOptions
from migrate.engine.outputs.registry import output_of
from migrate.engine.verification.source_digests import recorded_digests
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.source_state import SourceState
from migrate.errors import MigrateError
from migrate.formats.base import Opening
from migrate.formats.digest_record import Blocks
from migrate.formats.joined import reopened
from migrate.formats.reader import Reader
from migrate.places.bucket_path import BucketPath
from migrate.places.names import path_of, refresh
from migrate.planning.model import Mode, Plan
from migrate.planning.plan_file.bind import bound
from migrate.planning.plan_file.read import read_plan
from migrate.planning.plan_file.write import plan_text
from migrate.rules.files import RuleFile
from migrate.rules.permission import require_permission
from migrate.tree import KeyPath
from migrate.version import __version__

if TYPE_CHECKING:
    from migrate.engine.preflight import Job

PLAN = "plan.json"
"""The plan file in the working directory."""

_LETTERS: Mapping[Mode, str] = {"stream": "s", "relink": "r", "copy": "c"}
_MODES = {letter: mode for mode, letter in _LETTERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The work of one run, as its workers get it.

    Attributes:
      workspace: the working directory.
      destination: DST, absolute.
      digest: the digest of the plan.
      origin: the origin of staged arrays (`migrate.engine.workspace.resume.origin`).
      opening: how the source is opened.
      modes: the mode of each task as one letter.
      as_step: `Plan.as_step`.
      files: the rule files by name, with the places by which the permission of their code is decided.
      neighbors: the number of workers on one machine, which share its memory and its processors.
      options: the options of the engine that concern staging.
    """

    workspace: str
    destination: str
    digest: str
    origin: Mapping[str, Any]
    opening: Mapping[str, Any]
    modes: str
    as_step: bool
    files: tuple[tuple[str, str], ...]
    neighbors: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Order:
        """Returns the order that `to_json` returned."""
        return cls(**{**fields, "files": tuple((name, place) for name, place in fields["files"])})

    @property
    def apply_options(self) -> ApplyOptions:
        """The options of one worker."""
        return ApplyOptions(**self.options)


def new_order(job: Job, reader: Reader, work: Workspace, origin: Mapping[str, Any], neighbors: int) -> Order:
    """Writes the plan into the working directory and returns the order for it.

    Args:
      job: the run; `refuse_unshared` has passed its plan.
      reader: the source.
      work: the working directory.
      origin: the origin of the arrays of this run.
      neighbors: the number of workers on one machine.

    Raises:
      OSError: the plan cannot be written.
    """
    _write_whole(work.path / PLAN, plan_text(job.plan))
    assert reader.opening is not None
    share = share_of(job.options, neighbors)
    return Order(
        workspace=str(work.path),
        destination=str(job.place),
        digest=job.plan.digest,
        origin=dict(origin),
        opening=asdict(reader.opening),
        modes="".join(_LETTERS[task.mode] for task in job.plan.tasks),
        as_step=job.plan.as_step,
        files=tuple((name, os.path.realpath(place)) for name, place in job.plan.rules.files),
        neighbors=neighbors,
        options={
            "max_ram": share.max_ram,
            "jobs": share.jobs,
            "compression": share.compression,
            "allow_code": share.allow_code,
            "verify": share.verify,
        },
    )


def _write_whole(file: Path, text: str) -> None:
    """Writes a file that workers never see in part; an object of a bucket never is."""
    if isinstance(file, BucketPath):
        file.write_text(text)
        return
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.rename(file)


def share_of(options: ApplyOptions, neighbors: int) -> ApplyOptions:
    """Returns the options of one of several workers on a machine: memory and leaves at a time are divided."""
    jobs = None if options.jobs is None else max(1, options.jobs // neighbors)
    return replace(options, max_ram=max(MINIMUM_RAM, options.max_ram // neighbors), jobs=jobs)


def jobs_of(order: Order) -> int:
    """Returns the number of leaves that a worker has in work at once, on the machine where it runs."""
    return order.apply_options.jobs or max(1, (os.cpu_count() or 1) // order.neighbors)


@dataclass(frozen=True)
class Planned:
    """A plan that a worker made again, and the source that it opened."""

    plan: Plan
    reader: Reader
    source: SourceState

    @cached_property
    def digests(self) -> Mapping[KeyPath, Blocks]:
        """The digests that the source records, read once for all shares of the process."""
        return recorded_digests(self.plan, self.reader)


def plan_again(order: Order) -> Planned:
    """Opens the source and makes the plan of an order again.

    Raises:
      MigrateError: this machine has another version, source or plan, or lacks the working directory (`UnfitWorker`).
      CheckpointError: the source cannot be read here.
      RefusedError: code is not allowed (`CodeNotAllowed`).
    """
    refuse_unfit(order.origin["migrate"] != __version__, f"runs migrate {__version__}, not {order.origin['migrate']}")
    workspace = path_of(order.workspace)
    refresh(workspace)
    refuse_unfit(not workspace.is_dir(), f"does not see the working directory `{workspace}`")
    reader = reopened(_opening(order.opening))
    try:
        source = SourceState.now(reader)
        other = f"sees other files of `{order.opening['path']}`, or other times of them"
        refuse_unfit(source.digest != order.origin["source"], other)
        plan = _bound(order, reader, (workspace / PLAN).read_text(encoding="utf-8"))
        refuse_unfit(plan.digest != order.digest, f"makes the plan {plan.digest}, not {order.digest}")
        require_permission(plan.rules.call_code, allow_code=order.apply_options.allow_code)
    except BaseException:
        reader.close()
        raise
    return Planned(plan, reader, source)


def _opening(fields: Mapping[str, Any]) -> Opening:
    """Returns how the source of an order is opened, with its named sources."""
    return Opening(**{**fields, "sources": {name: _opening(one) for name, one in fields["sources"].items()}})


def _bound(order: Order, reader: Reader, text: str) -> Plan:
    """Returns the plan of a text for the source, with the modes of the order."""
    file = RuleFile(order.files[0][0] if order.files else PLAN, path_of(order.workspace) / PLAN)
    read = bound(read_plan(text, file, str(file.place)), reader.abstract(), link=False)
    plan = output_of(order.destination, read).fit(read)  # a plan file does not record the kind of DST
    refuse_unfit(len(plan.tasks) != len(order.modes), "makes a plan of another number of tasks")
    pairs = zip(plan.tasks, (_MODES[letter] for letter in order.modes), strict=True)
    tasks = tuple(task if task.mode == mode else replace(task, mode=mode) for task, mode in pairs)
    files = tuple((file.name, place) for _, place in order.files)  # the code of any of them needs all to be below here
    return replace(plan, tasks=tasks, as_step=order.as_step, rules=replace(plan.rules, files=files))


def refuse_unfit(unfit: bool, reason: str) -> None:
    """Refuses to work as a worker; `reason` continues a sentence about this process.

    Raises:
      MigrateError: it is unfit (`UnfitWorker`).
    """
    if unfit:
        message = f"the worker process {os.getpid()} on {socket.gethostname()} {reason}"
        advice = "give every worker the same files under the same paths, and the same version of migrate"
        raise MigrateError(UnfitWorker.at(message, help=advice))
