"""Applies a plan: stage → commit → verify → publish.

Everything happens in a working directory beside DST; DST appears by one rename at the very end, after the
verification, or not at all. The source is only read.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from migrate.codes import M501, M506, M507
from migrate.engine.commit import Item, commit_item, commit_step
from migrate.engine.layout import SINGLE, ItemPlan, item_of, item_plans
from migrate.engine.provenance import new_metadata
from migrate.engine.receipt import Receipt, VerifyMode
from migrate.engine.staging import StagedArray, Staging
from migrate.engine.verify import verify as verify_leaves
from migrate.engine.verify import verify_digests
from migrate.engine.work import check_assertions, produce
from migrate.errors import Diagnostic, MigrateError, PlanError, RefusedError
from migrate.events import LeafDone, Listener, PhaseDone, PhaseStarted, ignore
from migrate.formats.base import Reader, Value
from migrate.metadata import installed_versions
from migrate.planning.model import Plan
from migrate.tree import KeyPath

T = TypeVar("T")


@dataclass
class _Staged:
    """What staging leaves behind for one item."""

    arrays: dict[KeyPath, StagedArray] = field(default_factory=dict)
    values: dict[KeyPath, Value] = field(default_factory=dict)


def apply(
    plan: Plan,
    reader: Reader,
    destination: Path,
    *,
    overwrite: bool = False,
    verify: VerifyMode = "full",
    allow_code: bool = False,
    listener: Listener = ignore,
) -> Receipt:
    """Writes the checkpoint that a plan describes.

    Args:
      plan: an applicable plan for this reader's checkpoint.
      reader: the source.
      destination: must not exist, unless `overwrite`; then it is replaced once the new one is complete and verified.
      overwrite: whether an existing destination may be replaced.
      verify: `full` compares every leaf through plain Orbax, `digest` compares digests of arrays, `none` nothing.
      allow_code: whether `call` ops may run.
      listener: told what happens.

    Raises:
      PlanError: the plan is not applicable.
      RefusedError: the destination exists (M501), code is not allowed (M506), an assertion or a cast fails (M503,
      M504). VerifyError: what was written is not what was meant; nothing was published.
    """
    place = Path(os.path.abspath(destination))  # TensorStore refuses `..`
    _refuse_beforehand(plan, destination, overwrite=overwrite, allow_code=allow_code)
    clock = _Clock(plan, listener)
    with _workspace(place, plan) as work:
        check_assertions(plan, reader)
        staged = clock("stage", lambda: _stage(plan, reader, work, listener))
        result = work / "result"
        clock("commit", lambda: _commit(plan, staged, work, result))
        arrays = {path: array for item in staged.values() for path, array in item.arrays.items()}
        digests = {path: array.digest for path, array in arrays.items()}
        check = _VERIFICATIONS[verify]
        compared = clock("verify", lambda: check(plan, reader, result, digests, listener)) if check else 0
        _publish(result, place, work)
    return Receipt(
        destination=destination,
        plan_digest=plan.digest,
        structure_hash=plan.target.structure_hash,
        leaf_digests=digests,
        bytes_read=plan.bytes_read,
        bytes_written=plan.bytes_written,
        seconds=clock.seconds,
        verified=verify,
        verified_leaves=compared,
        versions=installed_versions(),
    )


class _Clock:
    """Runs a phase and notes how long it took."""

    def __init__(self, plan: Plan, listener: Listener) -> None:
        self._plan = plan
        self._listener = listener
        self.seconds: dict[str, float] = {}

    def __call__(self, phase: str, work: Callable[[], T]) -> T:
        self._listener(PhaseStarted(phase, len(self._plan.target.leaves), self._plan.target.nbytes))
        start = time.monotonic()
        result = work()
        self.seconds[phase] = time.monotonic() - start
        self._listener(PhaseDone(phase, self.seconds[phase]))
        return result


def _refuse_beforehand(plan: Plan, destination: Path, *, overwrite: bool, allow_code: bool) -> None:
    if not plan.applicable:
        raise PlanError(*(d for d in plan.diagnostics if d.is_error))
    refused: list[Diagnostic] = []
    if os.path.lexists(destination) and not overwrite:
        refused.append(M501.at(f"{destination} exists", help="choose another DST, or say `--overwrite`"))
    if plan.rules.runs_code and not allow_code:
        refused.append(M506.at(f"{plan.rules.path} calls Python functions", help="read it, then say `--allow-code`"))
    if refused:
        raise RefusedError(*refused)


@contextmanager
def _workspace(destination: Path, plan: Plan) -> Iterator[Path]:
    """A fresh directory beside the destination, on its file system; gone afterwards, whatever happens."""
    work = destination.parent / f".{destination.name}.migrate-{plan.digest[7:19]}"
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        yield work
    except OSError as error:
        raise MigrateError(_unwritable(error, destination)) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unwritable(error: OSError, destination: Path) -> Diagnostic:
    reason = error.strerror or str(error)
    return M507.at(
        f"cannot write {destination}: {reason}", help="free some space, or choose a directory that you may write to"
    )


def _stage(plan: Plan, reader: Reader, work: Path, listener: Listener) -> Mapping[str, _Staged]:
    """Writes every array to its item's staging store; keeps all other values."""
    items = item_plans(plan)
    owner = item_of(items)
    staged = {item.name: _Staged() for item in items}
    with ExitStack() as stack:
        zarr3 = plan.source.zarr3
        stores = {i.name: stack.enter_context(Staging(_store(work, i.name), zarr3=zarr3)) for i in items}
        for piece in produce(plan, reader):
            for path, value in piece.items():
                _stage_leaf(plan, path, value, owner[path], stores, staged)
                listener(LeafDone("stage", path, plan.target.leaves[path].nbytes))
    return staged


