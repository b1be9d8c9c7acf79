"""`migrate verify`: checks a checkpoint against its own record, its source and rules, or a model."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from shlex import join
from typing import TYPE_CHECKING

import click

from migrate.cli import candidates, options
from migrate.cli.arguments import refuse_rule_file
from migrate.cli.console import Console, exit_with
from migrate.cli.places import CHECKPOINT
from migrate.cli.sources import open_source
from migrate.codes import InvalidUsage
from migrate.errors import PlanError, UsageError
from migrate.report.view import Report
from migrate.rules.sources_type import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrate.api import Verified
    from migrate.checkpoint import Checkpoint
    from migrate.engine.verification.findings import ValuesDiffer
    from migrate.planning.model import Plan
    from migrate.rules.folder import RuleFolder
    from migrate.rules.model import RuleSet
    from migrate.template import Template


SHOWN = 3
"""The most lines of key paths in a sentence."""


@click.command(
    "verify",
    short_help="Verify a migrated checkpoint.",
    epilog=options.examples(
        "migrate verify new/",
        "migrate verify new/ --source old/ --rules rules.yaml",
        "migrate verify new/ --template my_model:make_state",
    ),
    context_settings=options.SETTINGS,
)
@click.argument("dst", type=CHECKPOINT)
@click.option(
    "--source",
    "given",
    multiple=True,
    metavar="SRC|NAME=PATH",
    shell_complete=candidates.file,
    help="The checkpoint that DST was migrated from; needs --rules. With NAME=PATH, the path of a source that RULES "
    "declares beside it; may be given several times (default: that of RULES).",
)
@click.option(
    "--rules",
    metavar="RULES",
    shell_complete=candidates.rule_files,
    help="The rule file or folder that DST was migrated by; needs --source.",
)
@click.option("--from", "start", metavar="V", help="With a folder: version of SRC (default: from the record of SRC).")
@options.arguments
@options.config
@options.reverse
@options.template
@options.step
@options.item
@options.follow_links
@options.probe
@options.tolerance
@options.rtol
@options.allow_code
@options.max_ram
@options.jobs
@options.output
def command(
    console: Console,
    dst: str,
    given: tuple[str, ...],
    rules: str | None,
    start: str | None,
    arguments: tuple[tuple[str, str], ...],
    config: str | None,
    reverse: bool,
    template: str | None,
    step: int | str | None,
    item: str | None,
    follow_links: bool,
    probe: str | None,
    tolerance: float | None,
    rtol: float | None,
    allow_code: bool,
    max_ram: int,
    jobs: int | None,
) -> None:
    """Verify the checkpoint DST, and state what that proves.

    DST alone: its structure and the digests of its values match its own record. With --source and --rules: every leaf
    equals the result of the rules on the source, bit for bit (--step and --item apply to SRC). With --template: DST
    has exactly the leaves of that model. With --probe: the old and the new model compute the same outputs.
    """
    from migrate import api
    from migrate.engine.streaming.allocator import keep_freed_memory
    from migrate.engine.verification.findings import ValuesDiffer
    from migrate.report.of_plan import plan_diagnostics

    keep_freed_memory()
    refuse_rule_file(dst)
    if bool(given) != (rules is not None):
        raise click.UsageError("--source and --rules must be given together.")
    if probe is not None and not given:
        raise click.UsageError("--probe needs --source and --rules: it compares the new model with the old one.")
    with ExitStack() as stack:
        how = _Rules.of(rules, template, dst, start, dict(arguments), config, reverse=reverse, allow_code=allow_code)
        rule_set, model = how.rule_set, how.model
        opened = plan = None
        if given:
            known, chosen_step = how.reading, options.chosen_step(step)
            source, named = _main_and_named(given, known)
            opened = stack.enter_context(
                open_source(source, known, step=chosen_step, item=item, follow_links=follow_links, sources=named)
            )
            plan = how.plan(opened)
            if not plan.applicable:
                raise PlanError(*plan_diagnostics(plan, dst))
        listener = stack.enter_context(console.progress())
        chosen = probe or _permitted_probe(rule_set, allow_code=allow_code)
        try:
            done = api.verify(
                dst,
                plan=plan,
                source=opened,
                template=model,
                probe=chosen,
                tolerance=tolerance,
                rtol=rtol,
                allow_code=allow_code,
                max_ram=max_ram,
                jobs=jobs,
                listener=listener,
                follow_links=follow_links,
            )
        except ValuesDiffer as error:
            if plan is None or not error.changes:
                raise
            report = _difference(dst, error, plan)
        else:
            skipped = rule_set.probe if rule_set and not chosen else None
            report = Report("verify", summary=(*_sentences(dst, done), *_skipped(skipped)), data=_data(done))
    console.text(report)
    console.finish([report])
    exit_with(report.exit_code)


def _main_and_named(given: Sequence[str], rules: RuleSet) -> tuple[str, list[tuple[str, str]]]:
    """Returns SRC, and the names and paths of the other sources, from the values of `--source`.

    `NAME=PATH` is a path itself if it exists and the rules declare no source of this name.
    """
    main: list[str] = []
    named: list[tuple[str, str]] = []
    for text in given:
        name, equals, path = text.partition("=")
        if equals and (name in rules.sources or (NAME.fullmatch(name) and not os.path.lexists(text))):
            named.append((name, CHECKPOINT.convert(path, None, None)))
        else:
            main.append(CHECKPOINT.convert(text, None, None))
    if len(main) != 1:
        found = f"{len(main)} paths without a name" if main else "only named sources"
        raise click.UsageError(f"--source has {found}; give SRC once, and other sources as NAME=PATH.")
    refuse_rule_file(main[0])
    return main[0], named


@dataclass(frozen=True, slots=True)
class _Rules:
    """What `--rules` and `--template` name: a rule file, a plan file, a folder of rule files, or nothing.

    Attributes:
      rule_set: the rules of a file.
      model: the template; None if none is named, or if only a plan file names one.
      saved: the plan of a plan file.
      folder: the folder.
      dst: the checkpoint, whose version is the one to which the rule files of a folder lead.
      start: the version from which they lead; None for that of the source's record.
      reverse: whether DST was written by the rule file in reverse.
    """

    rule_set: RuleSet | None
    model: Template | None
    saved: Plan | None = None
    folder: RuleFolder | None = None
    dst: str = ""
    start: str | None = None
    reverse: bool = False

    @classmethod
    def of(
        cls,
        rules: str | None,
        template: str | None,
        dst: str,
        start: str | None,
        arguments: dict[str, str],
        config: str | None,
        *,
        reverse: bool,
        allow_code: bool,
    ) -> _Rules:
        """Returns the rules of a command line, whose arguments these are."""
        from migrate import api
        from migrate.api.plan_files import is_plan_file, open_plan
        from migrate.api.plans import template_of

        if rules and os.path.isdir(rules):
            model = template_of(None, template, allow_code=allow_code)
            return cls(None, model, folder=api.load_versions(rules), dst=dst, start=start)
        if start is not None:
            message = "`--from` names the version from which the rule files of a folder lead"
            raise UsageError(InvalidUsage.at(message, help="let `--rules` be a folder, or leave out `--from`"))
        saved = open_plan(rules) if rules and is_plan_file(rules) else None
        rule_set = saved.rules if saved else api.load_rules(rules, arguments, config) if rules else None
        if rule_set and reverse:
            return cls(replace(rule_set, probe=None), template_of(None, template), reverse=True)
        model = None if saved and not template else template_of(rule_set, template, allow_code=allow_code)
        return cls(rule_set, model, saved)

    @property
    def reading(self) -> RuleSet:
        """The rules that decide how the source is read."""
        from migrate.rules.model import RuleSet

        if self.rule_set and not self.reverse:
            return self.rule_set
        return RuleSet(self.folder.path if self.folder else "", "", ())

    def plan(self, source: Checkpoint) -> Plan:
        """Returns the plan from a source to the checkpoint."""
        from migrate import api
        from migrate.api.plan_files import bind_plan
        from migrate.metadata import Metadata

        if self.saved:
            return bind_plan(self.saved, source, self.model)
        if self.folder is None:
            assert self.rule_set is not None
            return api.plan(source, self.rule_set, self.model, reverse=self.reverse)
        with api.open_checkpoint(self.dst) as checkpoint:
            record = Metadata.from_json(checkpoint.abstract.metadata)
        to = record.version if record else None
        return api.plan_upgrade(source, self.folder, self.model, to=to, start=self.start)


def _difference(dst: str, error: ValuesDiffer, plan: Plan) -> Report:
    """Returns the report on leaves that differ from the result of the rules, with a row for each group of them."""
    from migrate.report.amounts import plural
    from migrate.report.of_values import value_rows, values_data
    from migrate.report.view import findings

    return Report(
        "verify",
        error.exit_code,
        rows=tuple(value_rows(error.changes, plan.target)),
        summary=(f"{plural(len(error.changes), 'leaf')} of {dst}: not the result of the rules on the source.",),
        findings=findings(error.diagnostics, options.text_of),
        data={"values": {"differ": values_data(error.changes)}},
    )


def _permitted_probe(rules: RuleSet | None, *, allow_code: bool) -> str | None:
    """Returns the rule file's probe if it may run; a probe that may not is reported, not refused."""
    from migrate.rules.permission import refusals, require_permission

    if rules is None or any(refusals(rules.probe_code, allow_code=allow_code)):
        return None
    require_permission(rules.probe_code, allow_code=allow_code)
    return rules.probe


