"""The public function that adds a record to an existing checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from migrate.api.plans import abstract_template
from migrate.checkpoint import StrPath
from migrate.codes import InvalidUsage
from migrate.engine.options import DEFAULT_RAM
from migrate.errors import UsageError
from migrate.events import Listener, ignore
from migrate.places.names import local_path

if TYPE_CHECKING:
    from migrate.engine.verification.stamp import Stamped
    from migrate.template import Template


def stamp(
    path: StrPath,
    *,
    model: str | None = None,
    version: int | str | None = None,
    template: Template | str | None = None,
    digests: bool = False,
    step: int | Literal["latest"] | None = None,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    follow_links: bool = False,
    listener: Listener = ignore,
) -> Stamped:
    """Add the record of its model, the digests of its values, or both to an existing checkpoint; no array is written.

    Args:
      path: a directory that Orbax or migrate wrote.
      model: the model's name (default: the recorded one).
      version: the model's version (default: the recorded one).
      template: the model that was saved, or `module:callable`; the record gets its hyperparameters and digests of its
        code.
      digests: whether to decode every leaf and record its digest.
      step: which step of a root (default: the latest).
      max_ram: host bytes of arrays in memory at once (default: 2 GiB).
      jobs: the number of leaves that are read at once (default: the number of CPUs).
      follow_links: whether links below `path` may lead out of it (default: no).
      listener: receives an event for every leaf.

    Raises:
      UsageError: nothing is to be recorded, or the checkpoint is of a kind that cannot take records later.
      PlanError: the template is not the model that was saved.
      VerifyError: the checkpoint differs from its record, or a leaf from its digest; nothing was written.
      CheckpointError: the checkpoint cannot be read, or a leaf cannot be decoded; nothing was written.
      MigrateError: the file cannot be written.
    """
    from contextlib import closing

    from migrate.engine.verification.record_stamp import stamp_record
    from migrate.engine.verification.stamp import Stamped, stamp_digests
    from migrate.engine.workspace.write_failures import explained_failures
    from migrate.formats.detect import open_reader
    from migrate.rules.recorded_tree import is_recorded_tree
    from migrate.template.facts import ModelFacts

    has_record = (model, version, template) != (None, None, None)
    if not digests and not has_record:
        advice = "`migrate stamp CKPT --model NAME --version V` or `migrate stamp CKPT --digests`"
        raise UsageError(InvalidUsage.at("there is nothing to record", help=advice))
    built = abstract_template(template) if isinstance(template, str) else template
    if built is not None and is_recorded_tree(built.spec) and built.facts == ModelFacts():
        message = f"{built.spec} records a tree, and neither hyperparameters nor digests of code"
        raise UsageError(InvalidUsage.at(message, help="`migrate template M:F -o NAME.tree.json` records them, too"))
    done: Stamped | None = None
    with explained_failures(local_path(path)):
        if digests:
            with closing(open_reader(path, step, unbox="never", follow_links=follow_links)) as reader:
                done = stamp_digests(reader, max_ram=max_ram, jobs=jobs, listener=listener)
        if not has_record:
            assert done is not None
            return done
        with closing(open_reader(path, step, follow_links=follow_links)) as reader:
            record = stamp_record(reader, model=model, version=version, template=built)
            leaves = len(reader.abstract().tree.leaves)
    return replace(done, record=record) if done else Stamped(None, leaves, 0, None, record)
