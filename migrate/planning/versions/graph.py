"""Versions of models and the rule files between them, as a graph.

A version is a model with a version number, as `source:` and `target:` of a rule file name it. A path is a chain of rule
files; it is used only if it is the only one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from migrate.codes import AmbiguousUpgradePath, CircularVersions, NoUpgradePath, UnknownVersion
from migrate.errors import MigrateError, PlanError, UsageError, did_you_mean
from migrate.rules.folder import RuleFolder
from migrate.rules.model import RuleSet
from migrate.tree import natural_key


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a model; `model` is None where no rule file names the model."""

    model: str | None
    version: str

    def __str__(self) -> str:
        return f"{self.model} {self.version}" if self.model else self.version


@dataclass(frozen=True, slots=True, eq=False)
class VersionStep:
    """A rule file that leads from one version to another."""

    rules: RuleSet
    source: ModelVersion
    target: ModelVersion


class VersionGraph:
    """The versions of a folder.

    Attributes:
      folder: the folder's name.
      steps: its rule files.
    """

    def __init__(self, folder: RuleFolder) -> None:
        named = {name for one in folder.files for name in (one.source.model, one.target.model) if name}
        only = next(iter(named)) if len(named) == 1 else None
        self.folder = folder.path
        self.steps = tuple(_step(rules, only) for rules in folder.files)

    @cached_property
    def versions(self) -> tuple[ModelVersion, ...]:
        """All versions in natural order."""
        found = {end for step in self.steps for end in (step.source, step.target)}
        return tuple(sorted(found, key=lambda one: natural_key((one.model or "", one.version))))

    @cached_property
    def heads(self) -> tuple[ModelVersion, ...]:
        """The versions from which no rule file leads on."""
        return tuple(one for one in self.versions if not self._next[one])

    @cached_property
    def _next(self) -> Mapping[ModelVersion, list[VersionStep]]:
        found: defaultdict[ModelVersion, list[VersionStep]] = defaultdict(list)
        for step in self.steps:
            found[step.source].append(step)
        return found

    def steps_from(self, version: ModelVersion) -> tuple[VersionStep, ...]:
        """Returns the rule files that lead from a version."""
        return tuple(self._next.get(version, ()))

    def find(self, model: str | None, version: int | str) -> ModelVersion:
        """Returns the version of the graph that a record or the user names.

        Raises:
          UsageError: there is none, or several models have it (`UnknownVersion`).
        """
        alike = [one for one in self.versions if one.version == str(version)]
        found = [one for one in alike if model is None or one.model in (model, None)]
        if len(found) == 1:
            return found[0]
        known = list(map(str, self.versions))
        wanted = str(ModelVersion(model, str(version)))
        if found:
            message = f"version {version} is one of several models in {self.folder}: {', '.join(map(str, found))}"
            advice = "the record of the checkpoint has to name the model: `migrate stamp CKPT --model NAME`"
        else:
            message = f"{self.folder} has no version {wanted}; it has {', '.join(known) or 'none'}"
            advice = did_you_mean(wanted, known) or f"`migrate heads {self.folder}` draws the versions"
        raise UsageError(UnknownVersion.at(message, help=advice))

    def path(self, start: ModelVersion, end: ModelVersion | None = None) -> tuple[VersionStep, ...]:
        """Returns the only path from one version to another, or to the only head.

        Raises:
          PlanError: there is none (`NoUpgradePath`) or more than one (`AmbiguousUpgradePath`), or rule files on the way
            lead in a circle (`CircularVersions`).
        """
        ahead = self._ahead(start)
        circle = self.circle(ahead)
        if circle:
            where = " → ".join(map(str, (circle[0].source, *(step.target for step in circle))))
            raise self._error(CircularVersions, f"rule files in {self.folder} lead in a circle: {where}", circle)
        heads = [one for one in self.heads if one in ahead]
        if end is None and len(heads) > 1:
            names = ", ".join(map(str, heads))
            message = f"from {start}, the rule files of {self.folder} lead to {len(heads)} newest versions: {names}"
            raise self._error(AmbiguousUpgradePath, message, self._among(ahead), f"name one: `--to {heads[0].version}`")
        goal = end or heads[0]
        found = list(self._paths(start, goal))
        if goal == start:
            message = f"the checkpoint is {start} already" + ("" if end else ", the newest version")
            raise PlanError(NoUpgradePath.at(message, help="there is nothing to upgrade; use the checkpoint"))
        if not found:
            message = f"no rule files of {self.folder} lead from {start} to {goal}"
            raise self._error(NoUpgradePath, message, self.steps, self._gap(ahead, goal))
        if len(found) > 1:
            message = f"{len(found)} or more chains of rule files lead from {start} to {goal}"
            steps = list(dict.fromkeys(step for path in found for step in path))
            advice = "keep one rule file for each version, and move the others out of the folder"
            raise self._error(AmbiguousUpgradePath, message, steps, advice)
        return found[0]

    def heads_from(self, start: ModelVersion) -> tuple[ModelVersion, ...]:
        """Returns the heads to which rule files lead from a version; empty for a head."""
        ahead = self._ahead(start)
        return tuple(head for head in self.heads if head in ahead and head != start)

    @cached_property
    def from_old_to_new(self) -> tuple[VersionStep, ...]:
        """The rule files, each after those that lead to its source; those in circles and behind them last."""
        ordered = [step for version in self._ordered(self.versions) for step in self._next[version]]
        return tuple(dict.fromkeys((*ordered, *self.steps)))

    def circle(self, among: Iterable[ModelVersion] | None = None) -> tuple[VersionStep, ...]:
        """Returns rule files that lead in a circle; empty where there are none."""
        done: set[ModelVersion] = set()
        for first in self.versions if among is None else among:
            way: list[VersionStep] = []
            waiting = [iter(self._next[first])] if first not in done else []
            while waiting:
                step = next(waiting[-1], None)
                if step is None:
                    waiting.pop()
                    done.add(way.pop().target if way else first)
                    continue
                sources = [one.source for one in (*way, step)]
                if step.target in sources:
                    return (*way, step)[sources.index(step.target) :]
                if step.target not in done:
                    way.append(step)
                    waiting.append(iter(self._next[step.target]))
        return ()

    def _ahead(self, start: ModelVersion) -> dict[ModelVersion, None]:
        """Returns the version and all to which rule files lead from it."""
        found = {start: None}
        waiting = [start]
        while waiting:
            for step in self._next[waiting.pop()]:
                if step.target not in found:
                    found[step.target] = None
                    waiting.append(step.target)
        return found

    def _paths(self, start: ModelVersion, goal: ModelVersion, most: int = 2) -> Iterator[tuple[VersionStep, ...]]:
        """Yields at most `most` paths in a graph without circles."""
        behind = {goal}
        for one in reversed(list(self._ordered(self._ahead(start)))):
            if any(step.target in behind for step in self._next[one]):
                behind.add(one)
        ways: list[tuple[VersionStep, ...]] = [()]
        while ways and most:
            way = ways.pop()
            last = way[-1].target if way else start
            if last == goal:
                most -= 1
                yield way
                continue
            ways += [(*way, step) for step in reversed(self._next[last]) if step.target in behind]

    def _ordered(self, among: Iterable[ModelVersion]) -> Iterator[ModelVersion]:
        """Yields versions, each before those to which its rule files lead; all that follow must be among them."""
        known = tuple(among)
        missing = Counter(step.target for version in known for step in self._next[version])
        ready = [one for one in known if not missing[one]]
        while ready:
            one = ready.pop()
            yield one
            for step in self._next[one]:
                missing[step.target] -= 1
                if not missing[step.target]:
                    ready.append(step.target)

    def _among(self, versions: Iterable[ModelVersion]) -> list[VersionStep]:
        known = set(versions)
        return [step for step in self.steps if step.source in known]

    def _gap(self, ahead: Iterable[ModelVersion], goal: ModelVersion) -> str:
        ends = [one for one in ahead if not self._next[one]]
        last = ends[0] if ends else goal
        return f"write the rule file from {last} on, or name another version with `--to`"

    def _error(
        self, code: type[NoUpgradePath | AmbiguousUpgradePath | CircularVersions], message: str,
        steps: Sequence[VersionStep], advice: str = "keep rule files that lead back in a folder of their own",
    ) -> MigrateError:  # fmt: skip
        return PlanError(code.at(message, help=f"{advice}; the rule files:", snippet=draw(steps)))


