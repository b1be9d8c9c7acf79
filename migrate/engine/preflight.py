"""Checks that come before a run: each refuses it before anything is written and before an array is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from migrate.codes import DestinationExists, InvalidUsage, OverlappingPaths, UnrepresentableLeaf, UnsupportedInBucket
from migrate.engine.linking.link import stream_unlocated
from migrate.engine.options import COMPRESSIONS, MINIMUM_RAM, ApplyOptions, is_compression
from migrate.engine.outputs.base import Output
from migrate.engine.outputs.registry import is_single_file, output_of
from migrate.engine.probing.probe import Probe, chosen_probe
from migrate.engine.workspace.any_place import is_there
from migrate.engine.workspace.earlier_result import earlier_result
from migrate.engine.workspace.free_space import short_of_space, unwritable
from migrate.errors import (
    CheckpointError,
    Diagnostic,
    MigrateError,
    PlanError,
    RefusedError,
    StoppedError,
    UsageError,
    listed,
)
from migrate.formats.boundary import is_utf_8
from migrate.formats.files import MAX_DEPTH
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.formats.steps import is_temporary
from migrate.metadata import Metadata
from migrate.places.bucket_path import BucketPath
from migrate.places.copies import cloud_package
from migrate.planning.model import Plan
from migrate.planning.proof import refuse_unproved
from migrate.planning.relink import streamed_tasks
from migrate.rules.model import CodeReference
from migrate.rules.permission import refusals, require_permission
from migrate.rules.recorded_tree import require_callable
from migrate.tree import AbstractTree, format_path


@dataclass(frozen=True, slots=True)
class Job:
    """A run that passed every check.

    Attributes:
      plan: the plan as the output carries it out.
      output: the kind of DST.
      destination: DST as the caller wrote it.
      place: DST, absolute.
      probe: the probe of this run; None without one.
      options: the caller's options, with the output's defaults.
      done: the record of DST where it is the finished result of this plan, so that there is nothing to run.
    """

    plan: Plan
    output: Output
    destination: Path
    place: Path
    probe: Probe | None
    options: ApplyOptions
    done: Metadata | None = None

    @property
    def beside(self) -> Path:
        """The path beside which the working directory is."""
        return self.output.beside(self.place)


def check(plan: Plan, reader: Reader, destination: Path, options: ApplyOptions, output: Output | None = None) -> Job:
    """Returns the run of a plan, unless a check refuses it; writes nothing, so that a dry run calls it as well.

    Arguments as in `migrate.engine.run.apply`.

    Raises:
      UsageError: an option is invalid (`InvalidUsage`), a probe has no model (`InconclusiveProbe`), or only the tree of
        a model that has to be called is recorded (`ModelNeeded`).
      PlanError: the plan is not applicable, or `require_proof` finds unproved leaves.
      RefusedError: DST exists (`DestinationExists`) or overlaps the source (`OverlappingPaths`), or code is not
        allowed (`CodeNotAllowed`); DST cannot be created (`UnwritableDestination`) or has too little space (`NoRoom`).
      CheckpointError: the probe cannot be imported (`InconclusiveProbe`), or a function of a `call`
        (`InvalidTemplate`).
    """
    output = output or output_of(destination, plan)
    refuse_path(destination, output)
    refuse_in_bucket(destination, options, output)
    plan = carried_out(plan, reader, output, options)
    place = absolute(destination)
    _raise(UsageError, [*output.objections(options), *_invalid(options), *_unfinished(plan, destination, output)])
    _raise(PlanError, [*(problem for problem in plan.diagnostics if problem.is_error), *_too_deep(plan.target)])
    done = None if options.overwrite else earlier_result(plan, reader, place, _as_asked(output, place, options))
    if done is not None:
        return Job(plan, output, destination, place, None, options, done)
    forbidden = refusals(_code(plan, options), allow_code=options.allow_code)
    refused = [*_occupied(plan, destination, options, output), *forbidden]
    if not isinstance(place, BucketPath):
        refused += unwritable(place, output.beside(place))
    encoded = output.is_orbax and options.compression != "none"
    if not isinstance(place, BucketPath):
        refused = refused or [*short_of_space(plan, reader, place, output.beside(place), encoded=encoded)]
    _raise(RefusedError, refused)
    if plan.calls_model:
        require_callable(plan.template or "", "initial values (`init: template`) are those of")
    refuse_code(plan, options)
    probe = chosen_probe(plan, options.probe, options.tolerance, options.rtol, destination)
    if options.require_proof and probe is None:
        _raise(PlanError, refuse_unproved(plan.tasks))
    return Job(plan, output, destination, place, probe, output.settled(plan, place, options))


def _as_asked(output: Output, place: Path, options: ApplyOptions) -> Callable[[AbstractCheckpoint], bool]:
    return partial(output.is_written_with, place=place, options=options)


def carried_out(plan: Plan, reader: Reader, output: Output, options: ApplyOptions) -> Plan:
    """Returns the plan as the output carries it out: with a compression, every array is encoded again."""
    fit = output.fit(plan)
    if options.compression is not None:
        fit = replace(fit, tasks=streamed_tasks(fit.tasks))
    return stream_unlocated(fit, reader)


def refuse_code(plan: Plan, options: ApplyOptions) -> None:
    """Refuses code of the rule file in a dry run as in a run, and imports the rest.

    Raises:
      RefusedError: code is not allowed (`CodeNotAllowed`).
      CheckpointError: a function cannot be imported (`InvalidTemplate`, `InconclusiveProbe`).
    """
    require_permission(_code(plan, options), allow_code=options.allow_code)


def _code(plan: Plan, options: ApplyOptions) -> tuple[CodeReference, ...]:
    """Returns the code that a run takes from the rule file; a probe that the caller names replaces the file's.

    The template of a rule file passed the gate before the plan was made, unlike the one that a plan file names.
    """
    rules = plan.rules
    needed = plan.calls_model or options.probe or rules.probe
    template = rules.template_code if rules.planned is not None and needed else ()
    return (*template, *rules.call_code, *(() if options.probe else rules.probe_code))


def absolute(destination: Path) -> Path:
    """Returns DST as an absolute path without `..`, which TensorStore refuses."""
    return destination if isinstance(destination, BucketPath) else Path(os.path.abspath(destination))


def refuse_in_bucket(destination: Path, options: ApplyOptions, output: Output) -> None:
    """Refuses what has no form in a bucket.

    Raises:
      UsageError: DST is a further item of a step (`UnsupportedInBucket`).
      MigrateError: the package that copies the result to DST is missing (`MissingCloudPackage`).
    """
    if not isinstance(destination, BucketPath):
        return
    is_file = is_single_file(destination)
    if not output.is_orbax and not is_file:
        message, advice = f"`{destination}` is not an Orbax checkpoint", "write to a local path, then upload the result"
        raise UsageError(UnsupportedInBucket.at(message, help=advice))
    if output.beside(destination) != destination:
        message, advice = f"`{destination}` is an item of a step in a bucket", "write a new checkpoint with `apply`"
        raise UsageError(UnsupportedInBucket.at(message, help=advice))
    if is_file or (options.overwrite and is_there(destination)):
        cloud_package()


def refuse_path(destination: Path, output: Output) -> None:
    """Refuses a DST whose path cannot be written to.

    Raises:
      UsageError: it is not UTF-8, or a directory with a backslash in its path (`InvalidUsage`).
    """
    place = str(absolute(destination))
    if not is_utf_8(place):
        raise UsageError(InvalidUsage.at(f"the bytes of the path `{place}` are not UTF-8", help="choose another DST"))
    if "\\" in os.path.realpath(place) and output.is_orbax:
        message = f"the path `{place}` contains `\\`, which TensorStore reads as `/`"
        raise UsageError(InvalidUsage.at(message, help="choose another DST, or write a single file"))


def _unfinished(plan: Plan, destination: Path, output: Output) -> Iterator[Diagnostic]:
    """Finds a directory whose name, or that of the root of its step, is one of an unfinished save."""
    place = absolute(destination)
    named = () if not output.is_orbax else (place, place.parent) if plan.as_step else (place,)
    for folder in named:
        if is_temporary(folder.name):
            message = f"`{folder.name}` is a name that Orbax or Flax gives to unfinished saves, which no reader opens"
            yield InvalidUsage.at(message, help="choose another DST")


def _too_deep(target: AbstractTree) -> Iterator[Diagnostic]:
    """Finds leaves that no reader would read back because of the number of their levels."""
    deep = [path for path in target.leaves if len(path) > MAX_DEPTH]
    if deep:
        name, levels = f"`{format_path(deep[0])[:40]}…`", len(deep[0])
        message = f"the target {name} has {levels:,} levels; {MAX_DEPTH} at most are written"
        yield UnrepresentableLeaf.at(message, paths=map(format_path, deep), help="use fewer levels in `to`")


def _invalid(options: ApplyOptions) -> Iterator[Diagnostic]:
    if options.max_ram < MINIMUM_RAM:
        yield InvalidUsage.at(
            f"{options.max_ram:,} bytes of memory are too few", help="give `--max-ram` at least 64MiB"
        )
    if options.jobs is not None and options.jobs < 1:
        yield InvalidUsage.at(f"`--jobs {options.jobs}` is below 1", help="give `--jobs` at least 1")
    if options.compression is not None and not is_compression(options.compression):
        advice = f"write {COMPRESSIONS}, or `none`"
        yield InvalidUsage.at(f"`{options.compression}` is not a compression", help=advice)


def _occupied(plan: Plan, destination: Path, options: ApplyOptions, output: Output) -> Iterator[Diagnostic]:
    overlapping = [one.path for one in plan.source.checkpoints.values() if _overlap(one.path, destination)]
    if overlapping:
        advice = "choose a DST elsewhere; the source is never written to"
        yield OverlappingPaths.at(f"`{destination}` and the source `{overlapping[0]}` overlap", help=advice)
    elif is_there(destination) and not options.overwrite:
        yield DestinationExists.at(f"`{destination}` exists", help="choose another DST, or add `--overwrite`")
    elif is_there(destination):
        yield from irreplaceable(destination, output)


def irreplaceable(destination: Path, output: Output) -> Iterator[Diagnostic]:
    """Finds what `--overwrite` would delete besides one checkpoint of the written kind (`DestinationExists`)."""
    advice = "choose another DST, or move away what is there"
    try:
        foreign = output.foreign_entries(destination)
    except CheckpointError as error:
        reason = error.diagnostics[0].message
        message = f"`--overwrite` replaces a checkpoint of the kind that is written and nothing else: {reason}"
        yield DestinationExists.at(message, help=advice)
        return
    if foreign:
        message = f"`--overwrite` would delete more than a checkpoint in `{destination}`: {listed(foreign, 5)}"
        yield DestinationExists.at(message, paths=foreign, help=advice)


def published_meanwhile(job: Job, reader: Reader) -> Metadata | None:
    """Looks at DST once more, by the run that holds the lock: another one may have published after `check`.

    Returns:
      The record of DST where it is the finished result of this plan now; None where there is no DST, or where it may be
      replaced.

    Raises:
      RefusedError: DST exists (`DestinationExists`).
    """
    if job.options.overwrite or not is_there(job.place):
        return None
    done = earlier_result(job.plan, reader, job.place, _as_asked(job.output, job.place, job.options))
    if done is None:
        _raise(RefusedError, _occupied(job.plan, job.destination, job.options, job.output))
    return done


def refuse_replacing(job: Job) -> None:
    """Checks DST again before it is replaced: it may have changed during the run.

    Raises:
      StoppedError: it is no longer one checkpoint of the kind that is written (`DestinationExists`).
    """
    if job.options.overwrite and is_there(job.place):
        _raise(StoppedError, irreplaceable(job.place, job.output))


def _overlap(source: Path, destination: Path) -> bool:
    """Returns whether one path is the other or is inside it, symbolic links resolved."""
    one, other = source.resolve(), destination.resolve()
    return one == other or one in other.parents or other in one.parents


def _raise(kind: type[MigrateError], problems: Iterable[Diagnostic]) -> None:
    found = list(problems)
    if found:
        raise kind(*found)
