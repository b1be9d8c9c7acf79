"""Proof by value: the user's own function computes outputs of the old model and of the new one, which are compared.

Shapes cannot distinguish two layers of one size, nor a square matrix from its transpose; outputs can. The function gets
the old checkpoint's tree and the new model, as plain Orbax and `nnx.merge` restore it, and yields pairs of arrays.
Pairs of intermediate outputs, in the order of the layers, locate the layer of the first difference.

A probe that passes proves the leaves that a model computes with: all of its Variables but those of optimizers and of
random streams, and the arrays that it holds without a Variable. The optimizer's moments have their param's proof. A
pair that is named by a leaf's key path proves that leaf, whatever its kind.

A probe that compares the old model with itself would pass as well. So a probe that passes runs again on a model whose
every float is NaN, and has to fail there.
"""

from __future__ import annotations

import inspect
import io
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrate.codes import InconclusiveProbe, InvalidUsage, OutputMismatch
from migrate.engine.options import DEFAULT_TOLERANCE
from migrate.engine.outputs.registry import output_of
from migrate.engine.probing.local_copy import local_copy
from migrate.engine.probing.output_pair import Difference, OutputPair, PairError, Tolerance
from migrate.engine.probing.restored_model import RestoredModel
from migrate.engine.probing.source_tree import whole_tree
from migrate.errors import CheckpointError, Diagnostic, PlanError, UsageError, VerifyError
from migrate.formats.reader import Reader
from migrate.planning.model import Plan, Task
from migrate.planning.proof import after_probe, refuse_unproved
from migrate.rules.recorded_tree import require_callable
from migrate.template import Template, abstract_template
from migrate.template.user_code import load, running
from migrate.tree import AbstractLeaf, KeyPath, format_path

TRAINING = frozenset({"OptState", "OptArray", "OptVariable", "RngState", "RngKey", "RngCount"})
"""NNX Variables on which no output of a model in evaluation depends."""

StrPath = str | os.PathLike[str]

MOST_PAIRS = 12
"""The most pairs whose figures a message lists."""

_END = object()

