"""M2xx: matching rules with leaves, and coverage."""

from migrate.errors import Code


class IdlePattern(Code):
    """A rule matches nothing in the source.

    Rules are strict: one that has nothing to do is a typing error or belongs to another checkpoint. Say `optional:
    true` if it may match nothing. `migrate inspect SRC` lists the real key paths.
    """

    number = "M201"


class OverlappingRules(Code):
    """Two rules claim the same leaf.

    Each leaf is moved by one rule. Narrow one of them with `except: [pattern, …]`.
    """

    number = "M202"


class DuplicateTarget(Code):
    """A target is written more than once.

    Two sources would end at one key path and one of them would be lost. Reduce them (`concat`, `stack`) or give them
    different targets.
    """

    number = "M203"


class UnfilledTarget(Code):
    """A target leaf is never written.

    The template has it and no rule fills it. Move a source leaf there, or `create` it, or set `unmatched: {target:
    template}`.
    """

    number = "M204"


class UnusedSource(Code):
    """A source leaf is neither used nor dropped.

    The template has no leaf at its key path and no rule names it. Move it, or `drop` it, or set `unmatched: {source:
    drop}`.
    """

    number = "M205"


class UnknownTarget(Code):
    """A rule writes to a key path that the template does not have.

    The nearest real key path is shown. `migrate inspect` and `migrate diff --template` list all of them.
    """

    number = "M206"


class UnreducedArrays(Code):
    """Several arrays end at one target and no op reduces them.

    Add `concat` or `stack`, with `over:` when the list comes from a capture.
    """

    number = "M207"


class IndexGap(Code):
    """A stacked index has a gap.

    The captured integers must run from 0 or 1 without a hole, else the layers would silently change places.
    """

    number = "M208"


class UncomputableIndex(Code):
    """A number on the right-hand side cannot be computed.

    The capture is not an integer, or the expression divides by zero.
    """

    number = "M209"


class UntransferableMoments(Code):
    """Moments cannot follow their params.

    The optimizer state holds copies of the params' structure. What the rules do to the params has no exact answer for
    this slot, or the slot of the target is not clear. Say `moments: reset` in the rule, or write rules for the slot.
    """

    number = "M210"


class CollidingPaths(Code):
    """Key paths collide on disk.

    Orbax joins key paths with `.`; two leaves that join to the same name would overwrite each other in silence.
    """

    number = "M211"


class PerTensorOptimizer(Code):
    """Moments are exact, but the optimizer may look at tensors as wholes.

    Joining and cutting params (`stack`, `unstack`, `concat`, `split`, `slice`) takes their moments along element by
    element. Lamb, lars and muon also scale each tensor by a norm of its own, so that they train differently after it.
    The state on disk does not tell lamb from adam. A template that returns the `nnx.Optimizer` does: such rules are
    then refused for these optimizers, and this note is gone for others. `moments: follow` in the rule says that you
    know.
    """

    number = "M212"
    severity = "note"


class SharedRngKey(Code):
    """Several RNG streams get one key.

    They draw the same numbers: two layers of dropout with one key and one count drop the same units. Give each stream
    a key of its own with `create: {to: …, init: {rng: {seed: s}}}`, unless you want them alike.
    """

    number = "M213"
    severity = "note"
