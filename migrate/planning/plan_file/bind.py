"""Binds a plan that was read from a file to the checkpoint at hand, whose structure must be the recorded one.

What depends on the checkpoint itself is decided here: guards against its metadata, the items that are carried over, and
which arrays are linked, copied or streamed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from migrate.codes import StalePlan
from migrate.errors import Diagnostic, PlanError
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.config import plan_config
from migrate.planning.guards import guard
from migrate.planning.model import Plan
from migrate.planning.plan_file.leaf_text import leaf_text
from migrate.planning.recorded_leaves import leaf_changes, listed_changes
from migrate.planning.relink import choose_modes
from migrate.tree import AbstractTree, format_path

if TYPE_CHECKING:
    from migrate.planning.planner import TemplateLike

_AGAIN = "`migrate plan RULES SRC -o FILE` writes the plan for this structure; review it again"


def bound(plan: Plan, source: AbstractCheckpoint, template: TemplateLike | None = None, *, link: bool = True) -> Plan:
    """Returns the plan for a checkpoint.

    Args:
      plan: a plan that was read from a file.
      source: the checkpoint at hand.
      template: the model whose code may be called for initial values and for a probe; its tree must be the target.
      link: whether arrays whose bytes do not change may be linked.

    Raises:
      PlanError: the source's structure, or the template's, is not the recorded one (`StalePlan`); the message names the
        leaves.
    """
    problems = [*_structure(plan, source), *(_model(plan, template) if template else ())]
    if problems:
        raise PlanError(*problems)
    gone = plan.source.extras.keys() - {*plan.extras}
    config, findings = plan_config(plan.rules.config, source, gone)
    modes = {"zarr3": source.zarr3, "plain": plan.rules.target.plain_zarr}
    linked = link and source.locates_chunks
    made = replace(
        plan,
        source=source,
        tasks=choose_modes(plan.tasks, source.tree, plan.target, **modes) if linked else plan.tasks,
        diagnostics=(
            *guard(source, plan.rules, None, facts=_facts(plan), config=config),
            *plan.diagnostics,
            *findings,
        ),
        config=config,
        extras=tuple(sorted(source.extras.keys() - gone)),
    )
    return _given(made, template) if template else made


def _given(plan: Plan, template: TemplateLike) -> Plan:
    """Returns the plan with the template of the caller, which needs no permission, in place of the file's."""
    target = replace(plan.rules.target, template=None, template_span=None)
    facts = getattr(template, "facts", None)
    known = facts.recorded if facts else plan.model_facts
    return replace(plan, template=template.spec, rules=replace(plan.rules, target=target), model_facts=known)


def _structure(plan: Plan, source: AbstractCheckpoint) -> Iterator[Diagnostic]:
    """Compares leaf by leaf; where the plan has no template, levels of boxes and lists decide the target as well."""
    exact = plan.template is None
    recorded, found = _described(plan.source.tree, exact=exact), _described(source.tree, exact=exact)
    if recorded != found:
        subject = f"the structure of {source.path} is not the one that the plan {plan.source.path} is for"
        items = source.items if len(source.items) > 1 else {}
        meant = next((name for name, tree in items.items() if _described(tree, exact=exact) == recorded), None)
        advice = f"`--item {shlex.quote(meant)}` chooses the item that the plan is for" if meant else _AGAIN
        yield _stale(subject, recorded, found, advice)


def _model(plan: Plan, template: TemplateLike) -> Iterator[Diagnostic]:
    """Compares the template with the target, which may also have random keys that a step of items carries over."""
    tops = {path[0] for path in template.tree.leaves if path}
    carried = {
        p for p in plan.target.leaves if len(p) == 1 and p[0] not in tops and plan.rules.target.layout == "items"
    }
    leaves = {path: leaf for path, leaf in plan.target.leaves.items() if path not in carried}
    target = replace(plan.target, leaves=leaves)
    recorded, found = _described(target, exact=True), _described(template.tree, exact=True)
    if recorded != found:
        yield _stale(f"the template `{template.spec}` is not the target of the plan", recorded, found)


def _described(tree: AbstractTree, *, exact: bool) -> Mapping[str, str]:
    """Returns each leaf, and with `exact` also the lists and tuples, as text by key path."""
    if not exact:
        return tree.signature
    nodes = {f"{format_path(path)}/": f"a {kind}" for path, kind in tree.containers.items() if kind != "dict"}
    return nodes | {format_path(path): leaf_text(leaf) for path, leaf in tree.leaves.items()}


def _stale(subject: str, recorded: Mapping[str, str], found: Mapping[str, str], advice: str = _AGAIN) -> Diagnostic:
    changes = leaf_changes(recorded, found)
    return StalePlan.at(f"{subject}: {listed_changes(changes)}", paths=[one.path for one in changes], help=advice)


@dataclass(frozen=True, slots=True)
class _RecordedFacts:
    """What a plan file records of its model, as the guards need it."""

    attributes: Mapping[str, tuple[Any, ...]]
    code_digests: Mapping[str, str]


def _facts(plan: Plan) -> _RecordedFacts:
    values = plan.model_facts.get("hyperparameters", {})
    return _RecordedFacts({name: (value,) for name, value in values.items()}, plan.model_facts.get("code_digests", {}))
