"""`migrate check`: the mistakes of a rule file, alone or against a checkpoint and a model."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.console import Console, exit_with
from migrate.errors import ExitCode, RuleFileError
from migrate.report.view import Report, findings


@click.command(
    "check",
    short_help="The mistakes of a rule file, all at once.",
    epilog=options.BUNDLED,
    context_settings=options.SETTINGS,
)
@click.argument("rules")
@click.argument("src", required=False)
@options.template
@options.step
@options.item
@options.require_proof
@options.speaking
def command(
    console: Console,
    rules: str,
    src: str | None,
    template: str | None,
    step: int | str | None,
    item: str | None,
    require_proof: bool,
) -> None:
    """Find every mistake in a rule file; with SRC, also everything that stops its plan. Nothing is written."""
    if src is None and template is not None:
        raise click.UsageError("--template needs SRC: a template alone says nothing about the rules.")
    if src is None and require_proof:
        raise click.UsageError("--require-proof needs SRC: it is about the leaves of a checkpoint.")
    try:
        report = _report(rules, src, template, options.chosen_step(step), item, require_proof=require_proof)
    except RuleFileError as error:
        report = Report("check", ExitCode.NO, findings=findings(error.diagnostics, options.text_of))
    console.text(report, findings_are_the_answer=True)
    console.finish([report])
    exit_with(report.exit_code)


def _report(
    rules: str,
    src: str | None,
    template: str | None,
    step: options.StepChoice,
    item: str | None,
    *,
    require_proof: bool,
) -> Report:
    from migrate import api
    from migrate.planning.proof import count_proofs
    from migrate.report.amounts import plural
    from migrate.report.proofs import left_to_probe, proof_data

    rule_set = api.load_rules(rules)
    data: dict[str, object] = {"rules": len(rule_set.rules), "name": rule_set.name, "digest": rule_set.digest}
    if src is None:
        return Report("check", summary=(f"{rules} is fine: {plural(len(rule_set.rules), 'rule')}.",), data=data)
    with api.open_checkpoint(src, step, item, rule_set.source.unbox) as source:
        plan = api.plan(source, rule_set, template, require_proof=require_proof and rule_set.probe is None)
        data["proof"] = proof_data(count_proofs(plan.tasks))
    fine = f"{rules} is fine for {src}: {plural(len(rule_set.rules), 'rule')}, {plural(len(plan.tasks), 'task')}."
    ahead = left_to_probe(plan.tasks, rule_set.probe) if require_proof and rule_set.probe else ()
    return Report(
        "check",
        ExitCode.OK if plan.applicable else ExitCode.NO,
        summary=(fine, *ahead) if plan.applicable else (),
        findings=findings((*plan.diagnostics, *plan.source.concerns), options.text_of),
        data=data,
    )
