"""The leaves of a plan that only one side has, as rows: dropped ones of the source, created ones of the target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migrate.errors import Span
from migrate.planning.model import Created, Dropped
from migrate.report.amounts import plural, size
from migrate.report.collapse import Line, any_shape, collapse_paths, merge_integers, segments
from migrate.report.view import Row


def drop_rows(dropped: Iterable[Dropped]) -> Iterable[Row]:
    """Yields a line for each group of dropped leaves, with their size and whether it can be recovered."""
    lines = [
        Line((segments(d.source),), (d.rule, d.assert_zero, d.equal is None, d.leaf.has_data, str(d.leaf)), (d,))
        for d in dropped
    ]
    for line in any_shape(merge_integers(lines)):
        first: Dropped = line.members[0]
        yield Row("-", "drop", line.texts[0], "", _drop_detail(line.members), "", place(first.rule))


def _drop_detail(dropped: Sequence[Dropped]) -> str:
    if not dropped[0].leaf.has_data:
        return f"{plural(len(dropped), 'leaf')} without data"
    nbytes = size(sum(drop.leaf.nbytes for drop in dropped))
    many = f"{plural(len(dropped), 'leaf')}, " if len(dropped) > 1 else ""
    return f"{many}{nbytes}, {_condition(dropped)}"


def _condition(dropped: Sequence[Dropped]) -> str:
    if dropped[0].assert_zero:
        return "only if all zero"
    equal = [drop.equal for drop in dropped if drop.equal is not None]
    if not equal:
        return "not recoverable"
    return f"only if equal to {', '.join(collapse_paths(equal))}"


def creation_rows(created: Iterable[Created]) -> Iterable[Row]:
    """Yields a line for each group of created leaves, with their initial values."""
    lines = [Line((segments(c.target),), (c.rule, c.init, c.remark, str(c.leaf)), (c,)) for c in created]
    for line in any_shape(merge_integers(lines)):
        first: Created = line.members[0]
        yield Row("+", "create", line.texts[0], "", _creation_detail(line.members), "", place(first.rule))


def _creation_detail(created: Sequence[Created]) -> str:
    shapes = list(dict.fromkeys(str(creation.leaf) for creation in created))
    what = ", ".join(shapes) if len(shapes) <= 3 else f"{len(shapes)} shapes"
    many = f"{len(created)} × " if len(created) > len(shapes) == 1 else ""
    total = f" ({plural(len(created), 'leaf')})" if len(created) > len(shapes) > 1 else ""
    value = initial(created[0])
    remark = f", {created[0].remark}" if created[0].remark else ""
    return f"{value}{': ' if value else ''}{many}{what}{total}{remark}"


def initial(creation: Created) -> str:
    """Returns how a created leaf gets its value; an empty string for a leaf without data."""
    init = creation.init
    if init is None:
        return ""
    texts = {"constant": f"constant {init.value}", "rng": f"rng seed {init.value}"}
    return texts.get(init.kind, init.kind)


def place(span: Span | None) -> str:
    """Returns file and line of a rule."""
    return f"{span.file}:{span.line}" if span else ""
