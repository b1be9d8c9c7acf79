"""Public functions that add a second layout to a step, and that drop one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from migrate.checkpoint import Checkpoint, StrPath
from migrate.codes import InvalidUsage
from migrate.engine.options import DEFAULT_RAM, ApplyOptions, VerifyMode
from migrate.engine.streaming.stopping import never
from migrate.errors import PlanError, UsageError
from migrate.events import Listener, ignore

if TYPE_CHECKING:
    from migrate.engine.layouts.contract import Contracted
    from migrate.engine.layouts.expand import Expanded
    from migrate.planning.planner import TemplateLike
    from migrate.rules.folder import RuleFolder
    from migrate.rules.model import RuleSet


def expand(
    rules: RuleSet | RuleFolder | StrPath,
    step: StrPath,
    *,
    to: int | str | None = None,
    start: int | str | None = None,
    item: str | None = None,
    name: str | None = None,
    template: TemplateLike | str | None = None,
    verify: VerifyMode = "digest",
    allow_code: bool = False,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    follow_links: bool = False,
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
) -> Expanded:
    """Add a second layout of an item to its step, as an item of its own that shares the data files.

    The step is valid for Orbax at every moment, and the same call resumes a run that was killed. Of the files that
    exist, only the step's `_CHECKPOINT_METADATA` and its record of digests are replaced, each by one rename.

    Args:
      rules: a rule set, or its file; or a folder of rule files, which lead from the version of the step to another.
      step: the directory of one step, whose pytrees are items.
      to: with a folder, the version (default: the newest).
      start: with a folder, the version of the step (default: that of its record).
      item: the item that the layout is made from (default: the only pytree of the step).
      name: the name of the new item (default: `item` with the version of the target, such as `state_v2`).
      template: the target's template, or `module:callable` (default: the one that the rule file names).
      verify: as in `apply`.
      allow_code: as in `apply`.
      max_ram: as in `apply`.
      jobs: as in `apply`.
      follow_links: whether links below `step` may lead out of it (default: no).
      listener: receives every event of the run.
      stopped: asked between leaves; once it returns true, the leaves in flight are finished and the run stops.

    Raises:
      CheckpointError: the step cannot be read, is not a step whose pytrees are items, or has several of them.
      UsageError: the name is not that of an item, or a version is unknown.
      RefusedError: the step has another item of this name.
      PlanError: the plan is not applicable. Otherwise as `apply`.
    """
    from migrate.api.plans import plan
    from migrate.api.versions import plan_upgrade, upgrade_path
    from migrate.engine.layouts.expand import Expansion
    from migrate.formats.step_item import open_step_item
    from migrate.rules.model import Guard, RuleSet

    known = _loaded(rules)
    guard = known.source if isinstance(known, RuleSet) else Guard()
    opened = open_step_item(step, item, guard.unbox, follow_links=follow_links, separator=guard.separator)
    with opened:
        source = Checkpoint(opened)
        version: int | str | None
        if isinstance(known, RuleSet):
            _refuse_versions(to, start)
            version = known.target.version
            made = plan(source, known, template, max_ram=max_ram, allow_code=allow_code)
        else:
            version = upgrade_path(source, known, to=to, start=start)[-1].target.version
            made = plan_upgrade(source, known, template, to=to, start=start, max_ram=max_ram, allow_code=allow_code)
        expansion = Expansion.named(opened, name, version)
        if not made.applicable:
            raise PlanError(*(problem for problem in made.diagnostics if problem.is_error))
        options = ApplyOptions(verify=verify, allow_code=allow_code, max_ram=max_ram, jobs=jobs)
        return expansion.run(made, options, listener=listener, stopped=stopped)


def contract(
    step: StrPath,
    *,
    keep: str,
    verify: Literal["extents", "decode"] = "extents",
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    listener: Listener = ignore,
) -> Contracted:
    """Drop the other layouts of a step that `expand` gave several, after checking that the kept one stands alone.

    Args:
      step: the directory of the step.
      keep: the item that is kept. Other layouts of the same state are dropped, and nothing else.
      verify: `extents` checks that every byte range that an array needs is present; `decode` also decodes every array
        and compares it with its digest, where one is recorded.
      max_ram: host bytes of arrays in memory at once (default: 2 GiB).
      jobs: the number of leaves that are read at once (default: the number of CPUs).
      listener: receives an event for every leaf that is decoded.

    Raises:
      CheckpointError: the step has no such item or no other layout of it, or files of the kept one lack bytes or cannot
        be decoded; nothing was dropped.
      VerifyError: the kept layout differs from its record or its digests; nothing was dropped.
      RefusedError: the kept layout needs files of another one, or another run holds the step.
      MigrateError: a file cannot be written; the same call completes the run.
    """
    from migrate.engine.layouts.contract import contract as run

    return run(step, keep, verify=verify, max_ram=max_ram, jobs=jobs, listener=listener)


def _loaded(rules: RuleSet | RuleFolder | StrPath) -> RuleSet | RuleFolder:
    from migrate.api.plans import load_rules
    from migrate.api.versions import load_versions

    if not isinstance(rules, str | os.PathLike):
        return rules
    return load_versions(rules) if os.path.isdir(rules) else load_rules(rules)


def _refuse_versions(to: int | str | None, start: int | str | None) -> None:
    """Refuses versions beside a single rule file.

    Raises:
      UsageError: there is one (`InvalidUsage`).
    """
    if to is not None or start is not None:
        message = "`to` and `start` choose rule files of a folder, and `rules` is one rule file"
        raise UsageError(InvalidUsage.at(message, help="pass the folder, or leave them out"))
