"""Adds a second layout of an item to the step that it is in: a run of a plan whose DST is an item of the source's step.

The new item shares the data files of the old one; only what is streamed is added as data. The step is valid at every
moment: the item is written beside the step, its handler and record are added to the step's metadata by one rename, and
it appears by one more rename. No other file of the step is touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from migrate.codes import DestinationExists
from migrate.engine import preflight, run
from migrate.engine.options import DEFAULTS, ApplyOptions
from migrate.engine.outputs.step_item import StepItem
from migrate.engine.outputs.step_metadata import require_place
from migrate.engine.receipt import Receipt
from migrate.engine.streaming.stopping import never
from migrate.engine.workspace.earlier_result import earlier_result
from migrate.errors import Diagnostic, RefusedError
from migrate.events import Listener, ignore
from migrate.formats.digest_record import FILE
from migrate.formats.orbax.layouts import recorded_layouts
from migrate.formats.orbax.metadata import CHECKPOINT_FILE
from migrate.formats.orbax.step import read_step
from migrate.formats.reader import CheckpointReader
from migrate.formats.step_item import default_name, require_name
from migrate.metadata import Metadata
from migrate.planning.model import Plan


@dataclass(frozen=True, slots=True)
class Expanded:
    """The result of `migrate.expand`.

    Attributes:
      receipt: the receipt of the run.
      step: the step.
      item: the item that the layout was made from.
      name: the item that was added.
      added_bytes: the bytes on disk that the step has more than without the item: of files that it does not share with
        the rest of the step, and of directories.
    """

    receipt: Receipt
    step: Path
    item: str
    name: str
    added_bytes: int


@dataclass(frozen=True)
class Expansion:
    """The item that a step gets.

    Attributes:
      reader: the item that it is made from (`migrate.formats.step_item.open_step_item`).
      name: its name.
    """

    reader: CheckpointReader
    name: str

    @classmethod
    def named(cls, reader: CheckpointReader, name: str | None, version: int | str | None) -> Expansion:
        """Returns the expansion of an item.

        Args:
          reader: the item.
          name: the name of the new one (default: that of the item, with the version).
          version: the version of the target's model.
        """
        (item,) = reader.abstract().items
        return cls(reader, name or default_name(item, version))

    @property
    def step(self) -> Path:
        """The step."""
        assert self.reader.folder is not None
        return self.reader.folder

    @property
    def item(self) -> str:
        """The item that it is made from."""
        return next(iter(self.reader.abstract().items))

    @property
    def place(self) -> Path:
        """The directory of the item."""
        return self.step / self.name

    @property
    def replaced(self) -> tuple[str, ...]:
        """The files of the step that are replaced."""
        names = (CHECKPOINT_FILE, FILE)
        return names if (self.step / FILE).exists() else names[:1]

    @property
    def output(self) -> StepItem:
        """The output that writes it."""
        return StepItem(self.step, self.item)

    def check(self, plan: Plan, options: ApplyOptions = DEFAULTS) -> Metadata | None:
        """Makes every check that comes before a run; writes nothing.

        Returns:
          The record of the item where it is the finished result of this plan already.

        Raises:
          RefusedError: the step has another item of this name (`DestinationExists`). Otherwise as `run`.
        """
        self._refuse(plan, options)
        return preflight.check(plan, self.reader, self.place, options, self.output).done

    def run(
        self,
        plan: Plan,
        options: ApplyOptions = DEFAULTS,
        *,
        listener: Listener = ignore,
        stopped: Callable[[], bool] = never,
    ) -> Expanded:
        """Adds the item, or resumes an unfinished run; arguments and errors as in `migrate.engine.run.apply`.

        Raises:
          UsageError: the name is not that of an item (`InvalidItemName`), or the step's metadata has no place for a
            record (`InvalidUsage`).
          RefusedError: the step has another item of this name (`DestinationExists`).
          VerifyError: the step's metadata differs from the digest that the step records (`ChangedValues`).
        """
        self._refuse(plan, options)
        receipt = run.apply(
            plan, self.reader, self.place, options, listener=listener, stopped=stopped, output=self.output
        )
        return Expanded(receipt, self.step, self.item, self.name, added_bytes(self.step, self.name))

    def _refuse(self, plan: Plan, options: ApplyOptions) -> None:
        require_name(self.name, read_step(self.step).items)
        custom = require_place(self.step)
        if os.path.lexists(self.place) and self._earlier(plan, options) is None:
            raise RefusedError(self._exists(self.name in recorded_layouts(custom)))

    def _earlier(self, plan: Plan, options: ApplyOptions) -> Metadata | None:
        place = preflight.absolute(self.place)
        as_asked = partial(self.output.is_written_with, place=place, options=options)
        return earlier_result(self.output.fit(plan), self.reader, place, as_asked)

    def _exists(self, is_layout: bool) -> Diagnostic:
        advice = "choose another name with `--as`"
        if is_layout:
            advice += f", or drop it first: `migrate contract {self.step} --keep {self.item}`"
        return DestinationExists.at(f"`{self.step}` has an entry `{self.name}`", help=advice)


def added_bytes(step: Path, name: str) -> int:
    """Returns the bytes on disk that only one item of a step uses.

    Args:
      step: the step.
      name: the item.
    """
    others = {entry.stat(follow_symlinks=False).st_ino for entry in _entries(step, without=name)}
    own = {entry.stat(follow_symlinks=False).st_ino: entry for entry in _entries(step / name)}
    used = (entry.stat(follow_symlinks=False).st_blocks for inode, entry in own.items() if inode not in others)
    return 512 * (sum(used) + os.stat(step / name).st_blocks)


def _entries(folder: Path, without: str | None = None) -> Iterator[os.DirEntry[str]]:
    for entry in os.scandir(folder):
        if entry.name != without:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))
