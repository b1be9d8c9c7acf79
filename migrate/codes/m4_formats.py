"""M4xx: formats and input."""

from migrate.errors import Code


class NoCheckpoint(Code):
    """There is no checkpoint at this path.

    The path does not exist, or it contains no format that migrate recognizes. Check the path; a checkpoint is a
    directory or a file that Orbax, Flax, T5X, EasyLM, safetensors, NumPy, Keras or Equinox wrote. A pickle is none: the
    help has the code with which its owner exports it.
    """

    number = "M401"


class LfsPointer(Code):
    """The files are Git LFS pointers without data.

    The repository was cloned without its large files. Run `git lfs pull` in the clone, then repeat the command.
    """

    number = "M402"


class MissingPart(Code):
    """Part of the checkpoint is missing.

    A required file does not exist: the save was interrupted, or a copy omitted files, often those that begin with a
    dot. Copy the whole directory again, or choose another step with `--step N`.
    """

    number = "M403"


class DamagedFile(Code):
    """A file of the checkpoint is damaged.

    It is truncated, or its content is inconsistent, so its values cannot be trusted. Compare its size with the original
    and copy it again, or choose another step with `--step N`.
    """

    number = "M404"


class AmbiguousItem(Code):
    """The checkpoint contains several candidates, and the choice is ambiguous.

    Several steps, items or files fit, or arrays are stored that are not part of the checkpoint, and migrate does not
    guess. Choose one with `--step N`, `--step latest` or `--item NAME`, or name a single file.
    """

    number = "M405"


class UnknownItem(Code):
    """The checkpoint has no such step or item.

    The message lists the existing ones. Choose one of them with `--step N` or `--item NAME`.
    """

    number = "M406"


class IgnoredFiles(Code):
    """Files beside the arrays are not part of the tree.

    The message lists them. migrate never unpickles anything. Arrays in formats that migrate reads are never ignored. No
    action is needed unless one of them should be part of the checkpoint. Configuration and tokenizer of a model of
    Hugging Face are copied to a DST in the same layout; `config.json` can give rules their arguments.
    """

    number = "M407"
    severity = "note"


class InvalidTemplate(Code):
    """The template cannot be built, or the function of a `call` fails.

    `module:callable` is imported with the current directory on the import path; a template is then run under
    `nnx.eval_shape`. The message shows the error, and the line of your code that raised it. Correct the name, the
    arguments in `target: {args: …}`, or the callable.
    """

    number = "M408"


class UnfinishedSave(Code):
    """The save of this checkpoint was not completed.

    The directory still has Orbax's temporary name, or the files that are written last are missing. Choose an earlier
    step with `--step N`.
    """

    number = "M409"


class ReaderAssumption(Code):
    """The format does not record everything, and the reader made an assumption.

    The message names the missing information and the value that was assumed. Check that the assumption is right for
    your checkpoint; `migrate inspect SRC` shows the resulting tree.
    """

    number = "M410"
    severity = "note"


class UnsupportedLeaf(Code):
    """A leaf has an unsupported dtype or type.

    An array of text, of Python objects or of dates does not bar the rest of its checkpoint: drop it with a rule. A
    dtype that migrate does not know is refused with its checkpoint: save it with another dtype or without this leaf. If
    JAX supports the dtype, please report it with the output of `migrate inspect`.
    """

    number = "M411"


class InvalidUsage(Code):
    """The command line or the call is invalid.

    An option or argument is missing, unknown, or contradicts another one. `migrate COMMAND -h` lists what the command
    accepts.
    """

    number = "M412"


class UntracedArrays(Code):
    """The template contains arrays that `nnx.eval_shape` may omit.

    Arrays that are plain attributes of a module and not Variables, such as the scales of `nnx.WeightNorm`, are part of
    `nnx.state(model)`, and migrate writes them. `nnx.state(nnx.eval_shape(…))` may lack them, and Orbax then refuses to
    restore with it. Restore with the abstract state of a real model, or make the arrays Variables.
    """

    number = "M413"
    severity = "note"


class UnknownNodeKind(Code):
    """The format does not record the type of some nodes in the tree.

    Lists and tuples are stored alike, and an empty optimizer state is stored as None. The message states the assumed
    type. Key paths do not depend on it; pass `--template M:F` to take the types from the model.
    """

    number = "M414"
    severity = "note"


class ForeignEntry(Code):
    """A checkpoint holds an entry that must not be read.

    Below SRC, a link may point only to files and directories inside SRC: otherwise a checkpoint from elsewhere could
    bring any file of this machine into the result. Pipes, sockets and devices could block a command for ever, and names
    that are not UTF-8 cannot be recorded. TensorStore reads a backslash in the path of a directory as a slash. For
    storage that is built of links, such as a download cache, add `--follow-links`.
    """

    number = "M415"


class MissingPackage(Code):
    """A format needs a package that is not installed.

    migrate itself does not depend on packages that only one format needs. The message names the package; install it
    into the environment of migrate with the command of the help, then repeat the command.
    """

    number = "M416"


class UnsupportedPlace(Code):
    """A place is a URL that the command does not support.

    Checkpoints are read from and written to local paths, `file://`, `gs://` and `s3://`. Rule files, plans and other
    files are local, and so are steps that are changed in place: change a local copy, and upload it. Without this error,
    `gs://bucket/new` would name a local directory `gs:`. For a directory of such a name, write `./gs:/name`.
    """

    number = "M417"


class UnreachableBucket(Code):
    """A bucket does not exist, does not answer, or refuses the request.

    TensorStore reads buckets with the credentials of the environment. For `gs://`: those of `gcloud auth
    application-default login`, GOOGLE_APPLICATION_CREDENTIALS, or the service account of the machine. For `s3://`:
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the role of the machine. AWS_ENDPOINT_URL and
    AWS_REGION select the server. The message has the answer of the bucket, and the help the command that lists it.
    """

    number = "M418"
