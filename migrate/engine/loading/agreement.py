"""Agreement between the processes of a job: what one does, all do, or all stop with one message.

Each agreement is one collective of JAX. A load has two: the first compares what the processes plan, the last their
success. Between them no process waits for another. A save compares the state of a data iterator. A job of one process
has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np

from migrate.codes import DifferentPlans, FailedProcess, InvalidTemplate
from migrate.errors import CheckpointError, MigrateError, PlanError

MESSAGE_BYTES = 1024
"""Room for the text of a process: what it plans, or its error."""

_DONE, _FAILED, _UNREADABLE = range(3)

Result = TypeVar("Result")


def agree(work: Callable[[], Result], describe: Callable[[Result], str]) -> Result:
    """Runs work in every process, and returns its result once all have succeeded with equal descriptions.

    All processes have to call it. It waits for them.

    Args:
      work: what this process does; it must not wait for another process.
      describe: text that has to be equal in all processes.

    Raises:
      PlanError: the descriptions differ (`DifferentPlans`).
      CheckpointError: other processes cannot read the checkpoint (`FailedProcess`).
      MigrateError: another process failed for another reason (`FailedProcess`); an error of this one is raised itself.
    """
    if jax.process_count() == 1:
        return work()
    try:
        result = work()
    except BaseException as error:
        outcomes = _exchange(_Outcome(_UNREADABLE if is_unreadable(error) else _FAILED, _text(error)))
        if is_unreadable(error) and any(outcome.status == _FAILED for outcome in outcomes):
            _compare(outcomes)  # all processes have to raise the same class, since the caller may try another step
        raise
    _compare(_exchange(_Outcome(_DONE, describe(result))))
    return result


def is_equal_everywhere(text: str) -> bool:
    """Returns whether a text is the same in all processes, which all have to call it.

    Raises:
      MigrateError: a process has ended (`FailedProcess`).
    """
    if jax.process_count() == 1:
        return True
    digest = hashlib.sha256(text.encode()).hexdigest()
    return len({outcome.text for outcome in _exchange(_Outcome(_DONE, digest))}) == 1


def is_unreadable(error: BaseException) -> bool:
    """Whether an error states that a checkpoint cannot be read, and not that a template fails."""
    codes = [found.code for found in error.diagnostics] if isinstance(error, CheckpointError) else []
    return bool(codes) and InvalidTemplate.number not in codes


@dataclass(frozen=True)
class _Outcome:
    """What became of the work of a process."""

    status: int
    text: str

    def encoded(self) -> np.ndarray:
        """Returns it as bytes of a fixed number."""
        text = self.text.encode()[:MESSAGE_BYTES]
        return np.frombuffer(bytes([self.status]) + text.ljust(MESSAGE_BYTES, b"\0"), np.uint8)

    @classmethod
    def decoded(cls, row: np.ndarray) -> _Outcome:
        """Returns the outcome that `encoded` has made bytes of."""
        return cls(int(row[0]), row[1:].tobytes().rstrip(b"\0").decode(errors="ignore"))


def _exchange(mine: _Outcome) -> Sequence[_Outcome]:
    """Returns the outcomes of all processes.

    Raises:
      MigrateError: a process has ended (`FailedProcess`).
    """
    from jax.experimental import multihost_utils

    try:
        rows = np.asarray(multihost_utils.process_allgather(mine.encoded()))
    except (RuntimeError, ValueError) as error:  # jax.errors.JaxRuntimeError is a RuntimeError
        reason = str(error).splitlines()[0]
        message = f"another process has ended or cannot be reached: {reason}"
        raise MigrateError(FailedProcess.at(message, help="look at the output of the processes that ended")) from error
    return [_Outcome.decoded(row) for row in rows]


def _compare(outcomes: Sequence[_Outcome]) -> None:
    """Refuses outcomes that are not all the same success."""
    failed = [number for number, outcome in enumerate(outcomes) if outcome.status != _DONE]
    if failed:
        only_unreadable = all(outcomes[number].status == _UNREADABLE for number in failed)
        kind = CheckpointError if only_unreadable else MigrateError
        count = "" if len(failed) == 1 else f", as did {len(failed) - 1} more of {len(outcomes)} processes"
        message = f"process {failed[0]} failed{count}: {outcomes[failed[0]].text}"
        raise kind(FailedProcess.at(message, help="its own output has the whole error; no model was changed"))
    if len({outcome.text for outcome in outcomes}) > 1:
        plans = "; ".join(f"process {number}: {outcome.text}" for number, outcome in enumerate(outcomes))
        advice = "all processes need the same checkpoint, rule files and code; start the job again"
        raise PlanError(DifferentPlans.at(f"the processes do not plan the same load: {plans}", help=advice))


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
