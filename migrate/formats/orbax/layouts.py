"""Several layouts of one state in one step: which items are layouts, of which item, and the record of each.

The step's custom metadata lists the items that `migrate expand` added, below migrate's own record:
`{"migrate": {…, "layouts": {"state_v2": {"item": "state", "record": {…}}}}}`. A listed item is a layout as long as the
item that it was made from is in the step; afterwards it is an item like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migrate.formats.digest_record import RECORD_KEY

LAYOUTS_KEY = "layouts"
"""The key of the layouts in migrate's record of a step."""


@dataclass(frozen=True, slots=True)
class StepLayout:
    """One item that is another layout of an item of the same step.

    Attributes:
      item: the item that it was made from.
      record: migrate's record of the layout, as JSON.
    """

    item: str
    record: Mapping[str, Any]


def recorded_layouts(custom: Mapping[str, Any]) -> dict[str, StepLayout]:
    """Returns the layouts that a step's custom metadata lists, by item name; entries of another form are left out."""
    record = custom.get(RECORD_KEY)
    listed = record.get(LAYOUTS_KEY) if isinstance(record, Mapping) else None
    found = {}
    for name, entry in listed.items() if isinstance(listed, Mapping) else ():
        item, own = (entry.get("item"), entry.get("record")) if isinstance(entry, Mapping) else (None, None)
        if isinstance(item, str) and isinstance(own, Mapping):
            found[name] = StepLayout(item, own)
    return found


def with_layouts(custom: Mapping[str, Any], layouts: Mapping[str, StepLayout]) -> dict[str, Any]:
    """Returns custom metadata that lists exactly these layouts; without layouts, an empty record is removed too."""
    before = custom.get(RECORD_KEY)
    record = {key: value for key, value in before.items() if key != LAYOUTS_KEY} if isinstance(before, Mapping) else {}
    if layouts:
        record[LAYOUTS_KEY] = {name: {"item": one.item, "record": dict(one.record)} for name, one in layouts.items()}
    others = {key: value for key, value in custom.items() if key != RECORD_KEY}
    return {**others, RECORD_KEY: record} if record else others


def present_layouts(custom: Mapping[str, Any], items: Collection[str]) -> dict[str, StepLayout]:
    """Returns the layouts among the items of a step: those whose own item is in the step too."""
    return {name: one for name, one in recorded_layouts(custom).items() if name in items and one.item in items}


def metadata_of_items(custom: Mapping[str, Any], items: Iterable[str]) -> dict[str, Any]:
    """Returns a step's custom metadata as the chosen items have it: with the record of the layout, if it is one."""
    names = list(items)
    layout = recorded_layouts(custom).get(names[0]) if len(names) == 1 else None
    if layout is not None:
        return {**custom, RECORD_KEY: dict(layout.record)}
    is_record = isinstance(custom.get(RECORD_KEY), Mapping)
    return with_layouts(custom, {}) if is_record and LAYOUTS_KEY in custom[RECORD_KEY] else dict(custom)


def layouts_of_one_state(custom: Mapping[str, Any], name: str) -> set[str]:
    """Returns the items that are layouts of the same state as an item, including it, whether or not they exist."""
    listed = recorded_layouts(custom)
    state = {name, *_origins(listed, name)}
    grown = True
    while grown:
        more = {one for one, layout in listed.items() if layout.item in state} - state
        state |= more
        grown = bool(more)
    return state


def _origins(listed: Mapping[str, StepLayout], name: str) -> Iterator[str]:
    seen = {name}
    while name in listed and listed[name].item not in seen:
        name = listed[name].item
        seen.add(name)
        yield name
