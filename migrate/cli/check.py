"""`migrate check`: reports the mistakes of a rule file, alone or against a checkpoint and a model, or of a folder."""

from __future__ import annotations

import os
from shlex import quote
from typing import Any

import click

from migrate.cli import options
from migrate.cli.arguments import is_rule_file, require_order
from migrate.cli.check_folder import check_folder
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT, PLACE
from migrate.cli.sources import open_source
from migrate.errors import ExitCode, PlanError, RuleFileError
from migrate.report.view import Report, findings


@click.command(
    "check",
    short_help="Report every mistake in a rule file or a folder of them.",
    epilog=options.examples(
        "migrate check rules.yaml",
        "migrate check rules.yaml old/ --template my_model:make_state",
        "migrate check rules/ --write",
        bundled=True,
    ),
    context_settings=options.SETTINGS,
)
@click.argument("rules", type=PLACE)
@click.argument("src", type=CHECKPOINT, required=False)
@options.arguments
@options.config
@options.sources
@options.reverse
@options.template
@options.step
@options.item
@options.follow_links
@options.require_proof
@options.allow_code
@click.option("--write", is_flag=True, help="Of a folder: add new files to migrate.lock; with --template, the draft.")
@click.option("-m", "--message", metavar="TEXT", help="What changes; a part of the name of the drafted rule file.")
@options.output
def command(
    console: Console,
    rules: str,
    src: str | None,
    arguments: tuple[tuple[str, str], ...],
    config: str | None,
    sources: tuple[tuple[str, str], ...],
    reverse: bool,
    template: str | None,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    require_proof: bool,
    allow_code: bool,
    write: bool,
    message: str | None,
) -> None:
    """Report every mistake in a rule file; with SRC, also everything that prevents its plan.

    If RULES is a folder with the rule files of all versions of a model, check them without a checkpoint: plan every
    step and every path with the recorded trees, compare the files with migrate.lock, and report gaps, a second newest
    version, and what the rule files lose. With --template, also check that the model is the newest version, or draft
    the missing rule file.

    `[tool.migrate]` of pyproject.toml decides which findings are errors. Nothing is written without --write.
    """
    if os.path.isdir(rules) and not (src is not None and is_rule_file(src)):
        _require_no_source(rules, src, step, item, follow_links=follow_links, require_proof=require_proof)
        check_folder(console, rules, template, message or "", write=write)
    if write or message is not None:
        raise click.UsageError(f"{'--write' if write else '--message'} is for a folder of rule files.")
    if src is None and template is not None:
        raise click.UsageError("--template needs SRC: the rules lead from a checkpoint to the template.")
    if src is None and sources:
        raise click.UsageError("--source NAME=PATH needs SRC, the main source.")
    if src is None and require_proof:
        raise click.UsageError("--require-proof needs SRC: it concerns the leaves of a checkpoint.")
    if src is None and reverse:
        raise click.UsageError("--reverse needs SRC: the way back depends on the leaves of a checkpoint.")
    if src is not None:
        require_order(rules, src)
    try:
        chosen = options.chosen_step(step)
        flags: dict[str, Any] = {"require_proof": require_proof, "allow_code": allow_code, "reverse": reverse}
        flags |= {"config": config, "sources": sources}
        report = _report(rules, src, template, chosen, item, follow_links, dict(arguments), **flags)
    except (RuleFileError, PlanError) as error:
        report = Report("check", ExitCode.NO, findings=findings(error.diagnostics, options.text_of))
    console.text(report, findings_to_stdout=True)
    console.finish([report])
    exit_with(report.exit_code)


def _require_no_source(
    folder: str, src: str | None, step: int | str | None, item: str | None, *, follow_links: bool, require_proof: bool
) -> None:
    """Refuses what concerns a checkpoint, where a folder is checked."""
    if src is not None:
        raise click.UsageError(
            f"`{folder}` is a folder of rule files, which is checked without SRC; "
            f"`migrate upgrade {quote(folder)} {quote(src)} DST --dry-run` plans the upgrade of a checkpoint."
        )
    given = {"--step": step, "--item": item, "--follow-links": follow_links, "--require-proof": require_proof}
    for name, value in given.items():
        if value not in (None, False):
            raise click.UsageError(f"{name} concerns a checkpoint; `{folder}` is a folder of rule files.")


def _report(
    rules: str,
    src: str | None,
    template: str | None,
    step: options.StepChoice,
    item: str | None,
    follow_links: bool,
    arguments: dict[str, str],
    *,
    config: str | None,
    sources: tuple[tuple[str, str], ...],
    require_proof: bool,
    allow_code: bool,
    reverse: bool,
) -> Report:
    from migrate import api
    from migrate.planning.proof import count_proofs
    from migrate.report.amounts import plural
    from migrate.report.of_plan import plan_diagnostics
    from migrate.report.proofs import left_to_probe, proof_data
    from migrate.rules.policy_file import load_policy

    rule_set = api.load_rules(rules, arguments, config)
    data: dict[str, object] = {"rules": rule_set.count, "name": rule_set.name, "digest": rule_set.digest}
    policy, mistakes = load_policy(rules if os.path.exists(rules) else ".")
    invalid = (*mistakes, *policy.idle([rules], None))
    if src is None:
        valid = f"{rules} is valid: {plural(rule_set.count, 'rule')}."
        code = ExitCode.NO if invalid else ExitCode.OK
        return Report("check", code, summary=(valid,), findings=findings(invalid, options.text_of), data=data)
    named = None if reverse else template
    read_as = None if reverse else rule_set
    how: dict[str, Any] = {"follow_links": follow_links, "template": named, "sources": sources}
    with open_source(src, read_as, step=step, item=item, **how) as source:
        proof = require_proof and rule_set.probe is None
        plan = api.plan(source, rule_set, template, require_proof=proof, allow_code=allow_code, reverse=reverse)
        data["proof"] = proof_data(count_proofs(plan.tasks))
    way = " in reverse" if reverse else ""
    applies = f"{rules} applies{way} to {src}: {plural(plan.rules.count, 'rule')}, {plural(len(plan.tasks), 'task')}."
    found = (*policy.applied(plan_diagnostics(plan)), *invalid)
    is_good = not any(one.is_error for one in found)
    pending = left_to_probe(plan.tasks, rule_set.probe) if require_proof and rule_set.probe else ()
    return Report(
        "check",
        ExitCode.OK if is_good else ExitCode.NO,
        summary=(applies, *pending) if is_good else (),
        findings=findings(found, options.text_of),
        data=data,
    )
