"""Steps below a root: `CheckpointManager`'s `[prefix_]<number>` directories, Flax's `checkpoint_<number>` entries.

An entry is a step only if it contains a checkpoint, whatever its name. Directories with Orbax's temporary names and
steps without content are unfinished saves; they are skipped with a note, and refused when they are chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from migrate.codes import AmbiguousItem, UnfinishedSave, UnknownItem
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.files import children, files_at, is_dir, is_file
from migrate.formats.flax.msgpack import looks_like_msgpack
from migrate.formats.orbax.nested_store import are_numbered_nodes, is_nested_store
from migrate.formats.orbax.step import holds_item, is_marked, is_step
from migrate.places.unfinished import is_unfinished

if TYPE_CHECKING:
    from pathlib import Path

_STEP = re.compile(r"(?:.*_|.*[A-Za-z]-)?(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
_LONGEST_NAME = 255
_TEMPORARY = (".orbax-checkpoint-tmp", ".partial_save")
_FLAX_TEMPORARY = "checkpoint_tmp"
_FLAX_PREFIX = "checkpoint_"


@dataclass(frozen=True, slots=True)
class SavedStep:
    """One step that can be read; Flax also allows fractions as numbers."""

    number: int | float
    path: Path

    @property
    def whole(self) -> int | None:
        """The number as an integer; None where it is a fraction."""
        return int(self.number) if self.number == self.number // 1 else None


@dataclass(frozen=True)
class Steps:
    """The steps of a root in rising order, and the skipped entries: unfinished saves and others."""

    root: Path
    steps: tuple[SavedStep, ...]
    unfinished: tuple[Path, ...]
    others: tuple[Path, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The steps whose numbers are integers."""
        return tuple(dict.fromkeys(step.whole for step in self.steps if step.whole is not None))

    @property
    def lost(self) -> tuple[SavedStep, ...]:
        """The entries that are named as steps and contain no checkpoint: unfinished saves, and steps without files."""
        prefixes = {"", _FLAX_PREFIX, *(_prefix(step.path.name) for step in self.steps)}
        named = [path for path in self.others if _prefix(path.name) in prefixes or is_marked(path)]
        numbers = [(path, step_number(_without_temporary(path.name))) for path in (*self.unfinished, *named)]
        return tuple(SavedStep(number, path) for path, number in numbers if number is not None)

    def notes(self) -> list[Diagnostic]:
        """Returns the notes about skipped entries."""
        names = [path.name for path in self.unfinished]
        fractions = [step.path.name for step in self.steps if step.whole is None]
        notes = []
        if names:
            message = f"skipped in `{self.root}` as unfinished saves: {_listed(names)}"
            notes.append(UnfinishedSave.at(message, paths=names, severity="note"))
        if fractions:
            message = (
                f"steps of `{self.root}` whose numbers are fractions are opened by their paths: {_listed(fractions)}"
            )
            notes.append(AmbiguousItem.at(message, paths=fractions, severity="note"))
        return notes

    def choose(self, wanted: int | Literal["latest"] | None) -> SavedStep:
        """Returns the wanted step (default: the latest).

        Raises:
          CheckpointError: it does not exist (`UnknownItem`), was never finished (`UnfinishedSave`), or several steps
            have its number (`AmbiguousItem`).
        """
        if wanted is None or wanted == "latest":
            return self._only(max(step.number for step in self.steps))
        if not any(step.number == wanted for step in self.steps):
            raise self._no_step(wanted)
        return self._only(wanted)

    def _only(self, number: int | float) -> SavedStep:
        found = [step for step in self.steps if step.number == number]
        if len(found) > 1:
            names = [step.path.name for step in found]
            message = f"`{self.root}` has {len(found)} checkpoints of step {number}: {_listed(names)}"
            raise CheckpointError(AmbiguousItem.at(message, help=f"name one of them: `{found[0].path}`"))
        return found[0]

    def _no_step(self, wanted: int) -> CheckpointError:
        unfinished = [path.name for path in self.unfinished if step_number(_without_temporary(path.name)) == wanted]
        if unfinished:
            message = f"step {wanted} of `{self.root}` was never finished: {_listed(unfinished)}"
            return CheckpointError(UnfinishedSave.at(message, help=f"steps that were: {self._known()}"))
        return CheckpointError(UnknownItem.at(f"`{self.root}` has no step {wanted}", help=f"it has {self._known()}"))

    def _known(self) -> str:
        return _listed([str(step.number) for step in self.steps])


def find_steps(root: Path) -> Steps:
    """Returns the steps below a directory; there may be none."""
    steps, unfinished, others = [], [], []
    for child in children(root):
        number = step_number(child.name)
        if is_temporary(child.name) or is_unfinished(child) or (number is not None and _is_unfinished(child)):
            unfinished.append(child)
        elif number is not None and _holds_checkpoint(child):
            steps.append(SavedStep(number, child))
        else:
            others.append(child)
    return Steps(root, tuple(sorted(steps, key=lambda step: step.number)), tuple(unfinished), tuple(others))


def is_root(path: Path) -> bool:
    """Whether a directory has steps; one with the markers of a step is not one, even if its items look like steps."""
    if not is_dir(path) or holds_item(path) or is_marked(path):
        return False
    found = find_steps(path)
    folders, numbers = [step.path for step in found.steps], [step.number for step in found.steps]
    return bool(folders) and not are_numbered_nodes(folders, numbers, found.others)


def is_temporary(name: str) -> bool:
    """Whether a name is one under which a save is in progress."""
    return any(mark in name for mark in _TEMPORARY) or name == _FLAX_TEMPORARY


def _without_temporary(name: str) -> str:
    for mark in _TEMPORARY:
        name = name.split(mark, 1)[0]
    return name


def step_number(name: str) -> int | float | None:
    """Returns the number of a step by its name; None for other names, and for hidden entries.

    The working directory of a run is hidden, and its name ends in hex digits, which may all be decimal.
    """
    if name.startswith("."):
        return None
    match = _STEP.fullmatch(name) if len(name) <= _LONGEST_NAME else None
    if match is None:
        return None
    text = match[1]
    return int(text) if text.removeprefix("-").isdecimal() else float(text)


def _prefix(name: str) -> str | None:
    """Returns what precedes the number in the name of a step; None for other names."""
    match = _STEP.fullmatch(name) if len(name) <= _LONGEST_NAME else None
    return None if match is None else name[: match.start(1)]


def _is_unfinished(path: Path) -> bool:
    """Whether a directory has no content, or an item under a temporary name."""
    if not is_dir(path):
        return False
    entries = children(path)
    return any(is_temporary(entry.name) for entry in entries) or not any(_has_file(entry) for entry in entries)


def _has_file(entry: Path) -> bool:
    return next(files_at(entry), None) is not None


def _holds_checkpoint(path: Path) -> bool:
    if is_dir(path):
        return holds_item(path) or is_step(path) or is_nested_store(path)
    return is_file(path) and looks_like_msgpack(path)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
