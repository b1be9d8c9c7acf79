"""Migrates JAX/Flax checkpoints to a new version of the model, and verifies the result.

The public names are defined in `migrate.api` and imported on first access (PEP 562), so that `import migrate` is fast
and the command line starts immediately.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate.version import __version__

if TYPE_CHECKING:
    from migrate.api import (
        AbstractTree,
        Checkpoint,
        CheckpointError,
        Diagnostic,
        Diff,
        ExitCode,
        Metadata,
        MigrateError,
        PlanError,
        RefusedError,
        Resumed,
        ResumeWarning,
        RuleFileError,
        Span,
        StoppedError,
        UsageError,
        Verified,
        VerifyError,
        abstract_template,
        apply,
        apply_root,
        check_versions,
        choose_chunks,
        choose_steps,
        contract,
        diff,
        diff_values,
        expand,
        invert,
        list_steps,
        load,
        load_plan,
        load_rules,
        load_versions,
        new_version,
        open_checkpoint,
        plan,
        plan_tune,
        plan_upgrade,
        read_amplification,
        record_template,
        resume,
        save,
        save_plan,
        squash,
        stamp,
        structure_hash,
        suggest,
        upgrade_path,
        verify,
    )

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
    "__version__",
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `migrate` has no attribute `{name}`")
    from migrate import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
