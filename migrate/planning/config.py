"""The config that the new checkpoint gets: `config:` rules × the source's hyperparameters and JSON items.

All rules read the config of the source, as rules for leaves do. What no rule names is carried over unchanged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrate.codes import ConfigConflict, UncomputableConfig, UnknownConfigItem, UnknownConfigName
from migrate.errors import Diagnostic, Span, listed, nearest
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata, kept_items
from migrate.planning.near_patterns import NearPatterns
from migrate.rules.formula import Constant, Formula, Term
from migrate.rules.model import ConfigRule
from migrate.rules.pattern import Bindings, Pattern, PatternError
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path

RECORD = ""
"""The name of the record's hyperparameters among configs; every other name is that of a JSON item."""

_MOST_NAMES = 6

Leaves = Mapping[KeyPath, Any]
"""The values of a config by key path: everything but mappings with content."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """What becomes of names of one config.

    Attributes:
      item: the config: `RECORD`, or a JSON item.
      sources: the names that it takes away; the target is among them if its value is replaced.
      target: the name that it writes; None for a drop.
      term: what the target is given; None for a drop.
      value: the value of the target; None where it is not known.
      was: the value of its only source; None where there are several, or it is not known.
      rule: the place of the rule.
    """

    item: str
    sources: tuple[KeyPath, ...]
    target: KeyPath | None
    term: Term | None
    value: Any = None
    was: Any = None
    rule: Span | None = None

    @property
    def verb(self) -> str:
        """What it does: `drop`, `set`, `rename`, `copy` or `compute`."""
        if self.target is None:
            return "drop"
        if not isinstance(self.term, Formula):
            return "set"
        if self.term.copied is None:
            return "compute"
        return "rename" if self.sources == (self.term.copied,) else "copy"

    @property
    def is_idle(self) -> bool:
        """Whether it changes nothing."""
        if self.target is None:
            return not self.sources
        return isinstance(self.term, Formula) and (self.term.copied,) == self.sources == (self.target,)


@dataclass(frozen=True, slots=True)
class PlannedConfig:
    """The configs that rules change.

    Attributes:
      changes: every change, in the order of the rules.
      contents: the whole content of each config after the changes; empty where the config of the source is not known.
      patterns: rules with wildcards, whose changes are not known without the config of the source.
      known: whether the config of the source is known.
    """

    changes: tuple[ConfigChange, ...] = ()
    contents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    patterns: tuple[ConfigRule, ...] = ()
    known: bool = True


UNCHANGED = PlannedConfig()
"""Configs without rules."""


def plan_config(
    rules: Sequence[ConfigRule], source: AbstractCheckpoint, dropped: Iterable[str] = ()
) -> tuple[PlannedConfig, tuple[Diagnostic, ...]]:
    """Applies the rules to the configs of a source.

    Args:
      rules: the rules, in the order of the rule file.
      source: the source.
      dropped: the names of JSON items that other rules drop.

    Returns:
      The configs that the rules change, and the rules' mistakes.
    """
    findings: list[Diagnostic] = []
    changes: list[ConfigChange] = []
    contents: dict[str, Mapping[str, Any]] = {}
    patterns: list[ConfigRule] = []
    configs = configs_of(source)
    by_item: defaultdict[str, list[ConfigRule]] = defaultdict(list)
    for rule in rules:
        by_item[rule.item].append(rule)
    for item, members in by_item.items():
        if not source.knows_config:
            opened = _Config(item, None, configs)
            changes += opened.changes([rule for rule in members if _is_literal(rule)], findings)
            patterns += [rule for rule in members if not _is_literal(rule)]
        elif item not in configs or item in dropped:
            findings += _unusable(members, source, configs, is_dropped=item in dropped)
        else:
            config = _Config(item, flatten(configs[item]), configs)
            before = len(findings)
            made = config.changes(members, findings)
            changes += made
            if len(findings) == before:
                contents[item] = config.content(made)
    kept = tuple(change for change in changes if not change.is_idle)
    return PlannedConfig(kept, contents, tuple(patterns), source.knows_config), tuple(findings)


def configs_of(source: AbstractCheckpoint) -> Mapping[str, Mapping[str, Any]]:
    """Returns the hyperparameters of the record under `RECORD`, and each JSON item that is a mapping under its name."""
    record = Metadata.from_json(source.metadata) or Metadata()
    items = {**kept_items(source.metadata), **source.extras}
    return {RECORD: record.hyperparameters} | {
        name: content for name, content in items.items() if isinstance(content, Mapping)
    }


def flatten(content: Mapping[str, Any], prefix: KeyPath = ()) -> dict[KeyPath, Any]:
    """Returns the values of nested mappings by key path; lists and empty mappings are values."""
    found: dict[KeyPath, Any] = {}
    open_nodes = [(prefix, iter(content.items()))]  # no recursion: JSON may be nested deeply
    while open_nodes:
        above, rest = open_nodes[-1]
        name, value = next(rest, (None, None))
        if name is None:
            open_nodes.pop()
        elif isinstance(value, Mapping) and value:
            open_nodes.append(((*above, name), iter(value.items())))
        else:
            found[(*above, name)] = value
    return found


def nest(leaves: Iterable[tuple[KeyPath, Any]]) -> dict[str, Any]:
    """Returns nested mappings of values by key path."""
    root: dict[str, Any] = {}
    for path, value in leaves:
        node = root
        for name in path[:-1]:
            node = node.setdefault(name, {})
        if value == {}:
            node.setdefault(path[-1], {})  # names below it may be there, or follow
        else:
            node[path[-1]] = value
    return root


def config_name(item: str) -> str:
    """Returns a config's name for messages."""
    return f"the JSON item `{item}`" if item else "the record"


