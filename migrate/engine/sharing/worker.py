"""The functions that an executor runs: each gets plain JSON values, and returns plain JSON values.

A process keeps the last plan that it made, since it gets several shares of one run.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from migrate.engine.outputs.registry import output_of
from migrate.engine.sharing.dealing import Dealt, Share
from migrate.engine.sharing.order import Order, Planned, jobs_of, plan_again
from migrate.engine.sharing.staging import StopFile, stage_share
from migrate.engine.workspace.any_place import shared_workspace
from migrate.events import ignore
from migrate.garbage import collect_rarely
from migrate.places.names import path_of
from migrate.places.unfinished import writing

_LOOK_SECONDS = 1.0
"""A forked process looks for its parent this often: processes that were forked later keep its pipe open."""


class _Desk:
    """The last plan of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, ...] = ()
        self._planned: tuple[Planned, Dealt] | None = None

    def plan(self, order: Order) -> tuple[Planned, Dealt]:
        """Returns the plan of an order, which is made once."""
        key = (order.workspace, order.digest, order.origin["source"], order.modes)
        with self._lock:
            if self._planned is None or key != self._key:
                self._planned = None
                planned = plan_again(order)
                self._planned, self._key = (planned, Dealt(planned.plan)), key
            return self._planned


_DESK = _Desk()


def run_share(order: Mapping[str, Any], share: Mapping[str, Any], shares: int) -> dict[str, Any]:
    """Stages a share.

    Args:
      order: an `Order`.
      share: a `Share`.
      shares: the number of shares into which the plan was divided.

    Returns:
      A `StagedShare`.

    Raises:
      MigrateError: as `plan_again` and `stage_share`; the share would fail again.
    """
    told, mine = Order.from_json(order), Share.from_json(share)
    planned, dealt = _DESK.plan(told)
    work, output = shared_workspace(told.destination, told.workspace), output_of(told.destination, planned.plan)
    options = replace(told.apply_options, jobs=jobs_of(told))
    how: dict[str, Any] = {"origin": told.origin, "options": options, "stopped": StopFile(work)}
    how["digests"] = planned.digests if options.verify != "none" else {}
    return stage_share(dealt, mine, shares, planned.reader, output, work, **how).to_json()


def check_share(order: Mapping[str, Any], result: str, digests: Sequence[tuple[Sequence[str], str]]) -> int:
    """Reads arrays of the result back and compares each with the digest of what was written; returns their number.

    Args:
      order: an `Order`.
      result: the result before it is published.
      digests: the arrays by key path, with their digests.

    Raises:
      VerifyError: arrays differ (`VerificationFailed`).
      CheckpointError: the result cannot be read.
    """
    told = Order.from_json(order)
    planned, _ = _DESK.plan(told)
    meant = {tuple(path): digest for path, digest in digests}
    options = replace(told.apply_options, jobs=jobs_of(told))
    output, place = output_of(told.destination, planned.plan), path_of(result)
    with writing(place):
        return output.check_digests(planned.plan, place, meant, (), options, ignore)


def begin() -> None:
    """Prepares a process of a local pool: Ctrl-C is for its parent, and it ends when its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_rarely()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    parent, pid = multiprocessing.parent_process(), os.getppid()
    if parent is None:
        return
    while os.getppid() == pid and not multiprocessing.connection.wait([parent.sentinel], _LOOK_SECONDS):
        pass
    os._exit(1)
