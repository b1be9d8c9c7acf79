"""Diagnostics, exit codes and the exception tree.

    MigrateError                 exit 2   any error that migrate raises on purpose
    ├── UsageError               exit 2   the call is invalid
    ├── RuleFileError            exit 1   the rule file has mistakes (M0xx, M1xx)
    ├── PlanError                exit 1   rules, source and target do not fit together (M2xx, M3xx)
    ├── CheckpointError          exit 2   a checkpoint or template cannot be read (M4xx)
    ├── RefusedError             exit 1   refused: DST exists, already migrated, a value would change (M5xx)
    ├── VerifyError              exit 1   the written checkpoint differs from the plan (M5xx)
    └── StoppedError             exit 3   stopped, nothing was published, the same command resumes

Any other exception that escapes is a bug in migrate (`InternalError`, exit code 2). An exception carries all its
diagnostics at once. A diagnostic is a value; `migrate.report` prints it. `ResumeWarning` is a warning of Python.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal

Severity = Literal["error", "warning", "note"]


class ExitCode(IntEnum):
    """The exit codes of the process; public, because scripts rely on them."""

    OK = 0
    """Success: yes, or done."""
    NO = 1
    """The answer is no: differences, rule errors, a failed verification, a plan that cannot be applied."""
    FAILED = 2
    """No answer: invalid usage, unreadable input, or a bug."""
    STOPPED = 3
    """Stopped; nothing was published; the same command resumes."""
    INTERRUPTED = 130
    """Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of a rule file; lines and columns count from 1, the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: its code, message and location.

    Attributes:
      code: the number of its `Code`; `migrate explain CODE` prints its page.
      message: one self-contained sentence.
      span: the location in a rule file, or None.
      label: a short text to print under the caret.
      paths: the key paths concerned, as `format_path` prints them.
      help: the next step for the user.
      snippet: lines of code that the help refers to, to be pasted.
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    label: str | None = None
    paths: tuple[str, ...] = ()
    help: str | None = None
    snippet: tuple[str, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether it prevents the requested action."""
        return self.severity == "error"


class Code:
    """One kind of diagnostic; a subclass is named after the problem, and its docstring is its `migrate explain` page.

    Attributes:
      number: the stable number, such as `M201`, by which users look it up.
      severity: the default severity; `at` can override it.
      is_lint: whether it is a matter of taste, which a policy can allow, also for some of its leaves.
    """

    registry: ClassVar[dict[str, type[Code]]] = {}
    """All subclasses by number."""
    number: ClassVar[str]
    severity: ClassVar[Severity] = "error"
    is_lint: ClassVar[bool] = False

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
        snippet: Iterable[str] = (),
        severity: Severity | None = None,
    ) -> Diagnostic:
        """Returns a diagnostic of this kind."""
        chosen = severity or cls.severity
        return Diagnostic(cls.number, chosen, message, span, label, tuple(paths), help, tuple(snippet))


class MigrateError(Exception):
    """Base class of all errors that migrate raises on purpose; carries all diagnostics, not only the first."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(d.message for d in diagnostics))
        self.diagnostics: Sequence[Diagnostic] = diagnostics

    def __reduce__(self) -> tuple[type[MigrateError], tuple[Diagnostic, ...]]:
        """Lets an error of a worker reach the process that waits for it."""
        return type(self), tuple(self.diagnostics)


class UsageError(MigrateError):
    """The call is invalid."""


class RuleFileError(MigrateError):
    """The rule file has mistakes."""

    exit_code = ExitCode.NO


class PlanError(MigrateError):
    """Rules, source and target do not fit together."""

    exit_code = ExitCode.NO


class CheckpointError(MigrateError):
    """A checkpoint or a template cannot be read."""


class RefusedError(MigrateError):
    """The action was refused, and nothing was written."""

    exit_code = ExitCode.NO


class VerifyError(MigrateError):
    """The written checkpoint differs from the plan."""

    exit_code = ExitCode.NO


class StoppedError(MigrateError):
    """The run was stopped; nothing was published."""

    exit_code = ExitCode.STOPPED


class ResumeWarning(UserWarning):
    """A warning of `migrate.resume`: a step was skipped, or its record differs from the model."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        advice = f"; {diagnostic.help}" if diagnostic.help else ""
        super().__init__(f"{diagnostic.code}: {diagnostic.message}{advice}")
        self.diagnostic = diagnostic


def listed(names: Sequence[str], most: int) -> str:
    """Returns the first `most` names and the number of the others, for a sentence: `a`, `b` and 3 more."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def nearest(word: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Returns the candidate most similar to `word`, or None if none is similar enough."""
    found = difflib.get_close_matches(word, list(candidates), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Returns ``did you mean `x`?`` for the nearest candidate, or None."""
    found = nearest(word, candidates)
    return f"did you mean `{found}`?" if found else None
