"""`migrate check`: reports the mistakes of a rule file, alone or against a checkpoint and a model."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.arguments import require_order
from migrate.cli.console import Console, exit_with
from migrate.cli.places import PLACE
from migrate.cli.sources import open_source
from migrate.errors import ExitCode, RuleFileError
from migrate.report.view import Report, findings


@click.command(
    "check",
    short_help="Report every mistake in a rule file.",
    epilog=options.BUNDLED,
    context_settings=options.SETTINGS,
)
@click.argument("rules", type=PLACE)
@click.argument("src", type=PLACE, required=False)
@options.template
@options.step
@options.item
@options.follow_links
@options.require_proof
@options.allow_code
@options.output
def command(
    console: Console,
    rules: str,
    src: str | None,
    template: str | None,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    require_proof: bool,
    allow_code: bool,
) -> None:
    """Report every mistake in a rule file; with SRC, also everything that prevents its plan. Writes nothing."""
    if src is None and template is not None:
        raise click.UsageError("--template needs SRC: the rules lead from a checkpoint to the template.")
    if src is None and require_proof:
        raise click.UsageError("--require-proof needs SRC: it concerns the leaves of a checkpoint.")
    if src is not None:
        require_order(rules, src)
    try:
        chosen = options.chosen_step(step)
        flags = {"require_proof": require_proof, "allow_code": allow_code}
        report = _report(rules, src, template, chosen, item, follow_links, **flags)
    except RuleFileError as error:
        report = Report("check", ExitCode.NO, findings=findings(error.diagnostics, options.text_of))
    console.text(report, findings_to_stdout=True)
    console.finish([report])
    exit_with(report.exit_code)


def _report(
    rules: str,
    src: str | None,
    template: str | None,
    step: options.StepChoice,
    item: str | None,
    follow_links: bool,
    *,
    require_proof: bool,
    allow_code: bool,
) -> Report:
    from migrate import api
    from migrate.planning.proof import count_proofs
    from migrate.report.amounts import plural
    from migrate.report.of_plan import plan_diagnostics
    from migrate.report.proofs import left_to_probe, proof_data

    rule_set = api.load_rules(rules)
    data: dict[str, object] = {"rules": len(rule_set.rules), "name": rule_set.name, "digest": rule_set.digest}
    if src is None:
        return Report("check", summary=(f"{rules} is valid: {plural(len(rule_set.rules), 'rule')}.",), data=data)
    with open_source(src, rule_set, step=step, item=item, follow_links=follow_links, template=template) as source:
        proof = require_proof and rule_set.probe is None
        plan = api.plan(source, rule_set, template, require_proof=proof, allow_code=allow_code)
        data["proof"] = proof_data(count_proofs(plan.tasks))
    applies = f"{rules} applies to {src}: {plural(len(rule_set.rules), 'rule')}, {plural(len(plan.tasks), 'task')}."
    pending = left_to_probe(plan.tasks, rule_set.probe) if require_proof and rule_set.probe else ()
    return Report(
        "check",
        ExitCode.OK if plan.applicable else ExitCode.NO,
        summary=(applies, *pending) if plan.applicable else (),
        findings=findings(plan_diagnostics(plan), options.text_of),
        data=data,
    )
