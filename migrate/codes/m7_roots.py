"""M7xx: roots of steps, and the steps that a training script saves."""

from migrate.errors import Code


class NoSelectedStep(Code):
    """No step of the root matches `--step`.

    `every:N` takes the steps whose numbers are multiples of N, `best:METRIC` those whose metrics have a number of that
    name. The message lists the steps of the root; `all` takes every one.
    """

    number = "M730"


class UnknownMetric(Code):
    """No step of the root has the metric that `best:METRIC` names.

    Metrics are the item `metrics` that `CheckpointManager` saves if its options have `best_fn`, and that `Checkpointer`
    of Orbax's v1 API saves with `metrics=`. Name a number in it, such as `best:loss`, or `best:eval/loss` for a nested
    one. The help lists the names that the steps have.
    """

    number = "M731"


class UnknownDirection(Code):
    """It is not known whether the largest or the smallest value of a metric is the best.

    Orbax does not record the `best_mode` of a `CheckpointManager`, and the name of the metric does not tell. Write
    `best:METRIC:max` or `best:METRIC:min`. A wrong choice would keep the worst steps.
    """

    number = "M732"


class DamagedStep(Code):
    """A chosen step of a root cannot be read, so no step was written.

    Every step is opened and planned before the first one is written. Restore the step from another copy, leave it out
    of `--step`, or add `--skip-damaged`, which migrates the others; `--keep` then counts the readable steps only.
    """

    number = "M733"


class SurplusSteps(Code):
    """DST holds steps that `--keep` would not keep.

    An earlier run wrote them, when other steps were the latest or the best. They are left in place, because no command
    deletes a finished step. A `CheckpointManager` with the same `max_to_keep` deletes them when it saves its next step.
    """

    number = "M734"
    severity = "note"


class InvalidRecord(Code):
    """The custom metadata of a save are not JSON, so nothing was saved.

    Orbax accepts such metadata, returns `True`, and fails in the background, where the step is lost. Use numbers,
    strings, booleans, None, and lists and dicts of them: `float(x)` instead of a NumPy or JAX scalar, and strings as
    the keys of dicts.
    """

    number = "M735"


class UnsavableState(Code):
    """A part of the state, or the checkpointer, is of a kind that `migrate.save` cannot save.

    Checkpointers are `CheckpointManager` and `Checkpointer` of Orbax's v1 API. A state is an NNX module, a pytree, or a
    mapping of item names to modules, pytrees, and iterators with `get_state`. The message names the part and its type.
    """

    number = "M736"


class ContradictorySteps(Code):
    """The number of the step differs from the item `step` of the state.

    `migrate.save` stores the number in the record and as the item `step`, so that it survives a renamed directory. Pass
    the same number, or leave `step` out of the items.
    """

    number = "M737"


class ChangedOrbax(Code):
    """The installed Orbax lacks an internal attribute that `migrate.save` needs.

    Orbax has no public way to add an item to the steps of a `CheckpointManager` that saves one unnamed item. Nothing
    was saved. Install the version of Orbax that the message names, or save a mapping of item names.
    """

    number = "M738"
