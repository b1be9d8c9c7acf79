"""M3xx: shapes, dtypes and hashes."""

from migrate.errors import Code


class ShapeMismatch(Code):
    """A shape differs from the template.

    Nothing is padded, truncated or broadcast automatically, because that would change the model silently. The message
    shows both shapes. Convert the array with `ops:`, such as `reshape` or `transpose`.
    """

    number = "M301"


class DtypeMismatch(Code):
    """A dtype differs from the template.

    Values are cast only when a rule requests it: add `ops: [{cast: template}]`. A cast is refused if it changes a
    value, unless the rule specifies `lossy: true`.
    """

    number = "M302"


class OpMismatch(Code):
    """An op does not fit the shape or dtype of its input.

    An example is `transpose` with three axes on a matrix. The message shows the input's shape at this point in the list
    of ops; change the op, or the ops before it.
    """

    number = "M303"


class SourceStructureMismatch(Code):
    """The rule file was written for a source with another structure.

    The rule file pins `source: {structure: "sha256:…"}`, and the checkpoint's tree has another hash; the rules may move
    the wrong leaves. Choose the right checkpoint, or compare the two with `migrate diff`. Then pin the new hash if the
    difference is intended.
    """

    number = "M304"


class TemplateStructureMismatch(Code):
    """The rule file was written for a template with another structure.

    The rule file pins `target: {structure: "sha256:…"}`, and the template's tree has another hash: the model has
    changed since. Compare it with `migrate diff SRC --template M:F`. Then update the rules and pin the new hash.
    """

    number = "M305"


class RecordedStructureMismatch(Code):
    """The checkpoint differs from its own metadata.

    The metadata contains the structure hash from when the checkpoint was written. Since then, a file was changed, lost
    or mixed with another checkpoint. Copy the checkpoint again from its original location, or use another step.
    """

    number = "M306"


class InvalidSharding(Code):
    """A mesh or a sharding is invalid.

    The mesh lacks an axis that the spec names, a dimension is not divisible by the size of its axes, or the text of
    `--mesh` cannot be read. Correct `--mesh` (such as `data=-1,model=4`) or the partition file.
    """

    number = "M307"


class ModelMismatch(Code):
    """The rule file was written for another model or version.

    The `source:` guard in the rule file and the checkpoint's metadata disagree, so the rules may move the wrong leaves.
    Choose the right checkpoint or rule file, or change the guard.
    """

    number = "M308"


class UnprovedLeaves(Code):
    """`--require-proof` is set, and some leaves are assigned by the rule file alone.

    A leaf is proved by name if its key path and shape are unchanged, and by shape if no other assignment of leaves and
    axes fits. Layers of equal shapes, square matrices and the order of stacked, joined or split arrays cannot be proved
    this way. `--probe module:function` compares the outputs of both models and proves every leaf that they depend on,
    together with its moments. For a leaf that affects no output, such as a counter, let the probe yield a pair named by
    the leaf's key path.
    """

    number = "M309"


class HyperparameterMismatch(Code):
    """The template has other hyperparameters than the model that was saved.

    The checkpoint records the hyperparameters of its model, such as `num_heads`, and the template's arguments or the
    attributes of its modules have other values. Where shapes stay equal, no other check notices: 8 heads of 16 channels
    and 16 heads of 8 are the same arrays. Choose the right arguments (`target: {args: …}`), or check that the rules
    convert the leaves concerned; `--probe` compares the outputs of both models.
    """

    number = "M310"
    severity = "warning"


class CodeMismatch(Code):
    """The code of the model has changed since the checkpoint was saved.

    The checkpoint records digests of the model's classes and of what they use of their package; comments, docstrings
    and formatting do not matter. A new version of a model has other code, so this is no error. If the model is meant to
    be the same, look at what changed since the recorded commit.
    """

    number = "M311"
    severity = "note"


class InvalidPlanFile(Code):
    """A plan file contradicts itself or is not strict JSON.

    A plan file is written by `migrate plan` and is read strictly: each task is inferred again from its ops and shapes,
    and both structure hashes are computed again, so that a file that was edited by hand, cut off or merged wrongly is
    not carried out. Write it again with `migrate plan RULES SRC -o FILE`.
    """

    number = "M320"


class UnsupportedPlanVersion(Code):
    """The plan file has another version of the format.

    The first field of a plan file, `migrate_plan`, is the version of its format. This version of migrate reads one
    version only. Write the plan again with `migrate plan RULES SRC -o FILE` and review it, or install the version of
    migrate that wrote it.
    """

    number = "M321"


class StalePlan(Code):
    """What the plan file was made from has changed.

    A plan file is bound to the structure of its source (key paths, shapes and dtypes) and to its rule file, if that
    still exists. The message names the leaves or the file that differ. Write the plan again with
    `migrate plan RULES SRC -o FILE`, and review the difference.
    """

    number = "M322"


class UndeterminedAxes(Code):
    """The shapes do not determine the sizes that a `rearrange` omits, or contradict them.

    `rearrange: "(n h) d -> d n h"` takes the sizes of `n` and `h` from the shape of the template's leaf. Where that
    shape is the same for several sizes, as in `(n h) d -> d (h n)`, the rule must state one of them in `sizes:`. Where
    no size fits, the pattern names axes that one of the two arrays does not have.
    """

    number = "M323"


class MixedAxes(Code):
    """`reshape: template` would mix axes instead of splitting and merging them.

    The shape of (48, 96) becomes (6, 48, 16) only if parts of both axes are joined; more likely, an axis of 96 is split
    into 6 × 16 and moved to the front. Shapes cannot show the difference, and a wrong order gives a model that loads
    and computes other outputs. Write the `rearrange` that names the axes; a shape that is meant as it stands is written
    out, `reshape: [6, 48, 16]`.
    """

    number = "M324"


class EarlyRounding(Code):
    """`scale` or `add` rounds to a narrow dtype before a cast to a wider one.

    Both keep the dtype of their input. In `ops: [{add: 1}, {cast: float32}]`, a bfloat16 array loses digits that
    float32 would represent. Put the cast first: `ops: [{cast: float32}, {add: 1}]`. If the model expects exactly the
    rounded values, nothing has to be done.
    """

    number = "M325"
    severity = "warning"
