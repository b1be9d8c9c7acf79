"""`migrate diff`: compares a checkpoint, or the result of rules on it, with another checkpoint or a model."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

import click

from migrate.cli import candidates, options
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT
from migrate.cli.sources import open_source

if TYPE_CHECKING:
    from migrate.api import Checkpoint
    from migrate.planning.diff import Diff
    from migrate.planning.model import Plan
    from migrate.report.view import Report
    from migrate.rules.model import RuleSet
    from migrate.template import Template
    from migrate.tree import AbstractTree


@dataclass(frozen=True, slots=True)
class Expected:
    """The other side in the form that the planner takes: a template, or a checkpoint in place of one."""

    spec: str
    tree: AbstractTree
    transforms: frozenset[str] | None = None


@click.command(
    "diff",
    short_help="Compare with another checkpoint or a model.",
    epilog=options.examples(
        "migrate diff old/ --template my_model:make_state",
        "migrate diff old/ new/ --values",
        "migrate diff old/ new/ --rules rules.yaml",
    ),
    context_settings=options.SETTINGS,
)
@click.argument("src", type=CHECKPOINT)
@click.argument("dst", type=CHECKPOINT, required=False)
@options.template
@click.option(
    "--rules", metavar="RULES", shell_complete=candidates.rule_files, help="Compare the result of these rules on SRC."
)
@options.arguments
@options.config
@options.sources
@options.reverse
@options.step
@options.item
@options.follow_links
@click.option(
    "--values",
    is_flag=True,
    help="Compare values too: the leaves that differ, with the largest absolute and relative difference, the norm of "
    "the change and the numbers of NaN.",
)
@options.max_ram
@options.allow_code
@options.output
def command(
    console: Console,
    src: str,
    dst: str | None,
    template: str | None,
    rules: str | None,
    arguments: tuple[tuple[str, str], ...],
    config: str | None,
    sources: tuple[tuple[str, str], ...],
    reverse: bool,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    values: bool,
    max_ram: int,
    allow_code: bool,
) -> None:
    """Show the key paths that only one side has, and those that differ in shape, dtype or, with --values, in value.

    The other side is the checkpoint DST, the model of --template, or by default the model that the rule file names.
    Exit code 1 means that something differs.
    """
    from migrate import api
    from migrate.api.plans import template_of

    for ckpt in (src, dst):
        refuse_rule_file(ckpt or "")
    if dst is not None and template is not None:
        raise click.UsageError("Give DST or --template, not both.")
    if reverse and rules is None:
        raise click.UsageError("--reverse needs --rules: it compares the result of the rules, applied backwards.")
    rule_set = api.load_rules(rules, dict(arguments), config) if rules else None
    read_as = None if reverse else rule_set
    with ExitStack() as stack:
        source = stack.enter_context(
            open_source(
                src,
                read_as,
                step=options.chosen_step(step),
                item=item,
                follow_links=follow_links,
                template=None if reverse else template,
                sources=sources,
            )
        )
        other = stack.enter_context(api.open_checkpoint(dst, follow_links=follow_links)) if dst is not None else None
        for checkpoint in (source, *([other] if other else [])):
            checkpoint.require_complete()
        target = other or template_of(read_as, template, allow_code=allow_code)
        if values and other is None:
            raise click.UsageError("--values needs DST: a model has no values to compare with.")
        budget = max_ram if values else None
        plan = _plan(source, rule_set, target, reverse=reverse) if rule_set and target else None
        report = _report(console, source, target, template, plan, rule_set, max_ram=budget, allow_code=allow_code)
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)


def _report(
    console: Console,
    source: Checkpoint,
    target: Checkpoint | Template | None,
    template: str | None,
    plan: Plan | None,
    rules: RuleSet | None,
    *,
    max_ram: int | None,
    allow_code: bool,
) -> Report:
    """Returns the report; values are compared if there is a budget for them."""
    from migrate import api
    from migrate.checkpoint import Checkpoint
    from migrate.report.of_diff import SideLabel, diff_report
    from migrate.report.of_plan import plan_diagnostics

    other = target if isinstance(target, Checkpoint) else None
    if target is None:
        raise click.UsageError("There is nothing to compare with: give DST or --template M:F.")
    found = _diff_of_result(plan, target) if plan else api.diff(source, target)
    values = None
    if other is not None and max_ram is not None:
        with console.progress() as listener:
            values = api.diff_values(
                source, other, found, plan=plan, max_ram=max_ram, allow_code=allow_code, listener=listener
            )
    return diff_report(
        found,
        SideLabel(str(source.abstract.path), source.abstract.format + (f" under {rules.path}" if rules else "")),
        SideLabel(str(other.abstract.path), other.abstract.format) if other else SideLabel(_name(target), "template"),
        advice=_advice(source, template, rules, other),
        verbose=console.complete,
        diagnostics=plan_diagnostics(plan) if plan else (),
        values=values,
        text_of=options.text_of,
    )


def _name(target: Checkpoint | Template) -> str:
    """Returns the target as the user named it."""
    spec = getattr(target, "spec", None)
    return spec if isinstance(spec, str) else "DST"


def _plan(source: Checkpoint, rules: RuleSet, target: Checkpoint | Template, *, reverse: bool) -> Plan:
    from migrate import api

    expected = Expected(_name(target), target.tree, getattr(target, "transforms", None))
    return api.plan(source, rules, expected, reverse=reverse)


def _diff_of_result(plan: Plan, target: Checkpoint | Template) -> Diff:
    """Compares the result of the rules with the target; leaves that no rule names keep their paths."""
    from migrate.planning.derived_tree import derive_tree
    from migrate.planning.diff import diff
    from migrate.tree import AbstractTree

    moved = derive_tree(plan.source.tree, plan.tasks, plan.created, boxes=False)
    left = {path: leaf for path, leaf in plan.source.tree.leaves.items() if path in set(plan.unexpected)}
    return diff(AbstractTree.build({**left, **moved.leaves}.items()), target.tree)


def _advice(source: Checkpoint, template: str | None, rules: RuleSet | None, other: Checkpoint | None) -> str:
    """Returns the next command, as it can be pasted."""
    path = quote(str(source.abstract.path))
    model = f" --template {quote(template)}" if template else ""
    if rules and other is None:
        file = quote(rules.path)
        return f"edit {file}; `migrate check {file} {path}{model}` shows what is missing"
    if rules:
        return f"edit {quote(rules.path)} and compare again"
    if template:
        return f"`migrate suggest {path}{model} -o rules.yaml` drafts a rule file"
    return f"write a rule file, then run `migrate check rules.yaml {path}`"
