"""The newest step of a root that can be read; every newer one that cannot is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from migrate.checkpoint import Checkpoint, open_checkpoint
from migrate.codes import InvalidUsage, NoReadableStep, SkippedLayout, SkippedStep
from migrate.errors import CheckpointError, Diagnostic, UsageError
from migrate.formats.files import is_dir, is_file
from migrate.formats.orbax.step import holds_item, is_marked
from migrate.formats.steps import SavedStep, Steps, find_steps, is_temporary
from migrate.places.names import refresh
from migrate.planning.guards import recorded_structure


class StepSearch:
    """Opens the steps of a root, the newest first, until one can be read.

    Attributes:
      number: the number of the step that was opened last.
      skipped: a warning for each step or layout that could not be read.
    """

    def __init__(self, root: Path, step: int | Literal["latest"], *, strict: bool) -> None:
        """Begins before the first step.

        Args:
          root: the root; it need not exist.
          step: the only step to be opened, or `latest`.
          strict: whether a step that cannot be read is an error.
        """
        self.number = 0
        self.skipped: list[Diagnostic] = []
        self._root = root
        self._wanted = step
        self._strict = strict
        self._steps: Steps | None = None
        self._ahead: list[tuple[SavedStep, bool]] = []
        self._opened: list[tuple[SavedStep, bool]] = []
        self._unreadable_layouts: set[tuple[int, str]] = set()
        self._has_unreadable = False

    def next(self, stack: ExitStack) -> Checkpoint | None:
        """Returns the newest step that was not opened yet and can be read, or None if nothing was ever saved.

        Args:
          stack: closes the checkpoint.

        Raises:
          UsageError: the root is no directory of steps (`InvalidUsage`).
          CheckpointError: the wanted step cannot be read, every step was tried in vain (`NoReadableStep`), or one is
            refused (`SkippedStep`).
        """
        if isinstance(self._wanted, int):
            self.number = self._wanted
            return stack.enter_context(_complete(open_checkpoint(self._root, self._wanted)))
        if self._steps is None:
            self._steps = _steps_of(self._root)
            self._ahead = _oldest_first(self._steps)
        while self._ahead:
            step, is_whole = self._ahead.pop()
            self._opened = [(step, is_whole)]
            self.number = int(step.number)
            try:
                path = self._steps.choose(self.number).path if is_whole else step.path
                return stack.enter_context(_complete(open_checkpoint(path)))
            except CheckpointError as error:
                self.skip(error, only_unfinished=is_temporary(step.path.name))
        self._refuse_silence()
        return None

    def layouts(self, checkpoint: Checkpoint, stack: ExitStack) -> Iterator[tuple[str, Checkpoint]]:
        """Yields the other layouts of the step that was opened last, apart from those that cannot be read.

        Args:
          checkpoint: the step.
          stack: closes the layouts.

        Raises:
          CheckpointError: one is refused (`SkippedLayout`).
        """
        for name in checkpoint.abstract.layouts:
            if (self.number, name) in self._unreadable_layouts:
                continue
            try:
                yield name, stack.enter_context(_complete(open_checkpoint(checkpoint.abstract.path, item=name)))
            except CheckpointError as error:
                self._note_layout(name, error)

    def skip_layout(self, name: str, error: CheckpointError) -> None:
        """Lets `next` open the same step again, of which a layout is not considered any more.

        Raises:
          CheckpointError: none may be skipped (`SkippedLayout`).
        """
        self._note_layout(name, error)
        self._ahead.extend(self._opened)

    def _note_layout(self, name: str, error: CheckpointError) -> None:
        self._unreadable_layouts.add((self.number, name))
        cause = error.diagnostics[0].message
        message = f"the layout {name} of step {self.number} of `{self._root}` cannot be resumed: {cause}"
        if self._strict:
            advice = "drop it with `migrate contract`; `strict=False` resumes the layout that it was made from"
            raise CheckpointError(SkippedLayout.at(message, help=advice, severity="error"))
        self.skipped.append(SkippedLayout.at(message, help="the layout that it was made from is resumed"))

    def skip(self, error: CheckpointError, *, only_unfinished: bool = False) -> None:
        """Skips the step that was opened last.

        Args:
          error: why it cannot be read.
          only_unfinished: whether it has the name of a save that was never finished.

        Raises:
          CheckpointError: that step alone is wanted, or none may be skipped (`SkippedStep`).
        """
        if isinstance(self._wanted, int):
            raise error
        more = f" (and {len(error.diagnostics) - 1} more findings)" if len(error.diagnostics) > 1 else ""
        message = f"step {self.number} of `{self._root}` cannot be resumed: {error.diagnostics[0].message}{more}"
        if self._strict:
            advice = "restore or remove it; `strict=False` resumes an earlier step"
            raise CheckpointError(SkippedStep.at(message, help=advice, severity="error"))
        if not only_unfinished:
            self._has_unreadable = True
        self.skipped.append(SkippedStep.at(message, help="an earlier step is resumed, if there is one"))

    def _refuse_silence(self) -> None:
        """Refuses to report that nothing was saved, if something was: the job would train from the start.

        Raises:
          CheckpointError: there are steps (`NoReadableStep`).
        """
        if self._has_unreadable:
            causes = "; ".join(found.message for found in self.skipped)
            message = f"no step of `{self._root}` can be read: {causes}"
            advice = "restore a step from another copy, or start the job in an empty root"
            raise CheckpointError(NoReadableStep.at(message, help=advice))


def _steps_of(root: Path) -> Steps:
    """Returns the steps below a root; none if it does not exist.

    Raises:
      UsageError: it is a file or a checkpoint (`InvalidUsage`).
    """
    refresh(root)
    if is_file(root) or (is_dir(root) and (is_marked(root) or holds_item(root))):
        message = f"`{root}` is a checkpoint, and not a root with steps"
        raise UsageError(InvalidUsage.at(message, help="name the directory above it, or use `migrate.load`"))
    return find_steps(root) if is_dir(root) else Steps(root, (), (), ())


def _oldest_first(steps: Steps) -> list[tuple[SavedStep, bool]]:
    """Returns all steps, each with whether it is whole; of two with one number, the whole one is the last."""
    pairs: Iterable[tuple[SavedStep, bool]] = [
        *((step, False) for step in steps.lost),
        *((step, True) for step in steps.steps),
    ]
    return sorted((pair for pair in pairs if pair[0].whole is not None), key=lambda pair: (pair[0].number, pair[1]))


def _complete(checkpoint: Checkpoint) -> Checkpoint:
    """Returns a checkpoint that lacks nothing that its metadata name.

    Raises:
      CheckpointError: files lack bytes, or leaves are not those of its record (`RecordedStructureMismatch`).
    """
    found = [*checkpoint.abstract.problems, *_recorded(checkpoint)]
    if found:
        checkpoint.close()
        raise CheckpointError(*found)
    return checkpoint


def _recorded(checkpoint: Checkpoint) -> Sequence[Diagnostic]:
    """Returns what is wrong with the record of a checkpoint."""
    try:
        return [one for one in recorded_structure(checkpoint.abstract) if one.is_error]
    except CheckpointError as error:
        return error.diagnostics
