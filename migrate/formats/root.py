"""The steps of a root with what a choice among them needs: numbers, names, metrics, unfinished saves."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrate.codes import AmbiguousItem
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.boundary import Boundary
from migrate.formats.detect import list_steps
from migrate.formats.files import is_dir, read_json
from migrate.formats.orbax.step import json_file
from migrate.formats.steps import SavedStep, Steps, find_steps
from migrate.places.names import place_of

METRICS = "metrics"
"""The item in which Orbax saves the metrics of a step."""

_ORBAX_NAME = re.compile(r"(?:.+_)?\d+")


@dataclass(frozen=True, slots=True)
class RootStep:
    """One finished step of a root.

    Attributes:
      number: its number.
      name: the name of its directory in a root that is made of this one.
      metrics: the content of its metrics item if it is a mapping; None otherwise.
      problems: the errors of a metrics item that cannot be read.
    """

    number: int
    name: str
    metrics: Mapping[str, Any] | None = None
    problems: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Root:
    """A directory with steps.

    Attributes:
      path: the directory.
      steps: the finished steps, in rising order; those whose numbers are fractions are left out.
      unfinished: the names of unfinished saves.
    """

    path: Path
    steps: tuple[RootStep, ...]
    unfinished: tuple[str, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the finished steps."""
        return tuple(step.number for step in self.steps)

    def step(self, number: int) -> RootStep:
        """Returns a finished step by its number.

        Raises:
          CheckpointError: there is none (`UnknownItem`), or it was never finished (`UnfinishedSave`).
        """
        found = next((step for step in self.steps if step.number == number), None)
        if found is None:
            find_steps(self.path).choose(number)  # raises
        assert found is not None, "the root gained a step"
        return found


def read_root(path: str | os.PathLike[str], *, metrics: bool = False, follow_links: bool = False) -> Root:
    """Reads the entries of a root; opens no checkpoint.

    Args:
      path: the root.
      metrics: whether the metrics of every step are read.
      follow_links: whether links of metrics may lead out of the root.

    Raises:
      UsageError: the path is a URL (`UnsupportedPlace`).
      CheckpointError: there is nothing at this path (`NoCheckpoint`), it has no steps, or several of one number
        (`AmbiguousItem`).
    """
    where = place_of(path)
    if not list_steps(where):
        message = f"{os.fspath(path)} has no steps, so a choice of steps does not apply"
        raise CheckpointError(AmbiguousItem.at(message, help="omit `--step` and `--keep`, or name the root as SRC"))
    found = find_steps(where)
    boundary = Boundary(where, follow_links)
    steps = tuple(_root_step(found, number, boundary, metrics=metrics) for number in found.numbers)
    return Root(where, steps, tuple(entry.name for entry in found.unfinished))


def _root_step(found: Steps, number: int, boundary: Boundary, *, metrics: bool) -> RootStep:
    step = found.choose(number)
    name = _name(step, number)
    if not metrics:
        return RootStep(number, name)
    try:
        return RootStep(number, name, _metrics(step.path / METRICS, boundary))
    except CheckpointError as error:
        return RootStep(number, name, problems=tuple(error.diagnostics))


def _name(step: SavedStep, number: int) -> str:
    """Returns the name of the entry if Orbax can give it to a step, so that the same options find the new one."""
    name = step.path.name
    return name if is_dir(step.path) and _ORBAX_NAME.fullmatch(name) else str(number)


def _metrics(folder: Path, boundary: Boundary) -> Mapping[str, Any] | None:
    boundary.check(folder)
    file = json_file(folder)
    content = read_json(file) if file else None
    return content if isinstance(content, dict) else None
