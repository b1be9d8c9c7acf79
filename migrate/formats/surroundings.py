"""What a checkpoint has beside the items that are read: its steps, metadata, files, and the other items of its step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrate.errors import Diagnostic


@dataclass(frozen=True)
class Surroundings:
    """What a checkpoint has beside its items.

    Attributes:
      step: the step that was chosen.
      steps: every step there is.
      extras: the content of JSON items, by name.
      metadata: the custom metadata of the step and the root.
      notes: what was ignored or assumed.
      files: the files that all of this was read from.
      folder: the directory of the step or item; None for a single file.
      digests: the directory with the digests of the items, where it is not `folder`.
      unread: the items of the step that are not read.
      handlers: the classes that saved the items, by name, as far as they are recorded.
      others: the directories of the items of other kinds, by name; none if one item was chosen.
      layouts: the items of the step that are other layouts of the same state.
    """

    step: int | None = None
    steps: tuple[int, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    files: tuple[Path, ...] = ()
    folder: Path | None = None
    digests: Path | None = None
    unread: tuple[str, ...] = ()
    handlers: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Path] = field(default_factory=dict)
    layouts: tuple[str, ...] = ()
