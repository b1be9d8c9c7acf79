"""M0xx: the rule file as YAML."""

from migrate.errors import Code


class InvalidYaml(Code):
    """The file is not valid YAML.

    The parser stopped at the place shown. Usual causes: a tab in the indentation, an unclosed quote or bracket, a
    pattern that begins with `*` or `{` and is not quoted. Quote patterns: `- "params/** -> model/**"`.
    """

    number = "M001"


class DuplicateKey(Code):
    """A key stands twice in one mapping.

    YAML parsers keep the last one in silence; a rule that vanishes in silence is a lost leaf. Remove or rename one of
    the two.
    """

    number = "M002"


class UnsupportedYaml(Code):
    """The file uses a part of YAML that rule files do not have.

    Tags (`!something`), merge keys (`<<`) and anchors that expand without bound are refused: a rule file is plain data.
    """

    number = "M003"


class UnreadableRuleFile(Code):
    """The rule file cannot be read.

    It does not exist, is not text in UTF-8, or is larger than a rule file can be. Bundled files are named without a
    suffix, for example `migrate apply portable old/ new/`.
    """

    number = "M004"
