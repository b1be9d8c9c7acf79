"""M4xx: formats and input."""

from migrate.errors import Code


class NoCheckpoint(Code):
    """There is no checkpoint at this path.

    The path does not exist, or holds nothing that a known format wrote.
    """

    number = "M401"


class LfsPointer(Code):
    """The files are git-LFS pointers, not data.

    The repository was cloned without its large files. Run `git lfs pull` where it was cloned, and try again.
    """

    number = "M402"


class MissingPart(Code):
    """Part of the checkpoint is missing.

    A file that the format needs is not there: an interrupted save, or a copy that left files behind (those that begin
    with a dot, most often). Copy the whole directory again, or take another step.
    """

    number = "M403"


class DamagedFile(Code):
    """A file of the checkpoint is damaged.

    It is truncated, or its content contradicts itself. Compare its size with the original and copy it again.
    """

    number = "M404"


class AmbiguousItem(Code):
    """The checkpoint holds several steps or items and none was chosen.

    Choose with `--step N`, `--step latest` or `--item NAME`.
    """

    number = "M405"


class UnknownItem(Code):
    """There is no such step or item.

    The message lists those that exist.
    """

    number = "M406"


class IgnoredFiles(Code):
    """Files that are not part of the checkpoint were ignored.

    They are listed; they were not opened, and nothing is ever unpickled.
    """

    number = "M407"
    severity = "note"


class InvalidTemplate(Code):
    """The template cannot be built.

    `--template module:callable` is imported (the current directory is importable) and run under `nnx.eval_shape`. The
    error that it raised is shown.
    """

    number = "M408"


class UnfinishedSave(Code):
    """A save was never finished.

    The directory carries Orbax's temporary name or lacks the files that are written last. Take an earlier step.
    """

    number = "M409"


class ReaderAssumption(Code):
    """The format cannot say something that the reader had to assume.

    What was lost when it was written, and what was assumed, is in the message.
    """

    number = "M410"
    severity = "note"


class UnsupportedLeaf(Code):
    """A leaf has a dtype or a kind that migrate does not know.

    Please report it with the output of `migrate inspect`.
    """

    number = "M411"


class InvalidUsage(Code):
    """The command line or the call cannot be understood.

    An option or argument is missing, unknown or contradicts another. `migrate COMMAND -h` shows what the command takes.
    """

    number = "M412"


class UntracedArrays(Code):
    """The template holds arrays that `nnx.eval_shape` leaves out.

    Arrays that are attributes of a module without being Variables (the scales of `nnx.WeightNorm`, say) are saved with
    `nnx.state(model)`, and migrate writes them. But `nnx.state(nnx.eval_shape(…))` does not show them, so Orbax
    refuses to restore with it. Restore with the state of a real model, or make them Variables.
    """

    number = "M413"
    severity = "note"


class UnknownNodeKind(Code):
    """The format does not say of what kind some nodes of the tree were.

    Lists and tuples are written alike, and an optimizer's empty state as None. The message says what was assumed. Key
    paths are the same either way, and a template decides where there is one.
    """

    number = "M414"
    severity = "note"
