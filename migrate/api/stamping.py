"""The public function that adds a record to an existing checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from migrate.checkpoint import StrPath
from migrate.codes import InvalidUsage
from migrate.engine.options import DEFAULT_RAM
from migrate.errors import UsageError
from migrate.events import Listener, ignore

if TYPE_CHECKING:
    from migrate.engine.verification.stamp import Stamped


def stamp(
    path: StrPath,
    *,
    digests: bool = False,
    step: int | Literal["latest"] | None = None,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    follow_links: bool = False,
    listener: Listener = ignore,
) -> Stamped:
    """Record the digests of all values of an existing checkpoint in one small file; no array is written.

    Args:
      path: a directory that Orbax or migrate wrote.
      digests: whether to record digests; nothing else can be recorded yet.
      step: which step of a root (default: the latest).
      max_ram: host bytes of arrays in memory at once (default: 2 GiB).
      jobs: the number of leaves that are read at once (default: the number of CPUs).
      follow_links: whether links below `path` may lead out of it (default: no).
      listener: receives an event for every leaf.

    Raises:
      UsageError: nothing is to be recorded, or the checkpoint is of a kind that cannot take digests later.
      VerifyError: a leaf differs from a digest that is recorded already; nothing was written.
      CheckpointError: the checkpoint cannot be read, or a leaf cannot be decoded; nothing was written.
      MigrateError: the file cannot be written.
    """
    from contextlib import closing
    from pathlib import Path

    from migrate.engine.verification.stamp import stamp_digests
    from migrate.engine.workspace.write_failures import explained_failures
    from migrate.formats.detect import open_reader

    if not digests:
        raise UsageError(InvalidUsage.at("there is nothing to record", help="`migrate stamp CKPT --digests`"))
    opened = open_reader(path, step, unbox="never", follow_links=follow_links)
    with explained_failures(Path(path)), closing(opened) as reader:
        return stamp_digests(reader, max_ram=max_ram, jobs=jobs, listener=listener)
