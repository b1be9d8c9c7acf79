"""Chunks for the loads to come, as `apply`, `upgrade`, `tune` and `plan` choose and report them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from migrate.cli import options
from migrate.codes import InvalidUsage
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.planning.chunking.loads import LoadsToCome
    from migrate.planning.model import Plan
    from migrate.report.view import Report


def refuse_single_file(dst: str, load_meshes: Sequence[str]) -> None:
    """Refuses `--for` where DST has no chunks.

    Raises:
      UsageError: DST is a single file (`InvalidUsage`).
    """
    from migrate.engine.outputs.registry import is_single_file

    if load_meshes and is_single_file(dst):
        message = f"`{dst}` is a single file, which has no chunks"
        raise UsageError(InvalidUsage.at(message, help="remove `--for`, or write a directory"))


def chosen_chunks(
    plan: Plan, load_meshes: Sequence[str], partition: str | None, link: Literal["auto", "never"] = "auto"
) -> Plan:
    """Returns the plan with chunks that suit the loads of `--for`; without `--for`, the plan itself."""
    from migrate.api.tuning import choose_chunks

    if not load_meshes:
        return plan
    meshes = options.meshes_of(load_meshes)
    return choose_chunks(plan, meshes, partition=partition if meshes else None, link=link)


def with_reads(
    report: Report,
    plan: Plan,
    load_meshes: Sequence[str],
    partition: str | None,
    *,
    of_target: bool,
    verbose: bool,
    ends: bool,
    after: str = "afterwards",
) -> Report:
    """Returns the report of a plan with the read amplification of the loads.

    Args:
      report: the report.
      plan: the plan.
      load_meshes: the meshes of `--for`.
      partition: the partition file of these meshes.
      of_target: whether the mesh of the plan's target counts as one where there is no other.
      verbose: whether every array is named that is decoded more than once.
      ends: whether the last sentence of the report stays the last.
      after: when the target exists, in words.
    """
    from migrate.api.tuning import loads_of
    from migrate.engine.loading.amplification import amplifications
    from migrate.planning.chunking.loads import loads_of_target
    from migrate.report.of_reads import reads_data, reads_sentences

    meshes = options.meshes_of(load_meshes)
    if load_meshes:
        loads: LoadsToCome | None = loads_of(plan, meshes, partition if meshes else None)
    else:
        loads = loads_of_target(plan) if of_target else None
    if loads is None or not plan.applicable:
        return report
    found = amplifications(plan, loads)
    last = len(report.summary) - (1 if ends and report.summary else 0)
    summary = (*report.summary[:last], *reads_sentences(found, after=after, verbose=verbose), *report.summary[last:])
    return replace(report, summary=summary, data={**report.data, "reads": reads_data(found)})
