"""An item of a step that exists, as an output: a second layout of one of its items, which shares the data files.

The item is what `apply` writes for one pytree: it has its own record and digests, so that it can be opened, verified
and moved by itself. Only its place differs: the working directory is beside the step, because Orbax would take it for
an item, and the step lists the item before it appears.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from migrate.codes import NotExpandable
from migrate.engine.items import SINGLE, item_plans
from migrate.engine.outputs.orbax import OrbaxOutput
from migrate.engine.outputs.step_metadata import add_layout
from migrate.formats.digest_record import RECORD_KEY
from migrate.formats.orbax.layouts import StepLayout
from migrate.formats.orbax.metadata import read_custom_metadata
from migrate.planning.model import Plan


class StepItem(OrbaxOutput):
    """The output of `migrate expand`.

    Attributes:
      step: the step.
      item: the item that the layout is made from.
    """

    shares_files = True

    def __init__(self, step: Path, item: str) -> None:
        self.step = step
        self.item = item

    def fit(self, plan: Plan) -> Plan:
        """Returns the plan for one pytree; a target of several items is an error."""
        plan = super().fit(plan)
        items = item_plans(plan)
        if items[0].name == SINGLE:
            return plan
        names = ", ".join(f"`{item.name}`" for item in items)
        message = f"the rules make items of a step ({names}), and `expand` adds one item"
        advice = "remove `items` from `layout:` in the rule file's `target:`"
        problem = NotExpandable.at(message, span=plan.rules.target.span, help=advice)
        return replace(plan, diagnostics=tuple(dict.fromkeys((*plan.diagnostics, problem))))

    def beside(self, place: Path) -> Path:
        """Returns the path beside which the working directory is: that of the step, with the item's name added."""
        step = place.parent
        return step.with_name(f"{step.name}.{place.name}")

    def announce(self, result: Path, place: Path) -> None:
        """Lists the item in the metadata of the step."""
        record = read_custom_metadata(result)[RECORD_KEY]
        add_layout(place.parent, place.name, StepLayout(self.item, record))
