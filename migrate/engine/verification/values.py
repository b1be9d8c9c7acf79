"""Verifies every value: DST, restored through plain Orbax, against the rules applied to SRC again, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from migrate.engine.items import ItemPlan, item_of, item_plans
from migrate.engine.streaming.pieces import batches
from migrate.engine.verification.bucket_restore import ReadBackFromBucket
from migrate.engine.verification.compare import Restored, differences
from migrate.engine.verification.findings import refuse, report, structure_problems
from migrate.engine.verification.leaf_digests import add_digests
from migrate.engine.verification.orbax_restore import ReadBack, ReadBackArray
from migrate.engine.verification.template_restore import template_problems
from migrate.engine.verification.value_change import ValueChange
from migrate.errors import Diagnostic
from migrate.events import Listener, ignore
from migrate.formats.detect import open_reader
from migrate.formats.digest_record import Blocks
from migrate.formats.reader import Reader
from migrate.places.bucket_path import BucketPath
from migrate.planning.model import Plan
from migrate.tree import KeyPath

BATCH_BYTES = (32 << 20, 128 << 20)
"""The smallest and the largest batch of leaves that are restored together: each restore walks Orbax's whole tree, and a
few batches are in memory at once.
"""

BATCHES = 64
"""The number of batches, within those sizes: the more leaves there are, the longer each walk takes."""

T = TypeVar("T")
_Back = ReadBack | ReadBackFromBucket


def verify(
    plan: Plan,
    reader: Reader,
    destination: Path,
    *,
    listener: Listener = ignore,
    digests: dict[KeyPath, Blocks] | None = None,
    follow_links: bool = False,
) -> int:
    """Restores every leaf and compares it with the rules applied to the source again.

    Plain Orbax restores it, except from a bucket, which migrate reads itself.

    Args:
      plan: the plan.
      reader: the source.
      destination: the written checkpoint.
      listener: receives an event for every leaf.
      digests: receives the digests of the blocks of every array and number.
      follow_links: whether links in the written checkpoint may lead out of it.

    Returns:
      The number of compared leaves.

    Raises:
      VerifyError: leaves differ, are missing or unexpected (`VerificationFailed`).
    """
    with open_reader(destination, unbox="never", follow_links=follow_links) as written:
        refuse(structure_problems(plan, written.abstract()))
    if not isinstance(destination, BucketPath):
        refuse(template_problems(plan, destination))
    problems: list[Diagnostic] = []
    changes: dict[KeyPath, ValueChange] = {}
    compared = 0
    with ExitStack() as stack:
        items = item_plans(plan)
        backs: dict[str, _Back] = {}
        for item in items:
            backs[item.name] = _open(item, destination)
            stack.push(backs[item.name])
        for meant in stack.enter_context(one_ahead(batches(plan, reader, _batch_bytes(plan)))):
            problems += differences(plan, meant, _restore(meant, items, backs), changes)
            compared += len(meant)
            add_digests(digests, meant, plan)
            report(meant, plan, listener)
    refuse(problems, changes)
    return compared


def _open(item: ItemPlan, destination: Path) -> _Back:
    directory = item.directory(destination)
    if isinstance(directory, BucketPath):
        return ReadBackFromBucket(directory)
    return (ReadBackArray if item.kind.bare else ReadBack)(directory)


def _batch_bytes(plan: Plan) -> int:
    least, most = BATCH_BYTES
    return min(max(plan.target.nbytes // BATCHES, least), most)


@contextmanager
def one_ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Yields the same items, each computed in another thread while its predecessor is in use; never two ahead."""
    with ThreadPoolExecutor(1, "verify") as pool:

        def each() -> Iterator[T]:
            coming = pool.submit(next, items, None)
            while (item := coming.result()) is not None:
                coming = pool.submit(next, items, None)
                yield item
                del item

        yield each()


def _restore(meant: Iterable[KeyPath], items: tuple[ItemPlan, ...], backs: Mapping[str, _Back]) -> Restored:
    """Returns the values of these leaves as plain Orbax restores them, without leaves that have no data."""
    owner = item_of(items)
    restored: dict[KeyPath, Any] = {}
    for item in items:
        names = {
            item.stored_name(inner): path
            for path in meant
            if owner[path] is item and item.tree.leaves[inner := item.inner(path)].has_data
        }
        values = backs[item.name].restore(names.keys() & backs[item.name].names)
        restored.update({names[name]: value for name, value in values.items()})
    return restored
