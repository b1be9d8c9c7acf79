"""Writes an inverse file: rules, drops, and comments for lost leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrate.errors import Span
from migrate.planning.config import config_name
from migrate.planning.invert.config import InverseConfig
from migrate.planning.invert.model import LeftBehind, LeftKind, Lost, LostConfig
from migrate.planning.invert.rule_inverter import InverseRule
from migrate.planning.model import Plan
from migrate.planning.rule_text.config import config_lines
from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.rule_text.ops import op_text
from migrate.planning.rule_text.write import drop_line, flow, quoted
from migrate.printable import printable
from migrate.rules.editor_line import EDITOR_LINE
from migrate.rules.model import Layout
from migrate.source_names import source_of
from migrate.tree import AbstractTree, KeyPath, format_path

_WHY_LEFT: Mapping[LeftKind, str] = {
    "created": "created by the rules",
    "tied": "assumed equal to a leaf that is used",
    "unused": "their sources cannot be restored",
}


@dataclass(frozen=True, slots=True)
class FileHeader:
    """The inputs of the lines above the rules: the inverted plan, the `layout`, and whether moments follow."""

    plan: Plan
    layout: Layout | None
    follow: bool


def inverse_file(
    header: FileHeader,
    rules: Sequence[InverseRule],
    lost: Sequence[Lost],
    left: Sequence[LeftBehind],
    target: AbstractTree,
    source: AbstractTree,
    config: InverseConfig,
) -> str:
    """Returns the text of the file.

    Args:
      header: the inputs of the lines above the rules.
      rules: the moves.
      lost: source leaves that are not restored bit for bit.
      left: target leaves that are dropped.
      target: the tree that the file is for.
      source: the tree that it leads to.
      config: the inverse of the changes to configs.
    """
    body = [line for rule in rules for line in rule.lines()]
    body += list(_drops(left, list(target.leaves)))
    lines = [*_head(header), *(["rules:", *body] if body else ["rules: []"]), *config_lines(config.rules)]
    lines += [*_lost(lost, list(source.leaves)), *_lost_config(config.lost)]
    return "".join(f"{printable(line)}\n" for line in lines)


def _head(header: FileHeader) -> Iterator[str]:
    rules = header.plan.rules
    yield EDITOR_LINE
    yield f"# Leads from the target of {rules.path} back to the structure of {header.plan.source.path.name}."
    yield "# It applies without a template."
    yield "migrate: 1"
    if rules.name:
        yield f"name: {quoted(f'{rules.name}-inverse')}"
    guard = {"model": rules.target.model, "version": rules.target.version}
    target = {"model": rules.source.model, "version": rules.source.version, "layout": header.layout}
    for name, fields in (("source", guard), ("target", target)):
        if given := {key: value for key, value in fields.items() if value is not None}:
            yield f"{name}: {flow(given)}"
    if not header.follow:
        yield "follow: off  # the rules name every moment"


def _drops(left: Iterable[LeftBehind], universe: Sequence[KeyPath]) -> Iterator[str]:
    groups: defaultdict[LeftKind, list[KeyPath]] = defaultdict(list)
    asserted = [one for one in left if one.equal is not None]
    for one in left:
        if one.equal is None:
            groups[one.kind].append(one.path)
    for kind, paths in groups.items():
        yield f"  # {_WHY_LEFT[kind]}"
        yield from (drop_line(pattern) for pattern in patterns_for(paths, universe))
    for one in asserted:
        equal = f"{{equal: {quoted(format_path(one.equal or ()))}}}"
        yield drop_line(format_path(one.path), assertion=equal, ops=[op_text(op) for op in one.ops])


def _lost(lost: Iterable[Lost], universe: Sequence[KeyPath]) -> Iterator[str]:
    """Yields comments only: a rule would invent values."""
    groups: defaultdict[Hashable, list[Lost]] = defaultdict(list)
    for one in lost:
        groups[one.kind, one.reason, one.rule].append(one)
    gone = [one.path for one in lost if one.kind != "rounded" and one.path in set(universe) and not source_of(one.path)]
    if not groups:
        return
    yield ""
    for members in groups.values():
        first = members[0]
        patterns = (
            patterns_for([one.path for one in members], universe) if first.path in set(universe) else [first.path[0]]
        )
        yield from (f"# lost: {pattern} ({first.reason}{_at(first.rule)})" for pattern in patterns)
    if gone:
        yield "# With a template of the old model, this creates the leaves that are gone as the model initializes them:"
        yield from (f"#   - create: {{to: {quoted(text)}, init: template}}" for text in patterns_for(gone, universe))


def _lost_config(lost: Sequence[LostConfig]) -> Iterator[str]:
    if lost:
        yield ""
    for one in lost:
        names = ", ".join(map(format_path, one.paths))
        yield f"# lost: {names} of {config_name(one.item)} ({one.reason}{_at(one.rule)})"


def _at(span: Span | None) -> str:
    return f"; {span.file}:{span.line}" if span else ""
