"""The decisions about the optimizer's state, and how partial decisions are combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrate.errors import Diagnostic
from migrate.planning.model import Created, Dropped, Task
from migrate.planning.moments.states import TransformState
from migrate.rules.model import Move
from migrate.tree import KeyPath


@dataclass(frozen=True, slots=True)
class FollowResult:
    """Decisions about a part of the optimizer's state.

    Attributes:
      tasks, dropped: moments that move, and those that are dropped with their params.
      created: target leaves that the optimizer initializes.
      failed: moments whose task could not be made.
      excused: target leaves of the failed moments.
      barred: leaves of the optimizer's state. They do not keep their key path as other leaves do, since the target's
        leaf at this path may belong to another transform.
      unbarred: barred leaves that belong to the same transform at the same place in the target.
      lost: states that the target's optimizer does not have.
      fresh: states of the target's optimizer that the source does not have.
      cut: rules that recut tensors for an optimizer of which only the fields of its state are known.
    """

    tasks: tuple[Task, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    created: tuple[Created, ...] = ()
    failed: tuple[KeyPath, ...] = ()
    excused: tuple[KeyPath, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    barred: tuple[KeyPath, ...] = ()
    unbarred: tuple[KeyPath, ...] = ()
    lost: tuple[TransformState, ...] = ()
    fresh: tuple[TransformState, ...] = ()
    cut: tuple[Move, ...] = ()


def combine(parts: Sequence[FollowResult]) -> FollowResult:
    """Returns all parts as one."""
    return FollowResult(
        tasks=tuple(x for part in parts for x in part.tasks),
        dropped=tuple(x for part in parts for x in part.dropped),
        created=tuple(x for part in parts for x in part.created),
        failed=tuple(x for part in parts for x in part.failed),
        excused=tuple(x for part in parts for x in part.excused),
        diagnostics=tuple(x for part in parts for x in part.diagnostics),
        barred=tuple(x for part in parts for x in part.barred),
        unbarred=tuple(x for part in parts for x in part.unbarred),
        lost=tuple(x for part in parts for x in part.lost),
        fresh=tuple(x for part in parts for x in part.fresh),
        cut=tuple(x for part in parts for x in part.cut),
    )