def _stage_leaf(
    plan: Plan,
    path: KeyPath,
    value: Value,
    item: ItemPlan,
    stores: Mapping[str, Staging],
    staged: Mapping[str, _Staged],
) -> None:
    inner, leaf = item.inner(path), plan.target.leaves[path]
    if leaf.kind == "array":
        staged[item.name].arrays[path] = stores[item.name].write(inner, leaf, value)
    else:
        staged[item.name].values[path] = value


def _store(work: Path, name: str) -> Path:
    return work / "staged" / (name or "item")


def _commit(plan: Plan, staged: Mapping[str, _Staged], work: Path, result: Path) -> None:
    metadata = new_metadata(plan)
    items = {
        item.name: Item(
            item.tree,
            {item.inner(path): array for path, array in staged[item.name].arrays.items()},
            _store(work, item.name),
            {item.inner(path): value for path, value in staged[item.name].values.items()},
        )
        for item in item_plans(plan)
    }
    if SINGLE in items:
        commit_item(result, items[SINGLE], metadata, zarr3=plan.source.zarr3)
    else:
        extras = {name: plan.source.extras[name] for name in plan.extras}
        commit_step(result, items, extras, metadata, zarr3=plan.source.zarr3)


_VERIFICATIONS: Mapping[VerifyMode, Callable[[Plan, Reader, Path, Mapping[KeyPath, str], Listener], int] | None] = {
    "full": lambda plan, reader, result, _, listener: verify_leaves(plan, reader, result, listener=listener),
    "digest": lambda plan, _, result, digests, listener: verify_digests(plan, result, digests, listener=listener),
    "none": None,
}


def _publish(result: Path, destination: Path, work: Path) -> None:
    """Moves the result into place; what was there before is set aside first and removed last."""
    if os.path.lexists(destination):
        os.rename(destination, work / "replaced")
        try:
            os.rename(result, destination)
        except OSError:
            os.rename(work / "replaced", destination)
            raise
    else:
        os.rename(result, destination)
