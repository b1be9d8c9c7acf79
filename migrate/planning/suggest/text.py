"""Writes a suggestion as the text of a rule file: rules in the order of their sources, with reasons and doubts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from migrate.planning.rule_text.generalize import Generalizer
from migrate.planning.rule_text.numbers import split_number
from migrate.planning.rule_text.rule_drafts import OVER, RuleDraft, pattern, text_of
from migrate.planning.rule_text.write import drop_line, flow, move_lines, quoted
from migrate.planning.suggest.leftovers import LeftoverRule
from migrate.planning.suggest.values import Doubt
from migrate.printable import printable
from migrate.rules.editor_line import EDITOR_LINE
from migrate.tree import AbstractTree, KeyPath, format_path

_MOST_ALTERNATIVES = 3
"""The maximum number of alternatives below one rule; `--json` lists all of them."""

_ABOVE = "as for the rule above"
"""The reason of a rule with the same doubts as the rule before."""


def rule_file(
    *,
    head: Sequence[str],
    target: Mapping[str, Any],
    rules: Sequence[RuleDraft],
    settled: Sequence[LeftoverRule],
    unplaced: tuple[Sequence[KeyPath], Sequence[KeyPath]],
    source: AbstractTree,
    template: AbstractTree,
    comments: bool = True,
    include: str = "",
) -> str:
    """Returns the whole file.

    Args:
      head: lines of the comment at its top.
      target: the fields of `target:`.
      rules: the drafts of the rules that move leaves.
      settled: the rules that drop and create leaves.
      unplaced: source and target leaves that are not placed.
      source: the checkpoint's tree, for shapes and for short alternatives.
      template: the template's tree, for shapes.
      comments: whether the file has comments.
      include: the value of `include:`; empty for none.
    """
    lines = [EDITOR_LINE] if comments else []
    lines += [*(f"# {line}".rstrip() for line in head), "migrate: 1", f"target: {flow(target)}"]
    lines += [f"include: {include}"] if include else []
    generalizer = None if not comments else Generalizer([path for path, leaf in source.leaves.items() if leaf.has_data])
    before: tuple[str, ...] = ()
    body: list[str] = []
    for rule in rules:
        why = tuple(dict.fromkeys(doubt.why for _, doubt in rule.doubts))
        body += _move(rule, generalizer, why if why != before else (_ABOVE,))
        before = why
    body += [line for decision in settled for line in _settled(decision)]
    lines += ["rules:", *body] if body else ["rules: []"]
    lines += _unplaced("source leaves without a target; move them by a rule, or `drop:` them", unplaced[0], source)
    lines += _unplaced("target leaves without a source; move a leaf there, or `create:` them", unplaced[1], template)
    return "".join(f"{printable(line)}\n" for line in lines)


def _move(rule: RuleDraft, generalizer: Generalizer | None, why: Sequence[str]) -> Iterator[str]:
    if generalizer is not None:
        yield from _doubts(rule, generalizer, why)
    left, right = [pattern(side) for side in rule.sources], [pattern(side) for side in rule.targets]
    excepts = [pattern(side) for side in rule.excepts]
    comment = "" if rule.doubts else _why(rule)
    yield from move_lines(left, right, rule.ops, excepts=excepts, comment=comment, copy=rule.copy, follow=rule.follow)


def _why(rule: RuleDraft) -> str:
    numbered = any(re.search(r"\{[i-n][:}]", segment) for side in rule.sources for segment in side)
    reasons = ", ".join(rule.reasons) or "by shape"
    return f"{reasons}; layers by number" if numbered else reasons


def _doubts(rule: RuleDraft, generalizer: Generalizer, reasons: Sequence[str]) -> Iterator[str]:
    if not rule.doubts:
        return
    yield from (f"  # unproved: {why}" for why in reasons)
    lines = list(dict.fromkeys(_alternatives(rule, generalizer)))
    left = _MOST_ALTERNATIVES
    for line in lines:
        targets = line.split(" | ")
        if left:
            yield f"  #   or: {' | '.join(targets[:left])}"
        left -= min(left, len(targets))
    count = sum(len(line.split(" | ")) for line in lines)
    if count > _MOST_ALTERNATIVES:
        yield f"  #   … {count - _MOST_ALTERNATIVES} more (`--json` lists all)"


def _alternatives(rule: RuleDraft, generalizer: Generalizer) -> Iterator[str]:
    """Yields other targets, in patterns as short as the rule's, and other ops."""
    doubts = [(path, doubt) for path, doubt in rule.doubts if doubt.others]
    places: dict[str, list[str]] = {}
    for rank in range(max((len(doubt.others) for _, doubt in doubts), default=0)):
        rows = [
            RuleDraft((text_of(path),), (_marked(doubt.others[rank], rule),), (), frozenset({path}), frozenset())
            for path, doubt in doubts
            if len(doubt.others) > rank and _is_first(doubt.others[rank], rule)
        ]
        for row in generalizer.places(rows):
            places.setdefault(pattern(row.sources[0]), []).append(pattern(row.targets[0]))
    yield from (f"{source} -> {' | '.join(targets)}" for source, targets in places.items())
    yield from (str(way) for _, doubt in rule.doubts for way in doubt.alternatives)


def _spread(rule: RuleDraft) -> tuple[int, str] | None:
    """Returns the position of the index in the targets of a rule that unstacks, and the text before it."""
    if not any(op.startswith("unstack") and f"over: {OVER}" in op for op in rule.ops):
        return None
    places = [(at, segment) for at, segment in enumerate(rule.targets[0]) if f"{{{OVER}}}" in segment]
    return (places[0][0], places[0][1].removesuffix(f"{{{OVER}}}")) if places else None


def _is_first(path: KeyPath, rule: RuleDraft) -> bool:
    """Whether an alternative is for the first part of an unstacked array, which represents all parts."""
    spread = _spread(rule)
    return spread is None or len(path) <= spread[0] or split_number(path[spread[0]])[1] in (0, None)


def _marked(path: KeyPath, rule: RuleDraft) -> tuple[str, ...]:
    spread, segments = _spread(rule), text_of(path)
    if spread is None or len(path) <= spread[0] or split_number(path[spread[0]])[0] != spread[1]:
        return segments
    return (*segments[: spread[0]], f"{spread[1]}{{{OVER}}}", *segments[spread[0] + 1 :])


def _settled(decision: LeftoverRule) -> Iterator[str]:
    yield f"  # {decision.why}"
    for text in decision.patterns:
        if decision.verb == "create":
            yield f"  - create: {{to: {quoted(text)}, init: {decision.value}}}"
        else:
            yield drop_line(text, assertion=decision.value, ops=decision.ops)


def _unplaced(heading: str, paths: Collection[KeyPath], tree: AbstractTree) -> list[str]:
    if not paths:
        return []
    return ["", f"# not placed: {heading}", *(f"#   {format_path(path)}  {tree.leaves[path]}" for path in paths)]


def alternatives_of(doubts: Iterable[Doubt]) -> list[dict[str, str]]:
    """Returns alternatives for programs: other targets, and other ops to the same target with a description."""
    doubts = tuple(doubts)
    found = [{"target": format_path(path)} for doubt in doubts for path in doubt.others]
    return found + [
        {"way": way.words, "ops": f"[{', '.join(f'{{{op}}}' for op in way.ops)}]"}
        for doubt in doubts
        for way in doubt.alternatives
    ]
