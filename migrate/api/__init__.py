"""The public functions, which do all that the command line does; `migrate` imports each when it is first used.

    import migrate

    rules = migrate.load_rules("rules.yaml")
    with migrate.open_checkpoint("old/") as checkpoint:
        plan = migrate.plan(checkpoint, rules)
        receipt = migrate.apply(plan, checkpoint, "new/")

Heavy packages are imported only when they are needed: opening a msgpack file does not import JAX.
"""

from __future__ import annotations

from migrate.api.folder_check import check_versions
from migrate.api.layouts import contract, expand
from migrate.api.loading import load
from migrate.api.plan_files import load_plan, save_plan
from migrate.api.plans import abstract_template, diff, invert, load_rules, plan, structure_hash, suggest
from migrate.api.recorded_templates import record_template
from migrate.api.resuming import Resumed, resume
from migrate.api.roots import apply_root, choose_steps
from migrate.api.runs import apply
from migrate.api.stamping import stamp
from migrate.api.tuning import choose_chunks, plan_tune, read_amplification
from migrate.api.verification import Verified, diff_values, verify
from migrate.api.versions import load_versions, new_version, plan_upgrade, squash, upgrade_path
from migrate.checkpoint import Checkpoint, list_steps, open_checkpoint
from migrate.errors import (
    CheckpointError,
    Diagnostic,
    ExitCode,
    MigrateError,
    PlanError,
    RefusedError,
    ResumeWarning,
    RuleFileError,
    Span,
    StoppedError,
    UsageError,
    VerifyError,
)
from migrate.metadata import Metadata
from migrate.notebook import draw_with
from migrate.planning.diff import Diff
from migrate.training.save import save
from migrate.tree import AbstractTree

__all__ = [
    "AbstractTree",
    "Checkpoint",
    "CheckpointError",
    "Diagnostic",
    "Diff",
    "ExitCode",
    "Metadata",
    "MigrateError",
    "PlanError",
    "RefusedError",
    "ResumeWarning",
    "Resumed",
    "RuleFileError",
    "Span",
    "StoppedError",
    "UsageError",
    "Verified",
    "VerifyError",
    "abstract_template",
    "apply",
    "apply_root",
    "check_versions",
    "choose_chunks",
    "choose_steps",
    "contract",
    "diff",
    "diff_values",
    "expand",
    "invert",
    "list_steps",
    "load",
    "load_plan",
    "load_rules",
    "load_versions",
    "new_version",
    "open_checkpoint",
    "plan",
    "plan_tune",
    "plan_upgrade",
    "read_amplification",
    "record_template",
    "resume",
    "save",
    "save_plan",
    "squash",
    "stamp",
    "structure_hash",
    "suggest",
    "upgrade_path",
    "verify",
]


def _drawn(value: object) -> str | None:
    """Return a value as HTML for a notebook."""
    from migrate.report.in_notebook import draw_value

    return draw_value(value)


draw_with(_drawn)
