"""How a run stages its arrays and reads them back: by itself, or with workers. By default it does so itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from migrate.engine.linking.link import Link
from migrate.engine.options import ApplyOptions
from migrate.engine.preflight import Job
from migrate.engine.workspace.directory import Workspace
from migrate.engine.workspace.resume import Finished, Origin, Shared
from migrate.events import Listener
from migrate.formats.reader import Reader
from migrate.planning.model import Plan
from migrate.tree import KeyPath

Told = Callable[[KeyPath], None]
"""Receives the key path of an array that is durable."""


@dataclass(frozen=True)
class Errand:
    """The part of a run that workers have to know.

    Attributes:
      job: the run.
      reader: the source.
      work: the working directory.
      origin: the origin of the arrays of this run.
      stopped: whether the run was asked to stop.
    """

    job: Job
    reader: Reader
    work: Workspace
    origin: Origin
    stopped: Callable[[], bool]

    @property
    def items(self) -> Collection[str]:
        """The items of which workers stage arrays."""
        return self.job.output.shared_items(self.job.plan)


class OthersArrays:
    """What others stage for a run: by default nothing.

    Attributes:
      rest: the plan of what the run stages itself.
    """

    def __init__(self, rest: Plan) -> None:
        self.rest = rest

    def collect(self, told: Told) -> Shared:
        """Waits for the arrays and returns them; `told` receives the key path of each soon after it is durable."""
        del told
        return {}


class Workers:
    """The processes that stage the arrays of a run and read them back: by default only its own.

    Attributes:
      one_run: whether the shares that are found belong to this run, so that leaves which the user's code computed are
        not staged again.
    """

    one_run = False

    def check(self, job: Job, reader: Reader) -> None:
        """Refuses a run that they cannot carry out; writes nothing."""

    def own_options(self, options: ApplyOptions) -> ApplyOptions:
        """Returns the options for what the run does itself, beside its workers."""
        return options

    @contextmanager
    def staging(self, errand: Errand, earlier: Finished) -> Iterator[OthersArrays]:
        """Begins what others stage; on exit, no worker has any of it in work.

        Args:
          errand: the run.
          earlier: what earlier runs staged.
        """
        del earlier
        yield OthersArrays(errand.job.plan)

    def check_digests(
        self, errand: Errand, digests: Mapping[KeyPath, str], links: Sequence[Link], listener: Listener
    ) -> int:
        """Reads the result back; arguments besides the run, and errors, as in `Output.check_digests`."""
        job = errand.job
        return job.output.check_digests(job.plan, errand.work.result, digests, links, job.options, listener)
