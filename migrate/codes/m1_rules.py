"""M1xx: the fields of a rule file."""

from migrate.errors import Code


class UnknownField(Code):
    """A field of the rule file or of a rule is not known.

    Fields are checked strictly, so that a misspelled `except:` cannot widen a rule in silence. `migrate schema` prints
    the JSON Schema of the file, which editors use for completion.
    """

    number = "M101"


class UnknownOp(Code):
    """An op is not known.

    The ops are the array transformations that a rule's `ops:` list may name; the message lists them.
    """

    number = "M102"


class InvalidOpField(Code):
    """An op has a field that it does not know, or lacks one that it needs.

    The help line lists the op's fields.
    """

    number = "M103"


class InvalidValue(Code):
    """A value has the wrong type or cannot have this value.

    For example a string where a list of integers belongs, or a dtype that JAX does not have.
    """

    number = "M104"


class MissingField(Code):
    """A required field is missing.

    A rule is a line `from -> to`, or has `from:` and `to:`, or `drop:`, or `create:`; the file begins with `migrate:
    1`.
    """

    number = "M105"


class InvalidPattern(Code):
    r"""A pattern cannot be understood.

    Patterns are key paths with `{name}`, `{name:int}`, `{name:a|b}`, `*` and `**`; `\` escapes `/ { } * \`.
    """

    number = "M106"


class UnboundCapture(Code):
    """The right-hand side uses a name that the left-hand side does not capture.

    Names are captured by `from:`; a new name may stand on the right only where `split` or `unstack` makes it, with
    `over:`.
    """

    number = "M107"


class InvalidOver(Code):
    """`over:` names a capture that does not fit.

    `concat` and `stack` reduce over a capture of `from:` that is gone in `to:`; `split` and `unstack` extend over a
    capture that is new in `to:`.
    """

    number = "M108"


class UnsupportedRuleVersion(Code):
    """The file was written for another version of migrate's rule language.

    `migrate: 1` is the only version so far. A newer one needs a newer migrate.
    """

    number = "M109"


class InvalidInclude(Code):
    """A file that is included does not fit.

    `include:` takes the rules of other rule files: bundled ones by their names, others by paths from the folder of the
    file that includes them; `{file: linen/lstm-to-nnx, under: params/rnn, to: rnn}` puts them under a place of the
    source and to a place of the target. Refused are files that include themselves, a file that is included twice at one
    place, fields that an included file cannot decide (`source`, `target`, `follow`, `unmatched`), and a name in `under`
    or `to` that the included file uses as well.
    """

    number = "M110"
