"""M3xx: shapes, dtypes and hashes."""

from migrate.errors import Code


class ShapeMismatch(Code):
    """A shape differs from the template.

    Both shapes are shown. Migrate never pads, truncates or broadcasts by itself: say it with an op.
    """

    number = "M301"


class DtypeMismatch(Code):
    """A dtype differs from the template.

    No cast happens unless a rule asks for it: `ops: [{cast: template}]`. A cast is checked on the values and refused
    when one of them changes, unless the rule says `lossy: true`.
    """

    number = "M302"


class OpMismatch(Code):
    """An op does not fit the shape or dtype of its input.

    For example a `transpose` with three axes on a matrix. The message shows the shape at this point of the op list.
    """

    number = "M303"


class SourceStructureMismatch(Code):
    """The source's structure is not the one that the rule file was written for.

    The rule file pins `source: {structure: "sha256:…"}`, and the checkpoint's tree has another hash. The leaves that
    differ are listed where they are known.
    """

    number = "M304"


class TemplateStructureMismatch(Code):
    """The template's structure is not the one that the rule file was written for.

    The rule file pins `target: {structure: "sha256:…"}`, and the template's tree has another hash: the model changed
    again.
    """

    number = "M305"


class RecordedStructureMismatch(Code):
    """The checkpoint's own record of its structure is not what is on disk.

    Its metadata holds a structure hash from when it was written. A file was changed, lost or mixed with another since.
    """

    number = "M306"


class InvalidSharding(Code):
    """A sharding does not fit.

    The mesh lacks an axis that the spec names, or a dimension is not divisible by the axis's size.
    """

    number = "M307"


class ModelMismatch(Code):
    """The source is another model, or another version of it, than the rule file was written for.

    The rule file's `source:` guard and the checkpoint's metadata disagree.
    """

    number = "M308"


class UnprovedLeaves(Code):
    """Nothing but the rule file says that these leaves belong together, and `--require-proof` wants more.

    A leaf is proved by name when its key path and shape are unchanged, and by shape when no other assignment of leaves
    and of their axes fits. Layers of equal shapes, square matrices and the order of stacked, joined or split arrays are
    never proved so. `--probe module:function` compares outputs of the old model and the new one and proves the leaves
    that they depend on by value: the model's, and the optimizer's moments with them. For what no output depends on,
    such as counters, let the probe yield a pair that is named by the leaf's key path.
    """

    number = "M309"
