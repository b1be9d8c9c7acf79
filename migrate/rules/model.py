"""A rule file as values: what the loader makes and the planner reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from migrate.errors import Span
from migrate.ops.base import Op
from migrate.rules.pattern import Pattern

Layout = Literal["state", "pure_dict", "items"]
InitKind = Literal["zeros", "ones", "constant", "rng", "template"]


@dataclass(frozen=True, slots=True)
class RuleOp:
    """An op in a rule's list; `over` names the capture that it reduces or extends over, and stands at `over_span`."""

    op: Op
    over: str | None
    span: Span
    over_span: Span | None = None


@dataclass(frozen=True, slots=True)
class Init:
    """How a created leaf gets its value: `value` is the constant or the seed."""

    kind: InitKind
    value: int | float | bool | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Sources go to targets through ops; without ops it is a rename.

    Attributes:
      moments: what becomes of the optimizer's moments of these params. `follow` said outright carries them over where
        they are exact but the optimizer is not blind to how tensors are cut; None does not.
    """

    sources: tuple[Pattern, ...]
    targets: tuple[Pattern, ...]
    span: Span
    ops: tuple[RuleOp, ...] = ()
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    moments: Literal["follow", "reset"] | None = None

    @property
    def reset_moments(self) -> bool:
        """Whether the moments start anew."""
        return self.moments == "reset"


@dataclass(frozen=True, slots=True)
class Drop:
    """Sources are left behind; with `assert_zero` only if every value is zero."""

    sources: tuple[Pattern, ...]
    span: Span
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    assert_zero: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """Target leaves that have no source."""

    targets: tuple[Pattern, ...]
    init: Init
    span: Span
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False


Rule = Move | Drop | Create


@dataclass(frozen=True, slots=True)
class Include:
    """Another rule file whose rules are taken over, and the places of source and target that they are meant for."""

    file: str
    span: Span
    under: Pattern | None = None
    to: Pattern | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """What the source must be: compared with the checkpoint's metadata and tree before planning."""

    model: str | None = None
    version: int | str | None = None
    structure: str | None = None
    unbox: Literal["auto", "never"] = "auto"
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What the rules lead to."""

    model: str | None = None
    version: int | str | None = None
    template: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    structure: str | None = None
    layout: Layout | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A whole rule file.

    Attributes:
      path: the file as the user named it.
      digest: `sha256:` of the file's bytes and of those that it includes; recorded in what the rules produce.
      follow: whether optimizer moments follow their params.
      unmatched_source: what becomes of a source leaf that no rule names and the target does not have.
      unmatched_target: what becomes of a target leaf that nothing fills.
      text: the source text, for excerpts in diagnostics.
      probe: the function that compares outputs of the old model and the new one, `module:function`.
    """

    path: str
    digest: str
    rules: tuple[Rule, ...]
    name: str = ""
    source: Guard = Guard()
    target: Target = Target()
    follow: bool = True
    unmatched_source: Literal["error", "drop"] = "error"
    unmatched_target: Literal["error", "template"] = "error"
    text: str = ""
    probe: str | None = None

    @property
    def runs_code(self) -> bool:
        """Whether a rule calls code that the file names; a probe is no rule."""
        return any(rule_op.op.runs_code for rule in self.rules if isinstance(rule, Move) for rule_op in rule.ops)
