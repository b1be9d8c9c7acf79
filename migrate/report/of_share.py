"""A staged share as a report."""

from __future__ import annotations

from migrate.engine.sharing.staging import StagedShare
from migrate.planning.model import Plan
from migrate.report.amounts import plural, size
from migrate.report.of_plan import short
from migrate.report.view import Report


def share_report(plan: Plan, destination: str, staged: StagedShare | None, share: tuple[int, int]) -> Report:
    """Reports a share, as `stage` prints it at the end.

    Args:
      plan: the plan.
      destination: DST.
      staged: the share; None where DST is finished already.
      share: its number and the number of shares.
    """
    number, count = share
    data = {"share": number, "shares": count, "plan_digest": plan.digest, "already_done": staged is None}
    if staged is None:
        return Report("stage", summary=(f"Already done: {destination} is the result of this plan.",), data=data)
    nbytes = sum(plan.target.leaves[path].nbytes for path in staged.arrays)
    earlier = f", {staged.earlier} of them before" if staged.earlier else ""
    sentence = (
        f"Staged share {number}/{count} of plan {short(plan.digest)}: {plural(len(staged.arrays), 'array')}{earlier}, "
        f"{size(nbytes)}. `migrate commit` publishes {destination} once all shares are staged."
    )
    return Report("stage", summary=(sentence,), data={**data, "arrays": len(staged.arrays), "resumed": staged.earlier})
