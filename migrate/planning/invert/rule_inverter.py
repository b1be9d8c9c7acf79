"""Inverse rules for the tasks of one rule: its own patterns reversed, or else rules from key paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from migrate.errors import RuleFileError
from migrate.planning.claims import claim_leaves
from migrate.planning.gather import gather
from migrate.planning.invert import path_rules
from migrate.planning.invert.expressions import Expression, expressions
from migrate.planning.invert.patterns import reverse
from migrate.planning.invert.spellings import common
from migrate.planning.invert.task_inverse import TaskInverse
from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.rule_text.doubt import OpText
from migrate.planning.rule_text.generalize import Generalizer
from migrate.planning.rule_text.ops import op_text
from migrate.planning.rule_text.rule_drafts import RuleDraft, pattern
from migrate.planning.rule_text.write import move_lines
from migrate.rules.loader import parse_rules
from migrate.rules.model import Move
from migrate.tree import AbstractTree, KeyPath

_MOST_EXCEPTS = 6
"""The most `except:` patterns of one rule; beyond them, rules from key paths are shorter."""


@dataclass(frozen=True, slots=True)
class InverseRule:
    """An inverse rule as text."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    ops: tuple[OpText, ...] = ()
    excepts: tuple[str, ...] = ()
    comment: str = ""
    copy: bool = False

    def lines(self) -> list[str]:
        """The lines of the file."""
        return list(
            move_lines(self.left, self.right, self.ops, excepts=self.excepts, comment=self.comment, copy=self.copy)
        )

    def parsed(self) -> Move | None:
        """Returns the parsed rule; None where it is invalid."""
        try:
            (rule,) = parse_rules("\n".join(("migrate: 1", "rules:", *self.lines())), "the inverse").rules
        except RuleFileError:
            return None
        return rule if isinstance(rule, Move) else None


class RuleInverter:
    """Generates inverse rules for one target."""

    def __init__(self, tree: AbstractTree) -> None:
        self._tree = tree
        self._paths = tuple(tree.leaves)
        self._generalizer = Generalizer(self._paths, lists=True)
        self._near: defaultdict[Hashable, list[KeyPath]] = defaultdict(list)
        for path in self._paths:
            self._near[len(path), path[-1:]].append(path)

    def of_rule(self, rule: Move, inverses: Sequence[TaskInverse]) -> tuple[list[InverseRule], list[TaskInverse]]:
        """Returns inverse rules for the tasks of one rule, and the tasks that no rule can invert."""
        whole = self._reversed(rule, inverses)
        if whole is not None:
            return [whole], []
        rules: list[InverseRule] = []
        rest: list[TaskInverse] = []
        for family in _by_ops(inverses):
            part = self._reversed(rule, family)
            if part is None:
                rest += family
            else:
                rules.append(part)
        more, failed = self.of_paths(rest)
        return [*rules, *more], failed

    def of_paths(
        self, inverses: Sequence[TaskInverse], *, generalize: bool = True
    ) -> tuple[list[InverseRule], list[TaskInverse]]:
        """Returns the same from key paths, whatever the rules of the tasks."""
        by_overs: defaultdict[Hashable, list[tuple[TaskInverse, path_rules.PatternDraft]]] = defaultdict(list)
        failed: list[TaskInverse] = []
        for inverse in inverses:
            draft = self._draft(inverse)
            if draft is None:
                failed.append(inverse)
            else:
                by_overs[len(inverse.steps), tuple(draft.overs.items())].append((inverse, draft))
        rows = [row for members in by_overs.values() for row in _rows(members)]
        made = {path: inverse for inverse in inverses for path in inverse.origins}
        rules = [rule for row in self._few(rows, generalize=generalize) for rule in self._checked(row, rows, made)]
        return rules, failed

    def _few(self, rows: Sequence[RuleDraft], *, generalize: bool) -> list[RuleDraft]:
        return self._generalizer.rules(rows) if generalize else [row for row in rows if not row.keeps]

    def _checked(
        self, row: RuleDraft, rows: Iterable[RuleDraft], inverses: Mapping[KeyPath, TaskInverse]
    ) -> list[InverseRule]:
        """Returns the rule of a merged draft, or the rules of its members where the merged rule differs from them."""
        rule = _rule(row)
        members = list({id(inverses[path]): inverses[path] for path in row.claims}.values())
        if len(members) == 1 or self.accepts(rule, members) == rule:
            return [rule]
        return [_rule(one) for one in rows if one.claims <= row.claims]

    def _draft(self, inverse: TaskInverse) -> path_rules.PatternDraft | None:
        """Returns the first candidate that inverts the task, or None."""
        for draft in path_rules.drafts(inverse):
            ops = _ops([inverse], draft.overs)
            if ops is None:
                continue
            rule = _rule(path_rules.row(inverse, draft, ops))
            if not (draft.overs or len(inverse.origins) + len(inverse.task.sources) > 2):
                return draft
            if self.accepts(rule, [inverse], self._nearby(inverse)) == rule:
                return draft
        return None

    def _nearby(self, inverse: TaskInverse) -> list[KeyPath]:
        """Returns the leaves that a pattern from the task's own key paths can match."""
        ends = {(len(path), path[-1:]) for path in inverse.origins}
        return [path for end in ends for path in self._near[end]] if len(ends) == 1 else list(self._paths)

    def _reversed(self, rule: Move, inverses: Sequence[TaskInverse]) -> InverseRule | None:
        """Returns the rule with reversed patterns, if it inverts exactly these tasks."""
        patterns = reverse(rule, [path for inverse in inverses for path in inverse.task.sources])
        overs = {at: step.forward.over for at, step in enumerate(inverses[0].steps) if step.forward.over}
        ops = _ops(inverses, overs)
        if patterns is None or ops is None:
            return None
        return self.accepts(InverseRule(patterns.sources, patterns.targets, ops), inverses)

    def accepts(
        self, rule: InverseRule, inverses: Sequence[TaskInverse], among: Collection[KeyPath] | None = None
    ) -> InverseRule | None:
        """Returns the rule if it inverts exactly these tasks, with `except:` where it matches other leaves; else None.

        Args:
          rule: the candidate.
          inverses: the tasks that it should invert.
          among: the leaves that it can match; by default all.
        """
        move = rule.parsed()
        if move is None:
            return None
        paths = self._paths if among is None else among
        tree = self._tree if among is None else AbstractTree({path: self._tree.leaves[path] for path in paths})
        meant = {path for inverse in inverses for path in inverse.origins}
        claims = claim_leaves([move], tree).by_rule[0]
        others = {claim.path for claim in claims} - meant
        if others and not rule.excepts:
            excepts = patterns_for(sorted(others), list(self._paths))
            narrowed = replace(rule, excepts=tuple(excepts))
            return self.accepts(narrowed, inverses) if len(excepts) <= _MOST_EXCEPTS else None
        made = gather(move, claims, None)
        if others or made.diagnostics or len(claims) != len(meant):
            return None
        return rule if expressions(made.tasks) == _expected(inverses) else None


