"""M5xx: execution and verification."""

from migrate.errors import Code


class DestinationExists(Code):
    """DST already exists.

    Nothing is overwritten without `--overwrite`. Choose another DST, or add `--overwrite`, which replaces the old
    checkpoint only after the new one is complete. `--overwrite` replaces one checkpoint of the kind that is written
    (an Orbax item or step, or a file of the same format) and nothing else: a directory with other files is refused.
    A DST that records the same plan and the same source files is no error: it is reported as already done.
    """

    number = "M501"


class AlreadyApplied(Code):
    """The rule file was already applied to this checkpoint.

    The checkpoint's metadata records the migration, and applying the rules again would move leaves a second time. Use
    the checkpoint as it is, or apply the rules to the original one.
    """

    number = "M502"


class LossyCast(Code):
    """A cast would change a value.

    The message shows the leaf, the number of affected values and an example. To accept the loss, write
    `cast: {to: …, lossy: true}`; otherwise choose a wider dtype.
    """

    number = "M503"


class FailedAssertion(Code):
    """An assertion in a rule failed.

    An example is `drop: {from: …, assert: zero}` for a leaf that is not zero, where dropping changes the model's
    outputs. Move the leaf to the target, or remove `assert:` if the loss is intended.
    """

    number = "M504"


class VerificationFailed(Code):
    """The written checkpoint differs from the plan.

    Verification read the checkpoint back and found missing or different leaves; the message lists them. If `apply`
    reports this, nothing was published; if `verify` reports it, do not use DST. Run `migrate apply` again, and check
    the disk if the failure recurs.
    """

    number = "M505"


class CodeNotAllowed(Code):
    """The rule file names Python code that needs permission to run.

    `target: {template: …}`, `call` and `probe:` name code that can do anything. It runs without permission only if the
    rule file and the module are both below the current directory. Review the code, then add `--allow-code`; or change
    to the directory that contains both. `--template` and `--probe` need no permission and replace the rule file's.
    """

    number = "M506"


class WriteFailed(Code):
    """DST could not be written.

    The disk is full, or the directory is not writable; the message shows the cause. Nothing was published. Remove the
    cause and run the same command again; it resumes.
    """

    number = "M507"


class RunStopped(Code):
    """The run was stopped before it finished.

    After Ctrl-C, the leaves in progress were finished and nothing was published. The completed work is kept in a
    directory `.NAME.migrate-…` beside DST. Run the same command again to resume; it removes the directory at the end.
    """

    number = "M508"
    severity = "note"


class DestinationLocked(Code):
    """Another run is writing to this destination.

    The workspace beside DST contains a LOCK file of a live process, or of a process on another host, which cannot be
    checked from here. Wait until it finishes. If that process is dead, delete the LOCK file that the message names and
    run the command again; it resumes.
    """

    number = "M509"


class LeftoverWorkspace(Code):
    """An earlier run left its workspace beside DST.

    A run that was killed or stopped keeps its completed work there so that the same command can resume. The message
    states whether the work was reused. Workspaces of other plans are kept while they hold staged arrays; delete them
    yourself if you do not need to resume those runs. A workspace that no run needs, because its run was killed after
    it had published, is deleted by the next `apply`, `verify` or `inspect` of DST.
    """

    number = "M510"
    severity = "note"


class OverlappingPaths(Code):
    """SRC and DST overlap.

    They are the same path, or one contains the other. migrate never writes to the source, so that every migration can
    be undone. Choose another DST, and delete the old checkpoint yourself when you no longer need it.
    """

    number = "M511"


class UnrepresentableLeaf(Code):
    """The file format of DST cannot store a leaf.

    Safetensors has no strings, no typed PRNG keys and fewer dtypes than Orbax; msgpack, as Flax reads it, has no typed
    keys and no lists. The leaves are listed before any array is read. Remove them with `drop:`, convert them with an op
    (`key_data`, `cast`), or write a directory, which Orbax restores. As a note, the message states what the file stores
    in another form and which libraries can read it.
    """

    number = "M512"


class OutputMismatch(Code):
    """The new model's outputs differ from the old model's.

    The probe compares pairs of outputs by shape, kind of dtype and largest difference. The first pair that differs
    indicates the layer: check the rules for the leaves below it, which may assign the wrong leaves or axes. If only the
    device or the precision differs, set `--tolerance` and `--rtol`, or compute with
    `jax.default_matmul_precision("highest")`.
    `apply` publishes nothing when outputs differ.
    """

    number = "M513"


class InconclusiveProbe(Code):
    """A probe cannot be run, or it compares nothing.

    A probe is a function `probe(old, model)` that returns or yields pairs of arrays, `(old, new)` or
    `(name, old, new)`. `old` is the old checkpoint's tree of NumPy arrays; `model` is the object that the template
    returns, with the new checkpoint's values. If the function raised an error, the message shows it with its line. Make
    it yield at least one pair of arrays that are not empty.
    """

    number = "M514"


