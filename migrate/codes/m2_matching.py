"""M2xx: matching rules to leaves, and coverage."""

from migrate.errors import Code


class IdlePattern(Code):
    """A pattern matches nothing.

    This is usually a typing error, or the rule file belongs to another checkpoint, so the leaves that it should move
    would stay unchanged. Run `migrate inspect SRC` to list the key paths. If the rule may match nothing, add
    `optional: true`.
    """

    number = "M201"


class OverlappingRules(Code):
    """Two rules match the same leaf.

    Each leaf is moved or dropped by exactly one rule; two would contradict each other. Narrow one of the rules with
    `except: [pattern, …]`.
    """

    number = "M202"


class DuplicateTarget(Code):
    """Several sources are written to one target.

    Only one of them could be kept. Reduce them in one rule with `concat` or `stack`, or give each its own target.
    """

    number = "M203"


class UnfilledTarget(Code):
    """No rule writes a leaf of the target.

    The template has this leaf, and the model would start without a migrated value for it. Move a source leaf there, add
    `create:`, or set `unmatched: {target: template}` to use the model's own initial values.
    """

    number = "M204"


class UnusedSource(Code):
    """A source leaf is neither moved nor dropped.

    The template has no leaf at its key path and no rule names it, so its values would be lost. Move it, add `drop:`, or
    set `unmatched: {source: drop}`.
    """

    number = "M205"


class UnknownTarget(Code):
    """A rule writes to a key path that the template does not have.

    The model could not restore such a leaf. Correct the right-hand side; the message shows the nearest key path of the
    template, and `migrate diff SRC --template M:F` lists those that differ.
    """

    number = "M206"


class UnreducedArrays(Code):
    """Several arrays are moved to one target without an op that combines them.

    Add `concat` or `stack`. If the arrays come from a capture, such as `{i}`, name it with `over:`.
    """

    number = "M207"


class IndexGap(Code):
    """The indices of a stacked capture have a gap.

    The captured integers must be consecutive and start at 0 or 1. With a gap, every later layer would silently move to
    another position. Restore the missing layer, or renumber the others with rules.
    """

    number = "M208"


class UncomputableIndex(Code):
    """A number on the right-hand side cannot be computed.

    The captured text is not an integer, the expression divides by zero, or the result is negative. Capture integers
    with `{name:int}`, and correct the expression.
    """

    number = "M209"


class UntransferableMoments(Code):
    """Optimizer moments cannot be moved together with their params.

    The optimizer state contains arrays with the structure of the params, and the rules apply to them too. For this
    slot, the ops have no exact equivalent, or the matching slot of the target is ambiguous. Add `moments: reset` to the
    rule, or write rules for the slot.
    """

    number = "M210"


class CollidingPaths(Code):
    """Two key paths have the same name on disk.

    Orbax joins key paths with `.`, so one of the leaves would silently overwrite the other. Rename one of them with a
    rule.
    """

    number = "M211"


class PerTensorOptimizer(Code):
    """The moments are exact only if the optimizer treats elements independently.

    `stack`, `unstack`, `concat`, `split` and `slice` are applied to moments element by element. Lamb, lars and muon
    also scale each tensor by its own norm, so training continues differently after such an op. The state on disk does
    not distinguish lamb from adam: a template that returns the `nnx.Optimizer` does, and then the rules are either
    accepted without this note or refused. Add `moments: follow` to the rule to accept the difference.
    """

    number = "M212"
    severity = "note"


class SharedRngKey(Code):
    """Several RNG streams receive the same key.

    Streams with one key and one count draw the same numbers; two dropout layers, for example, drop the same units. Give
    each stream its own key with `create: {to: …, init: {rng: {seed: s}}}`, unless equal streams are intended.
    """

    number = "M213"
    severity = "note"


