"""The public function that saves a step of a training script."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from migrate.metadata import Metadata
from migrate.training.custom_metadata import custom_metadata, refuse_other_than_json
from migrate.training.payload import payload_of


def save(
    checkpointer: Any,
    step: int,
    state: Any,
    metadata: Metadata | Mapping[str, Any],
    *,
    metrics: Mapping[str, Any] | None = None,
    force: bool = False,
) -> bool:
    """Save all that a training script needs to resume as one step, which appears at once or not at all.

    The save runs in the background, as the checkpointer does it. A script that ends waits for it. In a job of several
    processes, all of them call it.

    Args:
      checkpointer: a `CheckpointManager`, or a `Checkpointer` of Orbax's v1 API.
      step: the number of the step; it is stored in the record and as the JSON item `step`.
      state: an NNX module, a pytree with or without modules in it, or a dict of item names to modules, pytrees and data
        iterators. A dict is one of items if one of its values is an iterator (it has `get_state`, or is a
        `CheckpointArgs` of Orbax), or if the manager has `item_names`; otherwise it is one pytree.
      metadata: the record, as `Metadata.of` returns it, with or without entries of your own: the custom metadata of the
        step.
      metrics: the metrics of the step, for `best_fn`.
      force: whether the step is saved although the policy of the checkpointer would skip it.

    Returns:
      Whether the checkpointer saves the step.

    Raises:
      UsageError: metadata or metrics are not JSON (`InvalidRecord`), a part of the state or the checkpointer is of a
        kind that is not saved (`UnsavableState`), the state has another step (`ContradictorySteps`), or Orbax has
        changed (`ChangedOrbax`). Nothing was saved.
    """
    from migrate.training.checkpointers import saver_of
    from migrate.training.unfinished import wait_at_exit

    number = operator.index(step)
    saver = saver_of(checkpointer)
    custom = custom_metadata(metadata, number, checkpointer)
    if metrics is not None:
        refuse_other_than_json(metrics, "the metrics")
    if not force and not saver.takes(number):
        return False
    payload = payload_of(state, number, named=saver.named)
    begun = saver.save(number, payload, custom, metrics, force=force)
    if begun:
        wait_at_exit(id(checkpointer), saver, number)
    return begun