class SourceChanged(Code):
    """SRC changed during the run.

    A file of the source has another size, time or content than at the start of the run, is missing or was added. What
    was read before and after the change may not belong together, so nothing was published, and arrays that were already
    staged are not reused. Stop the program that writes to SRC, or migrate a step that it has finished, and run the same
    command again.
    """

    number = "M515"


class ChangedValues(Code):
    """Values of the checkpoint differ from the digests that it records.

    migrate records digests of all values when it writes a checkpoint, and later reads found others: a file was changed
    or damaged. The message names leaves, chunks and files. Copy these files again from an intact copy, or repeat the
    migration.
    """

    number = "M516"


class UnwritableDestination(Code):
    """Nothing can be created at DST.

    A directory above DST is a file, is on a read-only file system or may not be written to, or the name is too long:
    beside DST, a run needs a working directory with a longer name. A dry run reports this as well.
    """

    number = "M520"


class NoRoom(Code):
    """The file system of DST has too little space or too few inodes.

    The message compares what is free with the least that the plan needs: compressed arrays are estimated from the
    source, and linked arrays need nothing on the file system of the source. Nothing was written.
    """

    number = "M521"


class OutOfMemory(Code):
    """An array does not fit into memory.

    `--max-ram` limits the array data that is in memory at once, and larger arrays are computed in tiles; but the
    machine, a container or a ulimit gave less than that. A single chunk and the arrays of a `call` op are not divided.
    Nothing was published. Run the same command again with a smaller `--max-ram` or with `--jobs 1`; it resumes.
    """

    number = "M522"


class NoModelConfig(Code):
    """A folder of Hugging Face gets no `config.json`, or that of the folder that it replaces.

    `layout: huggingface` writes the tensors of a model and copies its configuration and tokenizer from the folder that
    `--files-from` names, or from SRC where SRC is such a folder. With `--overwrite` and neither of them, DST keeps the
    files of the model that it replaces. `from_pretrained` of `transformers` opens no folder without `config.json`. The
    tensors are complete; copy the file beside them, or write DST again with `--files-from`.
    """

    number = "M528"
    severity = "note"


class MissingCloudPackage(Code):
    """A package for buckets is not installed.

    TensorStore reads and writes buckets, and cannot copy an object on the server. Arrays whose bytes do not change are
    copied there, so that they do not pass through this machine, by the package obstore:
    `pip install 'migrate-jax[cloud]'`. With `--link never`, all arrays are streamed, and the package is not needed.
    """

    number = "M540"


class UnsupportedInBucket(Code):
    """What was asked for has no form in a bucket.

    `migrate expand` and `migrate contract` change a step in one rename, which a bucket does not have: write a new
    checkpoint with `migrate apply`, or change a local copy of the step. Folders of Hugging Face (`layout: huggingface`)
    are written to a local path; upload them.
    """

    number = "M541"


class LostLock(Code):
    """Another run took the lock of this run, which had not renewed it for too long.

    The lock of a run in a bucket is an object that the run renews every few seconds. If it is not renewed, because the
    process is suspended or the network is down, another run may take it over. Nothing was published. Wait for the other
    run, or run the same command again: it resumes what both have staged.
    """

    number = "M542"


class AmplifiedReads(Code):
    """Some arrays cannot have chunks that suit every load.

    A device that needs a part of an array decodes every chunk that the part touches. `--for` chooses chunks that follow
    the parts of all its meshes, but chunks below 16 KiB cost more than they save, and an array has at most 65,536 of
    them. Where these limits leave no choice that reaches the bound, or where two meshes divide a dimension in ways that
    have no common divisor, the chunks with the least amplification are chosen. Small arrays weigh little: the total of
    each device is in the report.
    """

    number = "M560"
    severity = "note"


class NothingDivided(Code):
    """No array is divided over the meshes of `--for`.

    Every device would read all of every array, so that no choice of chunks changes what it decodes. The specs come from
    the file of `--partition`, from the annotations of the template, or from the shardings with which the checkpoint was
    saved. Pass one of them, or leave out `--for`: `migrate tune` then chooses chunks that suit every mesh up to 16×16.
    """

    number = "M561"


class ModelNeeded(Code):
    """A recorded tree stands for the model, and the model itself is needed.

    A file that `migrate template` wrote has key paths, shapes and dtypes, and no code: it suffices for a plan and for
    leaves that come from the source. Initial values of the model (`init: template`) and a probe call the model. Name it
    with `--template module:callable` for this command.
    """

    number = "M570"


class OtherRecordedCall(Code):
    """A recorded tree was made with other arguments or another layout than the rule file names.

    `args:` and `layout:` of `target:` decide the tree of a template. The file records those with which it was written.
    Write it again with `migrate template --rules RULES -o FILE --overwrite`.
    """

    number = "M571"
