"""Plans that several processes cannot carry out, and options that leave a worker too little."""

from __future__ import annotations

from collections.abc import Iterator

from migrate.codes import InvalidUsage, UnsharedPlan
from migrate.engine.items import item_plans
from migrate.engine.options import MINIMUM_RAM
from migrate.engine.preflight import Job
from migrate.errors import Diagnostic, UsageError
from migrate.formats.reader import Reader
from migrate.places.bucket_path import BucketPath

_ALONE = "run the same command without `--processes` and `--on` (in Python: without `executor`)"


def refuse_unshared(job: Job, reader: Reader, neighbors: int, *, together: bool = True) -> None:
    """Refuses a run that cannot be shared.

    Args:
      job: the run.
      reader: the source.
      neighbors: the number of workers on one machine.
      together: whether the workers have work only while one process waits for them and holds the lock.

    Raises:
      UsageError: it cannot (`UnsharedPlan`), or the workers of a machine get too little memory (`InvalidUsage`).
    """
    problems = [*_unshared(job, reader, together=together), *_too_little(job, neighbors)]
    if problems:
        raise UsageError(*problems)


def _unshared(job: Job, reader: Reader, *, together: bool) -> Iterator[Diagnostic]:
    if job.plan.chain:
        rules = f"`{job.plan.chain[0].rules.path}` and {len(job.plan.chain) - 1} more rule files"
        advice = "`migrate squash` makes one rule file of them; apply that one"
        yield UnsharedPlan.at(f"the plan is a chain of {rules}, which no plan file can hold", help=advice)
    if not job.output.shared_items(job.plan) or not _can_be_joined(job):
        yield UnsharedPlan.at(f"`{job.destination}` is written by one process: {_why(job)}", help=_ALONE)
    elif job.output.shares_in_place and not together:
        message = f"`{job.destination}` cannot be written in separate runs: its files exist before the first share"
        advice = "`migrate apply` with the same arguments and `--processes N`, or `--on` for several machines"
        yield UnsharedPlan.at(message, help=advice)
    if reader.opening is None:
        path = job.plan.source.path
        message = (
            f"other processes cannot open `{path}`: a model names its arrays, or its reader is not one of migrate's"
        )
        yield UnsharedPlan.at(message, help=_ALONE)


def _can_be_joined(job: Job) -> bool:
    """Whether what processes write can be joined in DST: objects of a bucket cannot be moved."""
    in_bucket = isinstance(job.place, BucketPath)
    return not in_bucket or (job.output.is_orbax and not any(item.plain for item in item_plans(job.plan)))


def _why(job: Job) -> str:
    if isinstance(job.place, BucketPath):
        return "in a bucket, only OCDBT databases are joined, by reference"
    return "each of its items is a single array, or the name of an array begins that of another one"


def _too_little(job: Job, neighbors: int) -> Iterator[Diagnostic]:
    if job.options.max_ram < neighbors * MINIMUM_RAM:
        each, least = job.options.max_ram // neighbors >> 20, neighbors * MINIMUM_RAM >> 20
        message = f"{neighbors} workers on one machine share `--max-ram`, so that each has {each} MiB"
        yield InvalidUsage.at(message, help=f"give `--max-ram {least}MiB` or more, or use fewer workers")
