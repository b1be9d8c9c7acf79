"""The result of an inversion: a rule file, the leaves that it does not restore, and those that it does not use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from migrate.errors import Span
from migrate.ops.base import Op
from migrate.planning.model import Plan
from migrate.tree import KeyPath

LostKind = Literal["dropped", "rounded", "no inverse", "not expressible"]
"""Why a source leaf is not restored bit for bit; a `rounded` one is restored with other values."""

LeftKind = Literal["created", "tied", "unused"]
"""Why a target leaf is not used: the rules created it, it is assumed to equal another leaf, or its sources are lost."""

NoteKind = Literal["empty", "containers", "items", "levels", "numbers"]
"""Structure that a rule file without a template cannot restore."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A source leaf that is not restored bit for bit; `rule` is the place of the rule that caused it."""

    path: KeyPath
    kind: LostKind
    reason: str
    rule: Span | None = None


@dataclass(frozen=True, slots=True)
class LostConfig:
    """Names of one config that are not restored; `item` is a JSON item, or empty for the record's hyperparameters."""

    item: str
    paths: tuple[KeyPath, ...]
    reason: str
    rule: Span | None = None


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """A target leaf that the inverse file drops.

    Attributes:
      rule: the place of the rule that wrote it.
      equal: the target leaf that it has to equal, after `ops`; None where that is not asserted.
    """

    path: KeyPath
    kind: LeftKind
    reason: str
    rule: Span | None = None
    equal: KeyPath | None = None
    ops: tuple[Op, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Structure that is restored in another form; no value is lost. `paths` are key paths of the source."""

    kind: NoteKind
    message: str
    paths: tuple[KeyPath, ...]


@dataclass(frozen=True)
class Inversion:
    """A rule file that leads back, with its plan.

    Attributes:
      text: the file, which applies without a template.
      plan: the plan of the file on the target of the inverted plan.
      lost: source leaves that are not restored bit for bit.
      left: target leaves that are not used.
      notes: structure that is restored in another form.
      rules: the number of rules in the file.
      leaves: the number of source leaves with data.
      lost_config: hyperparameters and names of JSON items that are not restored.
    """

    text: str
    plan: Plan
    lost: tuple[Lost, ...]
    left: tuple[LeftBehind, ...]
    notes: tuple[Note, ...]
    rules: int
    leaves: int
    lost_config: tuple[LostConfig, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every source leaf with data is restored bit for bit, and the config with it."""
        return not self.lost and not self.lost_config
