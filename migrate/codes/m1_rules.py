"""M1xx: fields of a rule file."""

from migrate.errors import Code


class UnknownField(Code):
    """The rule file or a rule has an unknown field.

    An ignored field could change what a rule matches: with a misspelled `except:`, the rule would apply to more leaves
    than intended. Correct the spelling or remove the field. `migrate schema` prints the JSON Schema, which editors use
    for completion.
    """

    number = "M101"


class UnknownOp(Code):
    """A rule names an unknown op.

    Ops are the array transformations in a rule's `ops:` list. The message lists the available ones; use one of them, or
    `call: "module:function"` for your own function.
    """

    number = "M102"


class InvalidOpField(Code):
    """An op has an unknown field or lacks a required one.

    Correct the spelling, or add the missing field. The help line lists the op's fields.
    """

    number = "M103"


class InvalidValue(Code):
    """A value has the wrong type or is not allowed.

    Examples are a string in a list of integers, and a dtype that JAX does not have. The message states what the field
    accepts; change the value.
    """

    number = "M104"


class MissingField(Code):
    """A required field is missing.

    A rule is a line `from -> to`, or a mapping with `from:` and `to:`, with `drop:` or with `create:`. The file itself
    needs `migrate: 1` and `rules:`. Add the field that the message names.
    """

    number = "M105"


class InvalidPattern(Code):
    r"""A pattern is invalid.

    A pattern is a key path that may contain `{name}`, `{name:int}`, `{name:a|b}`, `*` and `**`. An integer may have a
    condition on the left-hand side, `{i:int where i%2==0}`: comparisons of integer expressions, `and`, `or` and `not`.
    Arithmetic on the left-hand side, such as `{2*j+1}`, is linear in one name. To match one of the characters
    `/ { } * \` itself, put `\` before it.
    """

    number = "M106"


class UnboundCapture(Code):
    """The right-hand side uses a name that the left-hand side does not capture.

    Without a captured value, the target's key path is unknown. Capture the name in every pattern of `from:`. A new name
    is allowed on the right only if `split` or `unstack` creates it with `over:`.
    """

    number = "M107"


class InvalidOver(Code):
    """`over:` names an unsuitable capture.

    `concat` and `stack` reduce over a capture of `from:` that does not appear in `to:`. `split` and `unstack` extend
    over a new name that appears only in `to:`. Rename the capture, or change the pattern.
    """

    number = "M108"


class UnsupportedRuleVersion(Code):
    """The file uses another version of the rule language.

    This version of migrate reads `migrate: 1` only, because the fields of another version may have other meanings.
    Update migrate, or rewrite the file for version 1.
    """

    number = "M109"


class InvalidInclude(Code):
    """An included file cannot be used here.

    `include:` names bundled rule files, or other rule files by their paths relative to the including file.
    `{file: linen/lstm-to-nnx, under: params/rnn, to: rnn}` applies the rules below one place in the source and writes
    below another in the target. A file must not include itself, must not be included twice at one place, and must not
    set `source`, `target`, `follow` or `unmatched`. Names in `under` and `to` must differ from the names in the
    included file.
    """

    number = "M110"


class InvalidArgument(Code):
    """A rule file does not have an argument, or has it of another type.

    `--arg NAME=VALUE`, or `args` of `migrate.load_rules`, gives values to the names that a rule file declares in
    `args:`, which stand for them as `${name}`. An argument whose default is an integer takes integers. Use
    one of the names that the message lists.
    """

    number = "M113"