def draw(steps: Sequence[VersionStep]) -> tuple[str, ...]:
    """Returns a drawing of rule files as lines of text: versions in order, branches indented."""
    following: defaultdict[ModelVersion, list[VersionStep]] = defaultdict(list)
    for step in steps:
        following[step.source].append(step)
    reached = {step.target for step in steps}
    lines: list[str] = []
    drawn: set[VersionStep] = set()
    firsts = [step for step in steps if step.source not in reached]
    for step in (*firsts, *steps):  # circles have no first version
        if step not in drawn:
            lines += _branch(step.source, following, drawn)
    return tuple(lines)


def _branch(
    start: ModelVersion, following: Mapping[ModelVersion, Sequence[VersionStep]], drawn: set[VersionStep]
) -> list[str]:
    """Returns the lines of a version and all that follows it; a chain without branches is not indented further."""
    lines = [str(start)]
    waiting = _children(start, "", following)
    while waiting:
        step, margin, deeper = waiting.pop()
        if step not in drawn:
            drawn.add(step)
            again = " (drawn above)" if drawn.intersection(following.get(step.target, ())) else ""
            lines.append(f"{margin} {step.target}   {step.rules.path}{again}")
            waiting += _children(step.target, deeper, following)
    return lines


def _children(
    version: ModelVersion, margin: str, following: Mapping[ModelVersion, Sequence[VersionStep]]
) -> list[tuple[VersionStep, str, str]]:
    """Returns the steps from a version, the first last, each with what precedes its line and those below it."""
    steps = following.get(version, ())
    if len(steps) == 1:
        return [(steps[0], f"{margin}↓ ", margin)]
    last = [(step, f"{margin}└─", f"{margin}   ") for step in steps[-1:]]
    return [*last, *((step, f"{margin}├─", f"{margin}│  ") for step in reversed(steps[:-1]))]


def _step(rules: RuleSet, only: str | None) -> VersionStep:
    models = [name for name in (rules.source.model, rules.target.model) if name]
    first, last = (models[0], models[-1]) if models else (only, only)
    return VersionStep(
        rules, ModelVersion(first, str(rules.source.version)), ModelVersion(last, str(rules.target.version))
    )
