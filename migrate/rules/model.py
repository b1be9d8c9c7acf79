"""The data model of a rule file, which the loader creates and the planner reads."""

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
    """An op in a rule's list; `over` is the capture that it reduces or extends over, located at `over_span`."""

    op: Op
    over: str | None
    span: Span
    over_span: Span | None = None


@dataclass(frozen=True, slots=True)
class Init:
    """The initial value of a created leaf; `value` is the constant or the seed."""

    kind: InitKind
    value: int | float | bool | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A rule that moves sources to targets through ops; a rename if there are no ops.

    Attributes:
      moments: the treatment of these params' optimizer moments. None moves them unless the optimizer depends on the
        division into tensors; an explicit `follow` moves them in that case too; `reset` initializes them again.
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
        """Whether the moments are initialized again."""
        return self.moments == "reset"


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule that drops sources; with `assert_zero` only if all their values are zero."""

    sources: tuple[Pattern, ...]
    span: Span
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    assert_zero: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """A rule that creates target leaves without a source."""

    targets: tuple[Pattern, ...]
    init: Init
    span: Span
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False


Rule = Move | Drop | Create


@dataclass(frozen=True, slots=True)
class Include:
    """A reference to another rule file whose rules are used below a place in the source and a place in the target."""

    file: str
    span: Span
    under: Pattern | None = None
    to: Pattern | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """The requirements for the source, compared with the checkpoint's metadata and tree before planning."""

    model: str | None = None
    version: int | str | None = None
    structure: str | None = None
    unbox: Literal["auto", "never"] = "auto"
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The target of the rules: model, template and layout."""

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
      digest: `sha256:` of the bytes of the file and its includes; recorded in the metadata of the new checkpoint.
      follow: whether optimizer moments follow their params.
      unmatched_source: the treatment of source leaves that no rule names and the target lacks.
      unmatched_target: the treatment of target leaves that no rule fills.
      text: the source text, for excerpts in diagnostics.
      probe: the function that compares outputs of the old and the new model, as `module:function`.
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
        """Whether a rule calls a function that the file names; a probe does not count."""
        return any(rule_op.op.runs_code for rule in self.rules if isinstance(rule, Move) for rule_op in rule.ops)
