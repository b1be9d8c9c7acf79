"""M5xx: execution and verification."""

from migrate.errors import Code


class DestinationExists(Code):
    """DST exists.

    Nothing is overwritten unless `--overwrite` says so; then the old one is replaced only after the new one is
    complete.
    """

    number = "M501"


class AlreadyApplied(Code):
    """The rule file was already applied to this checkpoint.

    Its metadata records the migration. Applying the rules twice would move leaves twice.
    """

    number = "M502"


class LossyCast(Code):
    """A cast would change a value.

    The leaf, the number of values and one example are shown. Say `cast: {to: …, lossy: true}` to accept the loss.
    """

    number = "M503"


class FailedAssertion(Code):
    """An assertion of a rule does not hold.

    For example `drop: {from: …, assert: zero}` on a leaf that is not zero.
    """

    number = "M504"


class VerificationFailed(Code):
    """What was written is not what was meant.

    The verification read DST again and found leaves that differ. DST was not published, or should not be used.
    """

    number = "M505"


class CodeNotAllowed(Code):
    """The rule file runs code.

    `call` ops and `probe:` name a Python function. Read the rule file, then say `--allow-code`. A probe that the
    command line names needs no such leave, and stands in for the rule file's.
    """

    number = "M506"


class WriteFailed(Code):
    """Writing failed.

    The disk is full, or the directory cannot be written. Nothing was published.
    """

    number = "M507"


class RunStopped(Code):
    """Stopped part-way.

    Ctrl-C finished the leaves that were in flight and then stopped. Nothing was published. What is done lies in a
    directory beside DST, `.NAME.migrate-…`; the same command goes on from there, and removes it when it is done.
    """

    number = "M508"
    severity = "note"


class DestinationLocked(Code):
    """Another run is writing this.

    The working directory beside DST has a LOCK of a process that is alive, or that is on another host, where nobody
    can look from here. Wait for it. If it is dead, delete the LOCK file that the message names, and run the command
    again; it goes on from where that run was.
    """

    number = "M509"


class LeftoverWorkspace(Code):
    """An earlier run left something behind.

    A run that was killed or stopped leaves its working directory beside DST, so that the same command can go on. The
    message says what became of it. Directories of other plans are never deleted: their names say which plan they are
    of, and you may delete them when you do not want to go on with it.
    """

    number = "M510"
    severity = "note"


class OverlappingPaths(Code):
    """SRC and DST overlap.

    One of them is the other or lies inside it. The source is never written to, so that a mistake can always be undone:
    choose a DST elsewhere, and remove the old checkpoint yourself when you no longer need it.
    """

    number = "M511"


class UnrepresentableLeaf(Code):
    """The format of DST cannot hold a leaf as it is.

    A single file is simpler than an Orbax checkpoint. Safetensors has no strings, no typed PRNG keys and fewer dtypes;
    msgpack, as Flax reads it, has no typed keys and no lists. Every leaf that has no place there is named before
    anything is read: `drop:` it, change it with an op (`key_data`, `cast`), or write a directory instead, which Orbax
    restores. As a note: what the file holds in another form, and who can read it.
    """

    number = "M512"


class OutputMismatch(Code):
    """The new model does not compute what the old one did.

    A probe compares outputs of both, pair by pair: shape, kind of dtype, and the largest difference. The first pair
    that differs says in which layer to look: the rules of the leaves below it assign the wrong leaves, or turn an array
    the wrong way. If the difference is only the arithmetic of another device or precision, say `--tolerance`, or
    compute with `jax.default_matmul_precision("highest")`. `apply` publishes nothing then.
    """

    number = "M513"


class InconclusiveProbe(Code):
    """A probe could not be run, or proves nothing.

    A probe is a function `probe(old, model)` that returns or yields pairs of arrays, `(old, new)` or
    `(name, old, new)`. `old` is the old checkpoint's tree of NumPy arrays, `model` what the template's callable
    returns, with the values of the new checkpoint. What it raised is shown with its line. One that yields no pair, or
    only empty arrays, proves nothing.
    """

    number = "M514"
