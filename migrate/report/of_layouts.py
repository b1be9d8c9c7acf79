"""A second layout of a step as a report: what `expand` adds, and what `contract` drops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from migrate.engine.layouts.contract import Contracted, Contraction
from migrate.engine.layouts.expand import Expanded, Expansion
from migrate.planning.model import Plan
from migrate.report.amounts import plural, size
from migrate.report.of_receipt import receipt_report
from migrate.report.view import Report


def expansion_planned(planned: Report, plan: Plan, expansion: Expansion) -> Report:
    """Returns the report of a plan as one that adds an item to a step.

    Args:
      planned: the report of the plan.
      plan: the plan.
      expansion: the item that is added.
    """
    step, item, name = expansion.step, expansion.item, expansion.name
    *summary, last = planned.summary
    sentences = tuple(_additions(plan, expansion)) if plan.applicable else ()
    data = {"step": str(step), "item": item, "name": name, "data_bytes": data_bytes(plan)}
    return replace(
        planned, command="expand", summary=(*summary, *_placed(sentences, last)), data={**planned.data, **data}
    )


def _placed(sentences: tuple[str, ...], last: str) -> tuple[str, ...]:
    """Returns the sentences before "Nothing was written.", which ends a dry run."""
    return (*sentences, last) if last.startswith("Nothing") else (last, *sentences)


def _additions(plan: Plan, expansion: Expansion) -> Iterator[str]:
    step, item, name = expansion.step, expansion.item, expansion.name
    replaced = " and ".join(expansion.replaced)
    yield f"Adds item {name} to step {step}, beside {item}. No existing file changes but {replaced}."
    nbytes = data_bytes(plan)
    if nbytes:
        yield f"Adds at most {size(nbytes)} of array data; all other arrays share the data files of {item}."
    else:
        yield f"Adds no array data: {name} shares the data files of {item}, and has small files for metadata."


def data_bytes(plan: Plan) -> int:
    """Returns an upper bound of the array data that an expansion adds: of arrays that are written or copied."""
    return plan.bytes_written + sum(task.in_bytes for task in plan.tasks if task.mode == "copy")


def expanded_report(expanded: Expanded) -> Report:
    """Reports what `expand` added."""
    receipt, name, step = expanded.receipt, expanded.name, expanded.step
    data = {"step": str(step), "item": expanded.item, "name": name, "added_bytes": expanded.added_bytes}
    if receipt.already_done:
        sentence = (
            f"Already done: {name} of {step} is the result of this plan, written on {receipt.published}. "
            f"`migrate verify {receipt.destination}` verifies it."
        )
        return Report("expand", summary=(sentence,), data={**_receipt_data(expanded), **data})
    report = receipt_report(replace(receipt, dead_bytes=0))
    added = size(expanded.added_bytes)
    sentences = (
        f"{step} has {added} more on disk. Old code loads {expanded.item}, new code loads {name}.",
        f"`migrate contract {step} --keep {expanded.item}` goes back; --keep {name} drops the old layout.",
    )
    return replace(report, command="expand", summary=(*report.summary, *sentences), data={**report.data, **data})


def _receipt_data(expanded: Expanded) -> dict[str, Any]:
    return dict(receipt_report(expanded.receipt).data)


def contracted_report(done: Contracted) -> Report:
    """Reports what `contract` dropped."""
    dropped = ", ".join(done.dropped)
    checked = f"; {plural(done.decoded, 'leaf')} of it decoded" if done.decoded else ""
    first = (
        f"Dropped {dropped} from {done.step}: {size(done.freed_bytes)} freed."
        if dropped
        else (f"Completed an earlier run on {done.step}; nothing was left to drop.")
    )
    return Report(
        "contract",
        summary=(first, f"Kept {done.kept}, which has every byte that it needs{checked}."),
        data={
            "step": str(done.step),
            "kept": done.kept,
            "dropped": list(done.dropped),
            "freed_bytes": done.freed_bytes,
            "decoded": done.decoded,
        },
    )


def contraction_planned(plan: Contraction) -> Report:
    """Reports what `contract` would drop."""
    names = ", ".join(plan.dropped) or "nothing more"
    return Report(
        "contract",
        summary=(f"Would drop {names} from {plan.step}, and keep {plan.kept}.", "Nothing was written."),
        data={"step": str(plan.step), "kept": plan.kept, "dropped": list(plan.dropped)},
    )