def _is_literal(rule: ConfigRule) -> bool:
    return not rule.excepts and all(one.is_literal for one in (*rule.sources, *filter(None, (rule.target,))))


def _unusable(
    rules: Iterable[ConfigRule], source: AbstractCheckpoint, configs: Iterable[str], *, is_dropped: bool
) -> Iterator[Diagnostic]:
    """Yields a finding for each rule that names a JSON item which cannot be changed, unless the rule is optional."""
    for rule in rules:
        name = rule.item
        if rule.optional:
            continue
        if is_dropped:
            problem, advice = f"the JSON item `{name}` is dropped by another rule", "remove one of the two rules"
        elif name in source.extras:
            problem, advice = f"the JSON item `{name}` is not a mapping", "its content cannot be changed; drop the rule"
        elif name in source.items:
            problem, advice = f"the item `{name}` is a pytree, not JSON", "name its leaves in `rules:`"
        elif name in source.unread:
            problem, advice = f"the item `{name}` is not read", "it is neither a pytree nor JSON, or `--item` omits it"
        else:
            known = [one for one in configs if one]
            near = nearest(name, known)
            problem = f"the source has no JSON item `{name}`"
            advice = (
                f"did you mean `in: {near}`?" if near else f"its JSON items: {listed(known, _MOST_NAMES) or 'none'}"
            )
        yield UnknownConfigItem.at(problem, span=rule.span, paths=[name], help=advice)


@dataclass
class _Config:
    """One config, and its rules applied to it; `leaves` is None where its content is not known."""

    item: str
    leaves: Leaves | None
    configs: Mapping[str, Mapping[str, Any]]

    def changes(self, rules: Iterable[ConfigRule], findings: list[Diagnostic]) -> list[ConfigChange]:
        """Returns the changes that the rules make, idle ones included; mistakes are added to `findings`."""
        made: list[ConfigChange] = []
        for rule in rules:
            change = self._given if rule.value is not None else self._moved
            try:
                made += change(rule, findings)
            except PatternError as error:
                name = f"`{rule.target}`" if rule.target else "the name"
                message = f"{name} cannot be computed: {error}"
                advice = "correct the rule, or the value in the source's config"
                findings.append(UncomputableConfig.at(message, span=rule.span, help=advice))
        findings += _conflicts(made, self.leaves or {}, self.item)
        return made

    def content(self, changes: Iterable[ConfigChange]) -> dict[str, Any]:
        """Returns the content after the changes; a moved name stands where it stood, and a new one at the end."""
        assert self.leaves is not None
        changes = list(changes)
        moved = {change.sources[0]: change for change in changes if change.sources}
        gone = {path for change in changes for path in change.sources}
        rows: list[tuple[KeyPath, Any]] = []
        for path, value in self.leaves.items():
            change = moved.get(path)
            if change is not None and change.target is not None:
                rows.append((change.target, change.value))
            elif path not in gone:
                rows.append((path, value))
        rows += [(change.target, change.value) for change in changes if not change.sources and change.target]
        return nest(rows)

    def _moved(self, rule: ConfigRule, findings: list[Diagnostic]) -> Iterator[ConfigChange]:
        """Yields the changes of a rule that moves or drops names."""
        for pattern in rule.sources:
            found = self._matches(pattern, rule.excepts)
            if not found and not rule.optional:
                findings.append(self._unknown(pattern, rule))
            for path, bindings in found:
                target = rule.target.fill(bindings) if rule.target else None
                if target == ():
                    raise PatternError(f"`{format_path(path)}` would become the whole config")
                term = Formula.of(path) if rule.target else None
                was = (self.leaves or {}).get(path)
                yield ConfigChange(self.item, (path,), target, term, was if rule.target else None, was, rule.span)

    def _matches(self, pattern: Pattern, excepts: Sequence[Pattern]) -> list[tuple[KeyPath, Bindings]]:
        if self.leaves is None:
            return [(pattern.fill({}), {})]
        matches = [(path, found) for path in self.leaves if (found := pattern.match(path)) is not None]
        return [one for one in matches if not any(other.match(one[0]) is not None for other in excepts)]

    def _given(self, rule: ConfigRule, findings: list[Diagnostic]) -> Iterator[ConfigChange]:
        """Yields the change of a rule that writes a value; for a mapping, a change for each value in it."""
        assert rule.target is not None
        assert rule.value is not None
        sources = {pattern: pattern.fill({}) for pattern in rule.sources}
        read = rule.value.names if isinstance(rule.value, Formula) else ()
        patterns = [*sources, *(Pattern.parse(format_path(path)) for path in read if path not in sources.values())]
        unknown = [one for one in patterns if self.leaves is not None and one.fill({}) not in self.leaves]
        if unknown:
            findings += [] if rule.optional else [self._unknown(one, rule) for one in unknown]
            return
        taken = tuple(sources.values())
        for path, term, value in self._written(rule.target.fill({}), rule.value):
            was = (self.leaves or {}).get(taken[0]) if len(taken) == 1 else None
            yield ConfigChange(self.item, taken, path, term, value, was, rule.span)
            taken = ()

    def _written(self, target: KeyPath, term: Term) -> Iterator[tuple[KeyPath, Term, Any]]:
        """Yields the names that a term writes, each with its own term and value."""
        if isinstance(term, Formula):
            yield target, term, None if self.leaves is None else term.compute(self.leaves)
        elif isinstance(term.value, dict) and term.value:
            yield from ((path, Constant.of(value), value) for path, value in flatten(term.value, target).items())
        else:
            yield target, term, term.value

    def _unknown(self, pattern: Pattern, rule: ConfigRule) -> Diagnostic:
        """Returns the finding about a pattern that matches nothing, with the nearest name."""
        leaves = self.leaves or {}
        tree = AbstractTree({path: AbstractLeaf("none") for path in leaves})
        return UnknownConfigName.at(
            f"`{pattern}` matches nothing in {config_name(self.item)}",
            span=rule.span,
            label=NearPatterns(tree).did_you_mean(pattern) if leaves else None,
            paths=[str(pattern)],
            help=self._advice(pattern, leaves),
        )

    def _advice(self, pattern: Pattern, leaves: Leaves) -> str:
        path = pattern.fill({}) if pattern.is_literal else None
        if path is not None and any(one[: len(path)] == path for one in leaves):
            return f"`{pattern}` is a mapping: `{pattern}/**` names its values"
        for item, content in self.configs.items():
            if item != self.item and any(pattern.match(one) is not None for one in flatten(content)):
                where = f"add `in: {item}`" if item else "remove `in:`"
                return f"{config_name(item)} has it: {where}"
        if not leaves and not self.item:
            return "the checkpoint records none; `migrate stamp SRC --template M:F` adds those of the model"
        names = listed([format_path(one) for one in leaves], _MOST_NAMES) or "none"
        return f"its names: {names}; `optional: true` allows a rule to match nothing"


