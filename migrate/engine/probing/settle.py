"""Settles the doubts of a suggestion by value: runs a probe on it and on its variants.

The search starts from the suggestion as it is. Variants of the candidate on which the most outputs agree come first,
then those with the fewest changes, then those that change the layer of the first difference. Once all outputs agree,
every doubt is put to the test: the probe must fail on each of its alternatives, or it cannot tell them apart.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from migrate.engine.probing.computed_model import ComputedModels
from migrate.engine.probing.output_pair import Tolerance
from migrate.engine.probing.probe import Probe, compare_models, contains_layer, probe_function, refuse_blind
from migrate.engine.probing.source_tree import whole_tree
from migrate.errors import MigrateError
from migrate.events import Listener, PhaseDone, PhaseStarted, ProbeRun, ignore
from migrate.formats.reader import Reader
from migrate.planning.model import Plan
from migrate.planning.proof import after_probe
from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.planning.suggest.composition import ProbeFindings, Suggestion, fills_target
from migrate.planning.suggest.variants import PROVED, Variant, Verdict, settled, variants
from migrate.tree import KeyPath

DEFAULT_BUDGET = 64
"""The number of runs of a probe, unless the caller sets it."""

Drafts = tuple[RuleDraft, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run, which ends at the first difference.

    Attributes:
      agreeing: the number of pairs that agree before it; all pairs if there is no difference.
      layer: the name that the probe gives the pair that differs, or "".
      problem: the difference; None if all outputs agree.
    """

    agreeing: int
    layer: str = ""
    problem: str | None = None


def suggestion_probe(spec: str, atol: float | None = None, rtol: float | None = None) -> Probe:
    """Imports and returns a probe for suggestions.

    Raises:
      UsageError: a tolerance is invalid (`InvalidUsage`).
      CheckpointError: the probe cannot be imported or called (`InconclusiveProbe`).
    """
    default = Tolerance()
    probe = Probe(
        spec,
        Tolerance(default.absolute if atol is None else atol, default.relative if rtol is None else rtol),
    )
    probe_function(spec)
    return probe


def settle(
    suggestion: Suggestion, probe: Probe, reader: Reader, budget: int = DEFAULT_BUDGET, listener: Listener = ignore
) -> Suggestion:
    """Returns the suggestion on which all outputs agree, with marks on what the probe proves and what it cannot tell.

    If none is found, the suggestion is the same, and its findings state the reason.

    Args:
      suggestion: the suggestion.
      probe: the probe.
      reader: the source.
      budget: the maximum number of runs.
      listener: receives an event for every run.

    Raises:
      CheckpointError: the probe fails on the suggestion, compares nothing, or also passes on a model of NaN
        (`InconclusiveProbe`).
    """
    if not fills_target(suggestion.plan):
        left = len(suggestion.unplaced_targets)
        unfilled = "1 leaf of the target has" if left == 1 else f"{left} leaves of the target have"
        reason = f"it did not run, because {unfilled} no source" if left else "it did not run: see the errors"
        return _found(suggestion, suggestion.drafts, ProbeFindings(probe.spec, 0, budget, False, reason=reason))
    trials = Trials(suggestion, probe, reader, budget, listener)
    listener(PhaseStarted("probe", 0, 0))
    try:
        return _settled(suggestion, trials)
    finally:
        listener(PhaseDone("probe", 0.0))


def _settled(suggestion: Suggestion, trials: Trials) -> Suggestion:
    spec, budget = trials.probe.spec, trials.budget
    try:
        first = trials.run(suggestion.drafts, strict=True)
    except RefusedValue as error:
        reason = f"it did not run: {error}"
        return _found(suggestion, suggestion.drafts, ProbeFindings(spec, 0, budget, False, reason=reason))
    found = _search(suggestion.drafts, first, trials)
    if found is None:
        reason = f"no assignment that was tried agrees; as written, {first.problem}"
        return _found(suggestion, suggestion.drafts, ProbeFindings(spec, trials.runs, budget, False, reason=reason))
    drafts, changes = found
    trials.refuse_blind(drafts)
    verdicts = trials.verdicts(drafts)
    marked = settled(drafts, verdicts, spec)
    doubted = {path for draft in drafts if draft.doubts for path in draft.fills}
    left = {draft.fills for draft in marked if draft.doubts}
    touched = {
        verdict: frozenset(path for fills in left for path in fills if _covers(fills, verdicts, verdict))
        for verdict in ("alike", "untried")
    }
    proved = frozenset(path for draft in marked if PROVED in draft.reasons for path in draft.fills & doubted)
    findings = ProbeFindings(
        spec, trials.runs, budget, True, changes, proved, touched["alike"], touched["untried"] - touched["alike"]
    )
    return _found(suggestion, marked, findings)


def _covers(fills: frozenset[KeyPath], verdicts: dict[Variant, Verdict], wanted: str) -> bool:
    return any(
        verdict == wanted and any(fills == covered for covered, _ in variant.covers)
        for variant, verdict in verdicts.items()
    )


def _found(suggestion: Suggestion, drafts: Sequence[RuleDraft], findings: ProbeFindings) -> Suggestion:
    made = suggestion.composition.suggestion(drafts, findings)
    return replace(made, plan=after_probe(made.plan, findings.proved)) if findings.proved else made


