"""What a rule file requires of the model, against the model's configuration: its values, and those of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from migrate.codes import DefaultArgument, InvalidModelConfig, UncheckedRequirement, UnmetRequirement
from migrate.errors import Diagnostic, PlanError
from migrate.formats.base import ModelConfig
from migrate.formats.model_config import CONFIG
from migrate.formats.reader import AbstractCheckpoint
from migrate.rules.config_terms import shown, term_in, term_text
from migrate.rules.expression import PatternError
from migrate.rules.formula import Constant, Formula, Term
from migrate.rules.model import RuleSet
from migrate.rules.requirement import Requirement

ABOUT_MODEL = frozenset(
    code.number for code in (DefaultArgument, InvalidModelConfig, UncheckedRequirement, UnmetRequirement)
)
"""The numbers of the diagnostics of `check_model`."""


def check_model(rules: RuleSet, source: AbstractCheckpoint) -> Iterator[Diagnostic]:
    """Yields what a rule file requires and the model does not have, and what is not known about the model.

    Args:
      rules: the rules, with the arguments of this model (`RuleSet.for_models`).
      source: the source, with the model's configuration where there is one.
    """
    configs = rules.configs(_configs_of(source))
    reads = [one for one in rules.requires if one.terms is not None]
    needed = {one.source for one in reads} | {one.source for one in rules.arguments}
    broken = [one.problem for name, one in configs.items() if name in needed and one.problem]
    for problem in broken:
        yield InvalidModelConfig.at(problem, help="correct it, or move it away and give what it states with `--arg`")
    if broken:
        return
    for one in rules.requires:
        yield from _unmet(one, configs.get(one.source))
    if source.knows_config:
        yield from _unchecked(one for one in reads if one.source not in configs)
        yield from _defaults(rules, configs)


def resolved(rules: RuleSet, source: AbstractCheckpoint) -> RuleSet:
    """Returns the rules with the arguments that the configurations of the sources' models state.

    Raises:
      RuleFileError: an argument cannot have such a value (`InvalidModelArgument`).
    """
    return replace(rules.for_models(_configs_of(source)), reload=None)


def _configs_of(source: AbstractCheckpoint) -> Mapping[str, ModelConfig]:
    """Returns the configurations of the sources that have one, by name; that of the main source under ""."""
    return {name: one.model_config for name, one in {"": source, **source.sources}.items() if one.model_config}


def refuse_unmet(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Returns the findings about the model among those of a plan.

    Raises:
      PlanError: the rules cannot be used for this model.
    """
    found = tuple(one for one in findings if one.code in ABOUT_MODEL)
    if any(one.is_error for one in found):
        raise PlanError(*(one for one in found if one.is_error))
    return found


def _unmet(requirement: Requirement, config: ModelConfig | None) -> Iterator[Diagnostic]:
    """Yields the finding about a requirement that the model does not meet; none where the model is not known."""
    if requirement.terms is not None and config is None:
        return
    file, severity = requirement.span.file, requirement.severity
    try:
        subject, found = _stated(requirement, config)
    except PatternError as error:
        message = f"what `{file}` requires of the model cannot be computed: {error}"
        yield UnmetRequirement.at(message, span=requirement.span, severity=severity, help=_unchecked_include(file))
        return
    content: Mapping[str, Any] = config.content if config else {}
    if any(_equal(found, value) for value in _values(requirement.wanted, content)):
        return
    wanted = " or ".join(_wanted(one, content) for one in requirement.wanted)
    message = f"{subject}, and `{file}` requires {wanted}: {requirement.because}"
    yield UnmetRequirement.at(message, span=requirement.span, severity=severity, help=_unchecked_include(file))


def _stated(requirement: Requirement, config: ModelConfig | None) -> tuple[str, Any]:
    """Returns what a model states, as the beginning of a message and as a value.

    Raises:
      PatternError: the value of a formula cannot be computed.
    """
    if requirement.terms is None or config is None:
        return f"the argument `{requirement.argument}` is {shown(requirement.value)}", requirement.value
    stated = requirement.terms.find(config.content)
    if stated is not None:
        term, found = stated
        return f"`{config.file}` has `{term_text(term)}`: {shown(found)}", found
    default = requirement.default.value
    meaning = "" if default is None else f", which means {shown(default)}"
    return f"`{config.file}` has no `{term_text(requirement.terms.terms[0])}`{meaning}", default


def _unchecked_include(file: str) -> str:
    return f"`include: {{file: {file}, requires: false}}` uses the rules without this check"


def _unchecked(requirements: Iterable[Requirement]) -> Iterator[Diagnostic]:
    """Yields a finding for each file whose requirements cannot be checked."""
    files: dict[tuple[str, str], list[Requirement]] = {}
    for one in requirements:
        files.setdefault((one.span.file, one.source), []).append(one)
    for (file, source), members in files.items():
        named = "; ".join(f"{one.terms} is {' or '.join(map(_text, one.wanted))}" for one in members)
        why = f"{_lacks(source)}: {named}"
        yield UncheckedRequirement.at(
            f"it is not checked whether the model is one that `{file}` is for, as {why}",
            span=members[0].span,
            help=None if source else f"`--config FILE` names the model's `{CONFIG}`",
        )


def _lacks(source: str) -> str:
    return f"the source `{source}` has no `{CONFIG}`" if source else f"there is no `{CONFIG}`"


def _defaults(rules: RuleSet, configs: Mapping[str, ModelConfig]) -> Iterator[Diagnostic]:
    """Yields a finding for each argument whose value nothing states."""
    for one in rules.arguments:
        if one.origin == "default":
            config = configs.get(one.source)
            why = _lacks(one.source) if config is None else f"`{config.file}` does not state `{one.term}`"
            yield DefaultArgument.at(
                f"`{one.name}` = {one.value} is the default of `{one.span.file}`, as {why}",
                span=one.span,
                help=f"give the model's value: `--arg {one.name}={one.value}`",
            )


def _values(wanted: Iterable[Term], content: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the wanted values; a formula whose names have no values, or that cannot be computed, has none."""
    for one in wanted:
        if isinstance(one, Constant):
            yield one.value
        elif (value := _computed(one, content)) is not None:
            yield value


def _computed(term: Formula, content: Mapping[str, Any]) -> Any:
    try:
        return term_in(term, content)
    except PatternError:
        return None


def _wanted(term: Term, content: Mapping[str, Any]) -> str:
    """Returns a wanted value for a message, with the value of a formula."""
    if isinstance(term, Constant):
        return _text(term)
    value = _computed(term, content)
    return f"`{term_text(term)}`" if value is None else f"{shown(value)} (`{term_text(term)}`)"


def _text(term: Term) -> str:
    return shown(term.value) if isinstance(term, Constant) else f"`{term_text(term)}`"


def _equal(found: Any, wanted: Any) -> bool:
    """Whether two values of JSON are equal: numbers by value, `true` and 1 are different."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return bool(found == wanted)