_CONTRACT = "`def probe(old, model)` returns or yields pairs `(old, new)` or `(name, old, new)`"


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe to run.

    Attributes:
      spec: `module:function`.
      tolerance: the differences that pass.
    """

    spec: str
    tolerance: Tolerance

    def __post_init__(self) -> None:
        for value in (self.tolerance.absolute, self.tolerance.relative):
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(InvalidUsage.at(f"{value} is not a tolerance", help="give a number such as 1e-5"))


@dataclass(frozen=True, slots=True)
class PairFigures:
    """The figures of one compared pair: its place in messages, its name or "", its elements and their difference."""

    place: str
    name: str
    elements: int
    difference: Difference

    def __str__(self) -> str:
        beyond = f", {self.difference.beyond:,} beyond the tolerance" if self.difference.beyond else ""
        return (
            f"{self.place}: {self.elements:,} {'value' if self.elements == 1 else 'values'}, {self.difference}{beyond}"
        )


@dataclass(frozen=True, slots=True)
class Probed:
    """The findings of a probe that passed.

    Attributes:
      spec, tolerance: as in `Probe`.
      figures: the compared pairs, in the order of the probe.
      seen: the target leaves that it proves.
    """

    spec: str
    tolerance: Tolerance
    figures: tuple[PairFigures, ...]
    seen: frozenset[KeyPath]

    @property
    def pairs(self) -> int:
        """The number of compared pairs."""
        return len(self.figures)

    @property
    def largest(self) -> float:
        """The largest absolute difference among all pairs."""
        return max(pair.difference.absolute for pair in self.figures)


def chosen_probe(
    plan: Plan, spec: str | None, atol: float | None, rtol: float | None, destination: StrPath
) -> Probe | None:
    """Imports and returns the probe that the caller names, or else the rule file; None where neither names one.

    Tolerances that the caller does not give are those of the rule file, if the probe is its own, or the default.

    Raises:
      UsageError: the tolerance is invalid (`InvalidUsage`), Orbax can restore no model (`InconclusiveProbe`), or only
        the tree of the model is recorded (`ModelNeeded`).
      CheckpointError: the probe cannot be imported or called (`InconclusiveProbe`).
    """
    rules = plan.rules
    spec = spec or rules.probe
    if not spec:
        return None
    own = (rules.probe_atol, rules.probe_rtol) if spec == rules.probe else (None, None)
    if plan.template is None:
        advice = "give `--template module:callable`, or `target: {template: …}` in the rule file"
        raise UsageError(
            InconclusiveProbe.at(f"the probe `{spec}` needs a model, and no template is given", help=advice)
        )
    require_callable(plan.template, f"the probe `{spec}` runs")
    if not output_of(destination, plan).is_orbax or Path(destination).is_file():
        advice = "write an Orbax checkpoint and probe it, then write this DST with the same rules"
        raise UsageError(
            InconclusiveProbe.at(f"`{destination}` is not a checkpoint from which Orbax restores a model", help=advice)
        )
    probe = Probe(spec, Tolerance(*map(_first_given, (atol, rtol), own)))
    probe_function(spec)
    return probe


def _first_given(*values: float | None) -> float:
    return next((value for value in values if value is not None), DEFAULT_TOLERANCE)


def run_probe(probe: Probe, reader: Reader, plan: Plan, checkpoint: Path) -> Probed:
    """Runs a probe on the checkpoint that a plan has written.

    Args:
      probe: the probe.
      reader: the source.
      plan: the plan, with a template and the unproved tasks.
      checkpoint: the written checkpoint.

    Raises:
      CheckpointError: the probe cannot be imported, fails, or yields nothing to compare (`InconclusiveProbe`).
      VerifyError: outputs differ (`OutputMismatch`), or the model cannot be restored (`VerificationFailed`).
    """
    assert plan.template is not None
    target = plan.rules.target
    template = abstract_template(plan.template, target.args, target.layout or "state")
    old = whole_tree(reader)
    with local_copy(checkpoint) as here:
        new = RestoredModel(plan, here)
    compared = list(compare_models(probe, plan, old, new.model()))
    _refuse(compared, probe)
    if new.has_floats:
        refuse_blind(probe, plan, old, new.model_of_nan())
    names = {pair.name for pair in compared}
    figures = tuple(pair.figures for pair in compared if pair.figures)
    return Probed(probe.spec, probe.tolerance, figures, seen_by_probe(template, names))


def compare_models(probe: Probe, plan: Plan, old: Any, model: Any) -> Iterator[ComparedPair]:
    """Yields the pairs of a probe one by one after their comparison, so that the caller can stop at a difference.

    Raises:
      CheckpointError: as `run_probe`.
    """
    return (_compare(pair, probe, plan) for pair in _pairs(probe.spec, probe_function(probe.spec), old, model))


def prove(
    plan: Plan, probe: Probe | None, reader: Reader, checkpoint: Path, *, all_of_it: bool
) -> tuple[Plan, Probed | None]:
    """Runs a probe; returns the plan with the proofs that it adds, and its findings.

    Args:
      plan: the plan that was carried out.
      probe: the probe; None runs nothing.
      reader: the source.
      checkpoint: the written checkpoint.
      all_of_it: whether leaves that stay unproved are errors.

    Raises:
      PlanError: leaves stay unproved (`UnprovedLeaves`). Otherwise see `run_probe`.
    """
    probed = run_probe(probe, reader, plan, checkpoint) if probe else None
    proved = after_probe(plan, probed.seen) if probed else plan
    unproved = list(refuse_unproved(proved.tasks, probe.spec if probe else None)) if all_of_it else []
    if unproved:
        raise PlanError(*unproved)
    return proved, probed


def seen_by_probe(template: Template, names: Iterable[str]) -> frozenset[KeyPath]:
    """Returns the leaves of a template that a probe proves.

    Args:
      template: the structure of the new model.
      names: the names of the compared pairs.
    """
    named, leaves = set(names), template.tree.leaves
    models = {_part(template, path) for path, kind in template.variables.items() if kind not in TRAINING}
    return frozenset(
        path
        for path, leaf in leaves.items()
        if leaf.has_data and (format_path(path) in named or _computes(template, path, leaf, models))
    )


def _computes(template: Template, path: KeyPath, leaf: AbstractLeaf, models: set[str]) -> bool:
    """Returns whether a leaf belongs to a model; in a plain pytree, without Variables, all do but integer scalars."""
    variable = template.variables.get(path)
    if variable is not None:
        return variable not in TRAINING
    if template.variables:
        return _part(template, path) in models
    return leaf.aval is not None and not (leaf.aval.shape == () and "int" in leaf.aval.dtype)


def _part(template: Template, path: KeyPath) -> str:
    return path[0] if template.parts else ""


def probe_function(spec: str) -> Callable[[Any, Any], Any]:
    """Imports and returns the function of a probe.

    Raises:
      CheckpointError: it cannot be imported, or called with two arguments (`InconclusiveProbe`).
    """
    found = load(spec, InconclusiveProbe)
    if not callable(found):
        raise CheckpointError(
            InconclusiveProbe.at(f"`{spec}` is a {type(found).__name__}, not a function", help=_CONTRACT)
        )
    try:
        inspect.signature(found).bind(None, None)
    except TypeError as error:
        raise CheckpointError(
            InconclusiveProbe.at(f"`{spec}` does not take two arguments: {error}", help=_CONTRACT)
        ) from None
    except ValueError:  # built-in callables may have no signature
        pass
    function: Callable[[Any, Any], Any] = found
    return function


def refuse_blind(probe: Probe, plan: Plan, old: Any, model_of_nan: Any) -> None:
    """Refuses a probe that passes on a model of NaN.

    Raises:
      CheckpointError: it passes (`InconclusiveProbe`).
    """
    if not notices(probe, plan, old, model_of_nan):
        message = f"`{probe.spec}` also passes on a model of NaN, so it proves nothing"
        raise CheckpointError(
            InconclusiveProbe.at(message, help="compare outputs of `model` with outputs of the old model")
        )


def notices(probe: Probe, plan: Plan, old: Any, model: Any) -> bool:
    """Returns whether a pair differs, or the probe fails."""
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return any(pair.problem for pair in compare_models(probe, plan, old, model))
    except CheckpointError:
        return True


def _pairs(spec: str, function: Callable[[Any, Any], Any], old: Any, model: Any) -> Iterator[OutputPair]:
    """Yields the pairs one by one, so that only one pair of intermediate outputs has to be in memory."""
    with running(spec, InconclusiveProbe):
        given = function(old, model)
        rest = iter((given,) if _is_one_pair(given) else given) if _is_iterable(given) else iter(())
    if not _is_iterable(given):
        raise CheckpointError(
            InconclusiveProbe.at(f"`{spec}` returned {type(given).__name__} instead of pairs", help=_CONTRACT)
        )
    number = 0
    while True:
        with running(spec, InconclusiveProbe):
            found = next(rest, _END)
        if found is _END:
            break
        number += 1
        try:
            yield OutputPair.read(found, number)
        except PairError as error:
            raise CheckpointError(InconclusiveProbe.at(f"`{spec}`: {error}", help=_CONTRACT)) from None
    if not number:
        raise CheckpointError(InconclusiveProbe.at(f"`{spec}` yielded no pair, which proves nothing", help=_CONTRACT))


def _is_iterable(given: Any) -> bool:
    return hasattr(given, "__iter__") and not hasattr(given, "shape") and not isinstance(given, str | dict)


def _is_one_pair(given: Any) -> bool:
    """Returns whether the value is a single pair, `return old_output, new_output`, and not a collection of pairs."""
    return isinstance(given, tuple) and len(given) in (2, 3) and not any(isinstance(m, tuple | list) for m in given)


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """A pair after its comparison, without its arrays.

    Attributes:
      name: the name that the probe gives it, or "".
      figures: the figures of the comparison; None where shapes or kinds differ.
      problem: the difference, if there is one.
      suspects: unproved tasks that fill the layer of this name.
    """

    name: str
    figures: PairFigures | None
    problem: str | None
    suspects: tuple[Task, ...]

    def __str__(self) -> str:
        return str(self.figures or self.problem)


def _compare(pair: OutputPair, probe: Probe, plan: Plan) -> ComparedPair:
    problem, figures = pair.misfit(), None
    if problem is None:
        found = pair.difference(probe.tolerance)
        figures = PairFigures(pair.place, pair.name, pair.old.size, found)
        problem = _excess(pair, found, probe.tolerance) if found.beyond else None
    suspects = tuple(_suspects(pair.name, plan)) if problem else ()
    return ComparedPair(pair.name, figures, problem, suspects)


def _excess(pair: OutputPair, found: Difference, tolerance: Tolerance) -> str:
    nan = pair.count_nan()
    beside = f" ({nan:,} of {pair.old.size:,} are NaN on one side only)" if nan else ""
    return f"{pair.place}: {found}; {found.beyond:,} of {pair.old.size:,} values exceed {tolerance}{beside}"


def _suspects(name: str, plan: Plan) -> Iterator[Task]:
    """Yields unproved tasks into leaves whose key path contains the consecutive segments of a pair's name."""
    for task in plan.tasks if name else ():
        if task.proved == "none" and not task.follows and any(contains_layer(path, name) for path in task.targets):
            yield task