class RefusedValue(Exception):
    """An op refuses a value of the source; the message gives the reason."""


class Trials:
    """Runs a probe on the models of drafts, within a budget."""

    def __init__(self, suggestion: Suggestion, probe: Probe, reader: Reader, budget: int, listener: Listener) -> None:
        """Reads the source and builds the template."""
        self.probe = probe
        self.budget = budget
        self.runs = 0
        self._composition = suggestion.composition
        self._listener = listener
        self._models = ComputedModels(suggestion.plan, reader)
        self._old = whole_tree(reader)

    @property
    def left(self) -> int:
        """The number of runs that are left."""
        return self.budget - self.runs

    def run(
        self, drafts: Sequence[RuleDraft], erased: frozenset[KeyPath] = frozenset(), *, strict: bool = False
    ) -> Any:
        """Returns the outcome of a run; None if no plan leads to these drafts, which costs no run.

        Args:
          drafts: the drafts.
          erased: targets that are NaN.
          strict: whether an error of the probe is raised rather than counted as a difference.

        Raises:
          RefusedValue: an op refuses a value, with `strict`.
          CheckpointError: the probe fails, with `strict` (`InconclusiveProbe`).
        """
        plan = self._composition.exact_plan(drafts)
        if plan is None:
            return None
        try:
            model = self._models.computed(plan, erased).model()
        except MigrateError as error:
            if strict:
                raise RefusedValue(error.diagnostics[0].message) from None
            return None
        self.runs += 1
        outcome = self._outcome(plan, model, strict=strict)
        self._listener(ProbeRun(self.runs, self.budget, outcome.agreeing, outcome.problem is None))
        return outcome

    def verdicts(self, drafts: Sequence[RuleDraft]) -> dict[Variant, Verdict]:
        """Returns for each variant of drafts on which the probe passes whether it tells the two apart.

        Integers cannot be NaN, so nothing is said about the outputs that depend on them.
        """
        found: dict[Variant, Verdict] = {}
        for variant in variants(drafts, erased=True):
            floats = frozenset(path for path in variant.erased if self._models.has_floats(path))
            if floats:
                found[variant] = self._verdict(drafts, floats)
            elif variant.whole and not variant.erased:
                results = [self._verdict(changed) for changed in variant.apply(drafts)]
                undecided: tuple[Verdict, ...] = ("alike", "untried")
                found[variant] = next((one for one in undecided if one in results), "refuted")
        return found

    def _verdict(self, drafts: Sequence[RuleDraft], erased: frozenset[KeyPath] = frozenset()) -> Verdict:
        if self.left <= 0:
            return "untried"
        outcome = self.run(drafts, erased)
        return "alike" if outcome and outcome.problem is None else "refuted"

    def refuse_blind(self, drafts: Sequence[RuleDraft]) -> None:
        """Refuses a probe that also passes on a model of NaN.

        Raises:
          CheckpointError: it passes (`InconclusiveProbe`).
        """
        plan = self._composition.exact_plan(drafts)
        assert plan is not None
        model = self._models.computed(plan)
        if model.has_floats:
            refuse_blind(self.probe, plan, self._old, model.model_of_nan())

    def _outcome(self, plan: Plan, model: Any, *, strict: bool) -> Outcome:
        agreeing = 0
        try:
            for pair in compare_models(self.probe, plan, self._old, model):
                if pair.problem:
                    return Outcome(agreeing, pair.name, pair.problem)
                agreeing += 1
        except MigrateError as error:
            if strict:
                raise
            return Outcome(agreeing, "", error.diagnostics[0].message)
        return Outcome(agreeing)


@dataclass(order=True, slots=True)
class _Candidate:
    """Drafts with one more change, in the order of likelihood."""

    order: tuple[int, ...]
    drafts: Drafts = field(compare=False)
    variant: Variant = field(compare=False)
    changes: int = field(compare=False)


def _search(drafts: Drafts, first: Outcome, trials: Trials) -> tuple[Drafts, int] | None:
    """Returns the drafts on which all outputs agree, and the number of changes to the suggestion; None without any."""
    if first.problem is None:
        return drafts, 0
    number = count()
    waiting = list(_candidates(drafts, first, 0, number))
    heapq.heapify(waiting)
    seen = {_assignment(drafts)}
    while waiting and trials.left > 0:
        candidate = heapq.heappop(waiting)
        for changed in map(tuple, candidate.variant.apply(candidate.drafts)):
            if trials.left <= 0 or _assignment(changed) in seen:
                continue
            seen.add(_assignment(changed))
            outcome = trials.run(changed)
            if outcome is None:
                continue
            if outcome.problem is None:
                return changed, candidate.changes
            for following in _candidates(changed, outcome, candidate.changes, number):
                heapq.heappush(waiting, following)
    return None


def _candidates(drafts: Drafts, outcome: Outcome, changes: int, number: Iterator[int]) -> Iterator[_Candidate]:
    for variant in variants(drafts):
        elsewhere = not any(contains_layer(path, outcome.layer) for path in variant.targets)
        order = (-outcome.agreeing, changes + (1 if variant.whole else 2), elsewhere, variant.rank, next(number))
        yield _Candidate(order, drafts, variant, changes + 1)


def _assignment(drafts: Drafts) -> frozenset[object]:
    return frozenset((draft.sources, draft.targets, draft.ops) for draft in drafts)