def _sentences(dst: str, done: Verified) -> Iterator[str]:
    from migrate.report.amounts import plural
    from migrate.report.proofs import pair_lines, probe_sentence, proof_counts

    if done.compared is not None:
        compared, equal = plural(done.compared, "leaf"), "equals" if done.compared == 1 else "equal"
        yield f"Verified: {compared} of {dst} {equal} the result of the rules on the source, bit for bit."
    else:
        yield from _digest_sentences(dst, done)
    if done.probe:
        yield f"{probe_sentence(done.probe)} {proof_counts(done.proofs)}."
        yield from pair_lines(done.probe)
    if done.template:
        yield f"Its key paths, shapes and dtypes match `{done.template}`."
    if done.recorded:
        yield f"Its structure matches the hash that it records, {done.recorded[:19]}…"
    else:
        yield "It records no structure hash to compare its structure with."
    if done.compared is None:
        yield "Values were not compared with a source; --source and --rules do that."


def _digest_sentences(dst: str, done: Verified) -> Iterator[str]:
    """Yields which values were compared with recorded digests, and which were only decoded."""
    from migrate.report.amounts import plural

    if done.digests:
        have = (
            "leaf of {} has the digest that is recorded for it"
            if done.digests == 1
            else ("leaves of {} have the digests that are recorded for them")
        )
        yield f"Verified: {done.digests:,} {have.format(dst)}: no value has changed."
    if done.undigested:
        were = "was" if len(done.undigested) == 1 else "were"
        yield f"{plural(len(done.undigested), 'leaf')} of {dst} {were} decoded, not compared: {_without_digest(done)}."
        if os.path.isdir(dst):
            yield f"`{join(['migrate', 'stamp', dst, '--digests'])}` records digests of all leaves."


def _without_digest(done: Verified) -> str:
    from migrate.report.collapse import collapse_paths

    if not done.digests:
        return "the checkpoint records no digests"
    paths = collapse_paths(done.undigested)
    return f"no digest is recorded for {', '.join(paths[:SHOWN])}{', …' if len(paths) > SHOWN else ''}"


def _skipped(probe: str | None) -> Iterator[str]:
    if probe:
        yield f"The rule file's probe `{probe}` was not run; --allow-code runs it."


def _data(done: Verified) -> dict[str, object]:
    from migrate.report.proofs import probe_data, proof_data
    from migrate.tree import format_path

    return {
        "leaves": done.leaves,
        "compared": done.compared,
        "digests": done.digests,
        "undigested": [format_path(path) for path in done.undigested],
        "recorded_structure_hash": done.recorded,
        "template": done.template,
        "proof": proof_data(done.proofs),
        "probe": probe_data(done.probe),
    }