def contains_layer(path: KeyPath, name: str) -> bool:
    """Returns whether a key path contains the consecutive segments of a pair's name."""
    wanted = tuple(segment for segment in name.replace(".", "/").split("/") if segment)
    starts = range(len(path) - len(wanted) + 1) if wanted else ()
    return any(path[start : start + len(wanted)] == wanted for start in starts)


def _refuse(compared: list[ComparedPair], probe: Probe) -> None:
    """Raises for the first pair that differs; later pairs may differ only because of it."""
    wrong = [pair for pair in compared if pair.problem]
    if wrong:
        raise VerifyError(_difference(wrong, compared, probe))


def _difference(wrong: list[ComparedPair], compared: list[ComparedPair], probe: Probe) -> Diagnostic:
    first = wrong[0]
    before = compared.index(first)
    agree = f"; the {before} before it agree" if before else ""
    shown = compared[max(before - MOST_PAIRS // 2, 0) :][:MOST_PAIRS]
    rules = {task.rule for task in first.suspects}
    return OutputMismatch.at(
        f"`{probe.spec}`: {first.problem} (the first of {len(wrong)} that differ, of {len(compared)} pairs{agree})",
        span=rules.pop() if len(rules) == 1 else None,
        paths=[format_path(path) for task in first.suspects for path in task.targets],
        help="look at the rules that fill this layer"
        + ("; these of its leaves are unproved" if first.suspects else "; `apply -n -v` lists what is unproved")
        + (f"; the {len(shown)} pairs around it:" if len(compared) > 1 else ""),
        snippet=map(str, shown) if len(compared) > 1 else (),
    )
