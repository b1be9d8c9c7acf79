"""Diagnostics, exit codes and the exception tree.

    MigrateError                 exit 2   anything that migrate raises on purpose
    ├── UsageError               exit 2   the call itself makes no sense
    ├── RuleFileError            exit 1   the rule file has mistakes (M0xx, M1xx)
    ├── PlanError                exit 1   rules, source and target do not fit (M2xx, M3xx)
    ├── CheckpointError          exit 2   a checkpoint or template cannot be read (M4xx)
    ├── RefusedError             exit 1   the answer is no: DST exists, already migrated, a value would change (M5xx)
    ├── VerifyError              exit 1   what was written is not what was meant (M5xx)
    └── StoppedError             exit 3   stopped part-way, nothing was published, the same command goes on

Everything else that escapes is a bug of ours (M901) and leaves with exit code 2. An exception carries diagnostics, all
of them at once; a diagnostic is a value, and how it looks is the report floor's business.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal

Severity = Literal["error", "warning", "note"]


class ExitCode(IntEnum):
    """What the process tells the shell. Public: scripts rely on it."""

    OK = 0
    """Yes, or done."""
    NO = 1
    """The answer is no: differences, rule errors, a failed verification, a plan that does not apply."""
    FAILED = 2
    """No answer: wrong usage, unreadable input, or a bug."""
    STOPPED = 3
    """Stopped part-way; nothing was published; the same command goes on."""
    INTERRUPTED = 130
    """Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a rule file; lines and columns count from 1, the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: its code, a sentence, and where it is.

    Attributes:
      code: an M-code; `migrate explain CODE` prints its page.
      message: one sentence that makes sense alone.
      span: the place in a rule file, when there is one.
      label: a few words for under the caret.
      paths: the key paths that it is about, as `format_path` prints them.
      help: the next thing to do.
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    label: str | None = None
    paths: tuple[str, ...] = ()
    help: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether it stops what was asked for."""
        return self.severity == "error"


class Code:
    """One kind of diagnostic: a subclass named after what is wrong; its docstring is its `migrate explain` page.

    Attributes:
      number: its stable number, such as `M201`, by which users look it up.
      severity: how serious it is, unless a call of `at` says otherwise.
    """

    registry: ClassVar[dict[str, type[Code]]] = {}
    """Every kind by its number."""
    number: ClassVar[str]
    severity: ClassVar[Severity] = "error"

    def __init_subclass__(cls) -> None:
        Code.registry[cls.number] = cls

    @classmethod
    def at(
        cls,
        message: str,
        *,
        span: Span | None = None,
        label: str | None = None,
        paths: Iterable[str] = (),
        help: str | None = None,
        severity: Severity | None = None,
    ) -> Diagnostic:
        """A diagnostic of this kind."""
        return Diagnostic(cls.number, severity or cls.severity, message, span, label, tuple(paths), help)


class MigrateError(Exception):
    """Anything that migrate raises on purpose; carries all diagnostics, never only the first."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(d.message for d in diagnostics))
        self.diagnostics: Sequence[Diagnostic] = diagnostics


class UsageError(MigrateError):
    """The call itself makes no sense."""


class RuleFileError(MigrateError):
    """The rule file has mistakes."""

    exit_code = ExitCode.NO


class PlanError(MigrateError):
    """Rules, source and target do not fit together."""

    exit_code = ExitCode.NO


class CheckpointError(MigrateError):
    """A checkpoint or a template cannot be read."""


class RefusedError(MigrateError):
    """The answer is no, and nothing was written."""

    exit_code = ExitCode.NO


class VerifyError(MigrateError):
    """What was written is not what was meant."""

    exit_code = ExitCode.NO


class StoppedError(MigrateError):
    """Stopped part-way; nothing was published."""

    exit_code = ExitCode.STOPPED


def listed(names: Sequence[str], most: int) -> str:
    """The first of some names for a sentence, and how many more there are: `a`, `b` and 3 more."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def nearest(word: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The candidate that is most like `word`, or None when none is like it."""
    found = difflib.get_close_matches(word, list(candidates), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """``did you mean `x`?`` for the nearest candidate, or None."""
    found = nearest(word, candidates)
    return f"did you mean `{found}`?" if found else None