def _conflicts(changes: Sequence[ConfigChange], leaves: Leaves, item: str) -> Iterator[Diagnostic]:
    """Yields the contradictions among changes, and between them and the names that stay."""
    takers: dict[KeyPath, ConfigChange] = {}
    writers: dict[KeyPath, ConfigChange] = {}
    for change in changes:
        for path in change.sources:
            if (first := takers.setdefault(path, change)) is not change:
                other = _other(first, change, twice="this rule twice")
                yield _conflict(f"`{format_path(path)}` is named by {other}", path, change)
        if change.target is not None and (first := writers.setdefault(change.target, change)) is not change:
            other = _other(first, change, twice="this rule for several names")
            yield _conflict(f"`{format_path(change.target)}` is written by {other}", change.target, change)
    stays = {path: None for path in leaves if path not in takers}
    for path, change in writers.items():
        if path in stays:
            name = format_path(path)
            message = f"`{name}` exists already in {config_name(item)}"
            advice = f"`drop: {name}` makes room for it" if change.verb == "rename" else f"`from: {name}` replaces it"
            yield _conflict(message, path, change, advice)
    everything = stays | dict.fromkeys(writers)
    found: set[tuple[KeyPath, Span | None]] = set()
    for path in everything:
        parents = (path[:size] for size in range(1, len(path)))
        above = next((one for one in parents if one in everything and not (one in stays and leaves[one] == {})), ())
        culprit = writers.get(path) or writers.get(above)
        if above and culprit is not None and (above, culprit.rule) not in found:
            found.add((above, culprit.rule))
            message = f"`{format_path(above)}` would be a value and, because of `{format_path(path)}`, a mapping"
            yield _conflict(message, above, culprit, "choose another name, or move or drop one of the two")


def _other(first: ConfigChange, second: ConfigChange, *, twice: str) -> str:
    return twice if first.rule in (None, second.rule) else f"the rule at {first.rule} as well"


def _conflict(message: str, path: KeyPath, change: ConfigChange, advice: str | None = None) -> Diagnostic:
    advice = (
        advice or "each name is moved or dropped by one rule, and written by one rule; remove or narrow one of them"
    )
    return ConfigConflict.at(message, span=change.rule, paths=[format_path(path)], help=advice)
