"""M7xx: resuming in a training job, and jobs of several processes."""

from migrate.errors import Code


class SkippedStep(Code):
    """A step of a root is unfinished, damaged or cannot be read, so an earlier one is resumed.

    The message names the step and the cause. The training since the resumed step is repeated. With `strict=True`, the
    step is refused instead. Restore it from another copy, or remove its directory. The directory of a save that was
    killed (`…orbax-checkpoint-tmp`) never was a step and can be removed.
    """

    number = "M740"
    severity = "warning"


class NoReadableStep(Code):
    """A root has steps, and none of them can be read.

    `migrate.resume` returns None only where nothing was saved, because the script would then train from the start. The
    message lists the steps with their causes. Restore one of them from another copy, or let the job start in an empty
    root.
    """

    number = "M741"


class UnexplainedStep(Code):
    """A step is not of the model's version, and no rule file explains the difference.

    The step is neither equal to the model in structure, nor does exactly one path of rule files lead from its version
    to the newest. The message names the versions that were tried. `migrate new RULES/ --from STEP --template M:F`
    drafts the missing rule file, and `migrate stamp STEP --model NAME --version V` records the version of a step.
    """

    number = "M742"


class DifferentPlans(Code):
    """The processes of a job do not plan the same load, so that no array was read.

    They found different steps, rule files or models: a step was finished meanwhile, or the processes see different
    directories or run different code. The message lists the plan of each process. Starting the job again suffices
    where a step was finished meanwhile.
    """

    number = "M743"


class FailedProcess(Code):
    """Another process of the job failed to plan or to load, so that this one stops, too.

    The message has the error of the first process that failed. No model was changed in any process.
    """

    number = "M744"


class SkippedLayout(Code):
    """A layout of a step is damaged, so the step is resumed from the layout that it was made from.

    `migrate expand` has added the layout, which is of the model's version. Without it, the step passes through the rule
    files on its way to the devices; no training is lost. With `strict=True`, the step is refused instead.
    `migrate contract STEP --keep ITEM` drops the layout, and `migrate expand` makes it again.
    """

    number = "M745"
    severity = "warning"
