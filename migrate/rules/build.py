"""Builds rules from their fields, and checks the conditions that involve several fields.

Each name on the right must be captured by every pattern on the left or be created by an op that extends over it, and
`over:` must name a capture to reduce or a new name to extend over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from migrate.codes import InvalidInclude, InvalidOver, InvalidPattern, InvalidValue, UnboundCapture
from migrate.errors import Diagnostic, Span, did_you_mean, nearest
from migrate.rules.field_types import FieldValues
from migrate.rules.input_names import input_problems
from migrate.rules.model import Create, Drop, Include, Init, Move, RuleOp
from migrate.rules.pattern import Pattern
from migrate.rules.pattern_types import LocatedPattern


def build_move(
    sources: Sequence[LocatedPattern], targets: Sequence[LocatedPattern], fields: FieldValues | None = None
) -> Move:
    """Returns a move; `fields` are the other fields of a rule that is a mapping."""
    get = fields.get if fields else lambda _, default=None: default
    return Move(
        sources=_patterns(sources),
        targets=_patterns(targets),
        span=_span(sources),
        ops=tuple(get("ops", ())),
        excepts=_patterns(get("except", ())),
        optional=get("optional", False),
        moments=get("moments"),
        names=tuple(one.name for one in sources if one.name),
        maybe=frozenset(one.name for one in sources if one.maybe),
        copy=get("copy", False),
        reverse=get("reverse", True),
        target_spans=tuple(one.span for one in targets),
    )


def build_drop(fields: FieldValues) -> Drop:
    """Returns a drop rule."""
    return Drop(
        sources=_patterns(fields.get("from")),
        span=_span(fields.get("from")),
        excepts=_patterns(fields.get("except", ())),
        optional=fields.get("optional", False),
        assert_zero=fields.get("assert") == "zero",
        equal=equal.pattern if (equal := _equal(fields)) else None,
        ops=tuple(fields.get("ops", ())),
    )


def _equal(fields: FieldValues) -> LocatedPattern | None:
    """Returns the pattern of the leaf that a dropped one has to equal."""
    assertion = fields.get("assert")
    return assertion.get("equal") if isinstance(assertion, FieldValues) else None


def drop_problems(rule: Drop, fields: FieldValues) -> Iterator[Diagnostic]:
    """Yields the inconsistencies of a drop: names that are not captured, and ops that compare nothing."""
    equal = _equal(fields)
    if equal is not None:
        yield from _right_side(equal)
        captured = set(rule.sources[0].captures).intersection(*(pattern.captures for pattern in rule.sources[1:]))
        for name in sorted(equal.pattern.names - captured):
            yield _uncaptured(name, equal, rule.sources, captured)
    for op in rule.ops:
        if equal is None:
            yield InvalidValue.at(
                "`ops` of a drop need `assert: {equal: …}`, with which the result is compared", span=op.span
            )
        elif op.op.role != "map":
            yield InvalidValue.at(f"`{op.op.name}` joins or divides arrays, and a drop compares one", span=op.span)


def build_create(fields: FieldValues) -> Create:
    """Returns a create rule."""
    return Create(
        targets=_patterns(fields.get("to")),
        init=build_init(fields.get("init")),
        span=_span(fields.get("to")),
        excepts=_patterns(fields.get("except", ())),
        optional=fields.get("optional", False),
    )


def build_init(value: str | FieldValues) -> Init:
    """Returns an initial value from a keyword, a constant or a seed."""
    if isinstance(value, FieldValues):
        if (rng := value.get("rng")) is not None:
            return Init("rng", rng.get("seed"))
        return Init("constant", value.get("constant"))
    kinds: dict[str, Init] = {"zeros": Init("zeros"), "ones": Init("ones"), "template": Init("template")}
    return kinds[value]


def move_problems(move: Move, targets: Iterable[LocatedPattern]) -> Iterator[Diagnostic]:
    """Yields the inconsistencies of a move: names that are not captured, and unsuitable values of `over:`."""
    captured = set(move.sources[0].captures).intersection(*(pattern.captures for pattern in move.sources[1:]))
    made = {op.over for op in move.ops if op.over and op.op.role == "extend"}
    for placed in targets:
        yield from _right_side(placed)
        for name in sorted(placed.pattern.names - captured - made):
            yield _uncaptured(name, placed, move.sources, captured)
    for op in move.ops:
        if op.over is not None:
            yield from _over(op, op.over, move, captured, made)
    yield from input_problems(move)


def include_problems(
    include: Include, places: Sequence[LocatedPattern], to: LocatedPattern | None = None
) -> Iterator[Diagnostic]:
    """Yields the reasons why places cannot be prepended to the patterns of an included file: unnamed wildcards, which
    would be numbered together with those of the file, and names that only one of the places uses.
    """
    for placed in places:
        for name in (name for name in placed.pattern.captures if not name.isidentifier()):
            message = f"`{placed.pattern}` contains a wildcard without a name"
            yield InvalidInclude.at(
                message, span=placed.span_of_name(name), help="name it in braces, such as `{at:**}`"
            )
    yield from _right_side(to) if to else ()
    for error in include.under.left_side_errors() if include.under else ():
        span = places[0].node.span_of(places[0].start + error.offset, error.length)
        yield InvalidPattern.at(f"`under: {include.under}` is invalid: {error}", span=span)
    if include.under and include.to:
        for name in sorted(include.to.names - set(include.under.captures)):
            yield UnboundCapture.at(
                f"`to` uses `{name}`, which `under` does not capture",
                span=places[-1].span_of_name(name),
                label=did_you_mean(name, include.under.captures),
            )


def _right_side(placed: LocatedPattern) -> Iterator[Diagnostic]:
    for error in placed.pattern.right_side_errors():
        span = placed.node.span_of(placed.start + error.offset, error.length)
        yield InvalidPattern.at(f"invalid pattern `{placed.pattern}`: {error}", span=span)


def _uncaptured(name: str, placed: LocatedPattern, sources: Sequence[Pattern], captured: set[str]) -> Diagnostic:
    span = placed.span_of_name(name)
    if not name.isidentifier():
        star = name.rstrip("0123456789")
        message = f"`{placed.pattern}` contains more `{star}` than the left-hand side"
        return UnboundCapture.at(message, span=span, help="use a name in braces on both sides instead")
    partly = any(name in pattern.captures for pattern in sources)
    which = "not captured by every pattern of `from`" if partly else "not captured on the left"
    known = ", ".join(f"`{one}`" for one in sorted(captured) if one.isidentifier()) or "nothing"
    return UnboundCapture.at(
        f"`{placed.pattern}` uses `{name}`, which is {which}",
        span=span,
        label=_meant(name, captured, braces=f"{{{name}}}" in placed.pattern.text),
        help=f"the left-hand side captures {known}; `split` and `unstack` create new names with `over: {name}`",
    )


def _over(op: RuleOp, over: str, move: Move, captured: set[str], made: set[str]) -> Iterator[Diagnostic]:
    reduces = op.op.role == "reduce"
    on_right = [over in target.names for target in move.targets]
    spelled_out = any(target.distinguishes(over) for target in move.targets)
    if reduces and over not in captured | made:
        problem, near = f"`from` does not capture `{over}`", captured
    elif reduces and spelled_out:
        problem, near = f"`{over}` also appears in `to`, so nothing is reduced", set()
    elif not reduces and over in captured:
        problem, near = f"`from` already captures `{over}`; use a new name", set()
    elif not reduces and not all(on_right) and over not in _reduced(move):
        names = {name for target in move.targets for name in target.names}
        problem, near = f"`{over}` does not appear in `to`", names - captured
    else:
        return
    yield InvalidOver.at(
        f"`{op.op.name}` over `{over}`: {problem}", span=op.over_span or op.span, label=_meant(over, near)
    )


def _meant(name: str, captured: Collection[str], *, braces: bool = False) -> str | None:
    """Returns ``did you mean `x`?`` for the nearest capture, or the only one; in braces where those are marked too."""
    meant = next(iter(captured)) if len(captured) == 1 else nearest(name, captured)
    if meant is None:
        return None
    return f"did you mean `{{{meant}}}`?" if braces else f"did you mean `{meant}`?"


def _reduced(move: Move) -> set[str]:
    return {op.over for op in move.ops if op.over and op.op.role == "reduce"}


def _patterns(placed: Iterable[LocatedPattern]) -> tuple[Pattern, ...]:
    return tuple(one.pattern for one in placed)


def _span(placed: Sequence[LocatedPattern]) -> Span:
    """Returns the span of a rule: its patterns up to the end of the first line."""
    first = placed[0].span
    line = [one.span for one in placed if one.span.line == first.line == one.span.end_line]
    return replace(first, end_line=line[-1].end_line, end_column=line[-1].end_column) if line else first
