"""M55x: a plan that several processes carry out."""

from migrate.errors import Code


class FailedShare(Code):
    """A share of the plan failed four times.

    A worker that dies, or an executor that loses a share, costs nothing but time: the share is submitted again, three
    times. After that, a cause that stays is likely: too little memory for the workers of a machine (the kernel kills
    the largest), or a library that crashes. The message has the last error. Staged arrays are kept, so that the
    same command resumes; try fewer processes, a smaller `--max-ram`, or no `--processes` at all.
    """

    number = "M550"


class UnsharedPlan(Code):
    """Several processes cannot carry out this plan.

    A chain of rule files (`migrate upgrade`) and a checkpoint that only its own reader can open are left to one
    process, and in a bucket plain zarr and single files. `migrate stage` and `migrate commit` do not write single
    files, which have to exist before the first share. Run the command without `--processes` and `--on`, or follow the
    help of the message.
    """

    number = "M551"


class UnreachableWorkers(Code):
    """No worker can be reached through `--on`.

    `--on tcp://HOST:PORT` names a Dask scheduler. It needs `pip install 'migrate-jax[dask]'` on both sides, a running
    `dask scheduler`, and at least one `dask worker tcp://HOST:PORT`.
    """

    number = "M552"


class UnfitWorker(Code):
    """A worker finds something else than the process that gave it a share.

    Every worker opens SRC itself, makes the plan again and compares the digests, so that nothing is written by a worker
    that sees another checkpoint or runs another version of migrate. SRC and the folder of DST must have the same paths
    on every machine, with the same files, for example on a network file system.
    """

    number = "M553"


class MissingShares(Code):
    """`migrate commit` found arrays of the plan that no share has staged.

    The message names the shares, and the help has the command that stages the first of them. Run it for each; what is
    staged already is kept. `migrate apply` with the same arguments stages what is missing itself.
    """

    number = "M554"