class UnscaledWeight(Code):
    """A quantized weight is used without its scale.

    A weight of 8 bits is stored beside a scale, and perhaps a zero point, and only their product is the weight that the
    model multiplies with. A rule moves or keeps the weight while the other is dropped or left, so the new model would
    compute with other weights. Bind both in one rule that multiplies them, as the message shows
    (`from: {value: …, scale: …}` with `dequantize`), or move both if the new model has both.
    """

    number = "M214"


class IrreversibleRule(Code):
    """A rule cannot be reversed without the old model.

    `--reverse` reads every rule of the file backwards. The right-hand side has to determine the left-hand side, so all
    captures have to appear on the right, and the results of its ops have to determine the arrays before them: `concat`
    needs `sizes` or `parts`, `rearrange` needs the sizes of the axes that it merges, and the shape before `reshape` is
    not known. Add what the message names, or give the old model with `--template`. `slice`, `crop` and `call` lose
    values and lead back in no case. A rule with `reverse: false` is not reversed; the comment of its file may name the
    file that leads back.
    """

    number = "M215"


class AmbiguousReversal(Code):
    """Two rules may have written one leaf.

    `--reverse` has to know which rule a leaf of the checkpoint comes from. Of two rules whose targets match it, the one
    with the more specific target is chosen; these two are equally specific. Make their targets differ, mark the rule
    that does not lead back with `reverse: false`, or give the old model with `--template`.
    """

    number = "M216"


class NotRestored(Code):
    """The way back does not restore everything.

    The rules drop leaves that the checkpoint no longer has, or change values in a way that cannot be undone bit for
    bit. The new checkpoint lacks those leaves, or has other values; the message names the rule. Elements that `pad` or
    `tile` added are cut off, whatever training has made of them. The same is stated of names that `config:` rules take
    away.
    """

    number = "M217"
    severity = "warning"


class InvalidAssertion(Code):
    """A drop asserts that a leaf equals another one, which cannot be.

    `drop: {from: lm_head/weight, assert: {equal: model/embed_tokens/weight}}` compares two leaves of the source by
    value before anything is published. The other leaf has to be an array of the source that is not dropped, with the
    shape and dtype that the leaf has after the `ops` of the rule. Correct the key path, or add the ops.
    """

    number = "M218"


class MissingInput(Code):
    """An op that takes several unlike leaves lacks one of them.

    `from:` binds a name to each pattern, and the leaves with the same captures are combined: each weight with its own
    scale. Here one of them is not in the source, or two leaves have the same name and captures. If a leaf may be
    absent, write `?` after its name in `from:`, as in `scale?: …`: where only the first input exists, it passes
    unchanged.
    """

    number = "M220"


class UnboundInput(Code):
    """The names in `from:` and the inputs of an op do not fit.

    An op such as `dequantize` takes the leaves that `from:` binds to the names of its inputs, or to those that its
    `of:` lists in the order of the inputs. Every name must be taken by an op, because the rule writes one array.
    `migrate schema` lists the inputs of each op.
    """

    number = "M221"


class UnmetRequirement(Code):
    """The model is not one that the rule file is for.

    `requires:` of a rule file names values of the model's `config.json`, or of arguments, without which the new model
    computes something else although every shape fits: another kind of rotary embedding, another scale of queries. An
    error is refused; a warning names a limit of the target's library that no rule settles, and the params are exact.
    Choose the rule file for such models, or include the file with `requires: false` if your model is not concerned.
    """

    number = "M225"


class UncheckedRequirement(Code):
    """The requirements of a rule file are not checked, as the source has no `config.json`.

    A folder of Hugging Face has this file beside its tensors. Copy it there, or name it with `--config FILE`.
    """

    number = "M226"
    severity = "note"


class DefaultArgument(Code):
    """An argument that the model's `config.json` can state has the default of the rule file.

    The default is that of the published models. Compare it with your model, and give another value with
    `--arg NAME=VALUE`, or name the model's configuration with `--config FILE`.
    """

    number = "M227"
    severity = "note"
