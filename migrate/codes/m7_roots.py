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