def _expected(inverses: Iterable[TaskInverse]) -> dict[KeyPath, Expression]:
    return {path: expression for inverse in inverses for path, expression in inverse.expected.items()}


def _by_ops(inverses: Sequence[TaskInverse]) -> list[list[TaskInverse]]:
    """Groups tasks by their inverse ops, as `Op.inverse` returns them."""
    found: defaultdict[Hashable, list[TaskInverse]] = defaultdict(list)
    for inverse in inverses:
        found[tuple(tuple(dict.fromkeys(use.op for use in step.uses)) for step in inverse.steps)].append(inverse)
    return list(found.values())


def _ops(inverses: Sequence[TaskInverse], overs: Mapping[int, str]) -> tuple[OpText, ...] | None:
    """Returns the text of ops that invert all of these tasks, or None."""
    texts: list[OpText] = []
    for at in range(len(inverses[0].steps)):
        uses = dict.fromkeys(use for inverse in inverses for use in inverse.steps[at].uses)
        op = common([replace(use, count=None) if at in overs else use for use in uses])
        if op is None:
            return None
        texts.append(op_text(op, overs.get(at)))
    return tuple(texts)


def _rows(members: Sequence[tuple[TaskInverse, path_rules.PatternDraft]]) -> list[RuleDraft]:
    """Returns drafts with the same ops where possible, so that they can be merged."""
    shared = _ops([inverse for inverse, _ in members], members[0][1].overs)
    rows = []
    for inverse, draft in members:
        ops = shared or _ops([inverse], draft.overs)
        assert ops is not None or not inverse.steps, "a draft has ops"
        rows.append(path_rules.row(inverse, draft, ops or ()))
    return rows


def _rule(row: RuleDraft) -> InverseRule:
    return InverseRule(tuple(map(pattern, row.sources)), tuple(map(pattern, row.targets)), row.ops)
