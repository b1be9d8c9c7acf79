"""Public functions that run a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from migrate.api.named_sources import Sources, joined_as_planned
from migrate.checkpoint import Checkpoint, StrPath
from migrate.engine.options import DEFAULT_RAM, ApplyOptions, VerifyMode
from migrate.engine.streaming.stopping import never
from migrate.events import Listener, ignore
from migrate.places.names import destination_path

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from migrate.engine.receipt import Receipt
    from migrate.engine.sharing.workers import Workers
    from migrate.planning.model import Plan


def apply(
    plan: Plan,
    checkpoint: Checkpoint,
    destination: StrPath,
    *,
    overwrite: bool = False,
    verify: VerifyMode = "digest",
    allow_code: bool = False,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    compression: str | None = None,
    max_shard_size: int | None = None,
    files_from: StrPath | None = None,
    probe: str | None = None,
    tolerance: float | None = None,
    rtol: float | None = None,
    require_proof: bool = False,
    resume: Literal["auto", "only"] = "auto",
    listener: Listener = ignore,
    stopped: Callable[[], bool] = never,
    executor: Executor | None = None,
    sources: Sources | None = None,
) -> Receipt:
    """Run a plan: stage, commit, verify, publish; or resume an unfinished run of this plan.

    Args:
      plan: an applicable plan.
      checkpoint: the source that the plan was made for.
      destination: the new checkpoint; it appears at once, when it is complete and verified.
      overwrite: whether an existing destination is replaced, once the new checkpoint is complete and verified.
      verify: `digest` compares what is read back with the digests of what was written, and what is streamed with the
        digests that the source records; `decode` also decodes every linked chunk once; `full` restores every leaf
        through plain Orbax and compares it with the rules applied to the source again; `none` compares nothing.
      allow_code: whether `call` ops and the rule file's probe may run if the file or the module is not below the
        current directory.
      max_ram: bytes of array data in memory at once; at least 64 MiB (default: 2 GiB).
      jobs: number of leaves in work at once (default: the number of CPUs).
      compression: `zstd:N` or `none` for every array (default: each array keeps its own codec).
      max_shard_size: with `layout: huggingface`, the most bytes of arrays in one file (default: 5 GB).
      files_from: with `layout: huggingface`, the folder with the configuration and tokenizer to copy (default: the
        source, where it has them; else, with `overwrite`, the folder that is replaced).
      probe: `module:function` that compares outputs of the old model and the new before anything is published
        (default: the rule file's probe).
      tolerance: outputs pass if |old − new| ≤ tolerance + rtol · |old| everywhere, as in `numpy.allclose` (default:
        that of the rule file's probe, or 1e-5).
      rtol: the relative part of that bound, for floats and complex numbers (default: as for `tolerance`).
      require_proof: whether unproved leaves are errors.
      resume: `auto` resumes an unfinished run of this plan, or starts one; `only` refuses to start one.
      listener: receives every event of the run.
      stopped: asked between leaves; once it returns true, the leaves in flight are finished and the run stops.
      executor: runs shares of the plan in other processes, on this machine or on others that see the same files under
        the same paths. `max_ram` and `jobs` are divided among its workers (default: this process does everything).
      sources: the named sources that the plan was made for, open or by path (default: the paths of the plan).

    Raises:
      UsageError: an option is invalid, a probe has no model, no unfinished run can be resumed (`resume="only"`), or an
        executor cannot carry out the plan (`UnsharedPlan`).
      PlanError: the plan is not applicable, or `require_proof` finds unproved leaves.
      RefusedError: the destination exists, code is not allowed, a cast or an assertion fails, or the source changed
        during the run.
      CheckpointError: the source cannot be read, or the probe proves nothing.
      VerifyError: the result differs from the plan; nothing was published.
      StoppedError: the run was stopped; nothing was published, and the same call resumes it.
      MigrateError: writing failed; the same call resumes once the cause is gone.
    """
    from migrate.engine import run

    options = ApplyOptions(
        overwrite=overwrite,
        verify=verify,
        allow_code=allow_code,
        max_ram=max_ram,
        jobs=jobs,
        compression=compression,
        max_shard_size=max_shard_size,
        files_from=files_from,
        probe=probe,
        tolerance=tolerance,
        rtol=rtol,
        require_proof=require_proof,
    )
    carry_out = run.resume if resume == "only" else run.apply
    how: dict[str, Any] = {"listener": listener, "stopped": stopped, "workers": _workers(executor)}
    with joined_as_planned(checkpoint, plan, sources) as source:
        return carry_out(plan, source.reader, destination_path(destination), options, **how)


def _workers(executor: Executor | None) -> Workers | None:
    if executor is None:
        return None
    from migrate.engine.sharing.pool_workers import PoolWorkers
    from migrate.engine.sharing.pools import GivenExecutor

    return PoolWorkers(GivenExecutor(executor))
