"""M0xx: YAML syntax of rule files."""

from migrate.errors import Code


class InvalidYaml(Code):
    """The file is not valid YAML.

    The parser stopped at the place shown. Usual causes are a tab in the indentation, an unclosed quote or bracket, and
    an unquoted pattern that begins with `*` or `{`. Put patterns in quotes: `- "params/** -> model/**"`.
    """

    number = "M001"


class DuplicateKey(Code):
    """A mapping contains the same key twice.

    YAML parsers silently keep the last one, so a rule could disappear and its leaves would be lost. Remove or rename
    one of the two keys.
    """

    number = "M002"


class UnsupportedYaml(Code):
    """The file uses a YAML feature that rule files do not support.

    Rule files are plain data: tags (`!something`), merge keys (`<<`), several documents in one file, deep nesting and
    aliases that expand to very many nodes are refused. Write the values out in full. A partition file must be a list or
    a mapping of patterns.
    """

    number = "M003"


class UnreadableRuleFile(Code):
    """The rule file cannot be read.

    It does not exist, is not UTF-8 text, or is too large for a rule file. Check the path. Bundled rule files are named
    without a suffix, as in `migrate apply portable old/ new/`; `migrate apply -h` lists them.
    """

    number = "M004"
