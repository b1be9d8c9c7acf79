"""M7xx: loading into a training job."""

from migrate.errors import Code


class NarrowedLeaf(Code):
    """A leaf has 64 bits, and JAX would narrow it without a warning.

    With x64 off, JAX makes int32 of int64 and float32 of float64, and large values become others. Set
    `JAX_ENABLE_X64=1` before JAX is imported, or let the model have a NumPy array at this leaf, which keeps its dtype.
    To accept the loss, let the model have the narrow dtype and write a `cast` in the rule file.
    """

    number = "M701"


class AbstractInitialValue(Code):
    """A leaf has to keep the value that the model gives it, and the model is abstract.

    The rule file has `init: template` for this leaf, or it is a moment of a new param. With `into=`, such a leaf keeps
    its value in your model. The result of `nnx.eval_shape` has no values: pass a real model, or name its callable as
    `template`, so that the initial value can be computed.
    """

    number = "M702"
