"""Defaults of options in `[tool.migrate]` of a `pyproject.toml`."""

from migrate.errors import Code


class UnknownDefault(Code):
    """`[tool.migrate]` of `pyproject.toml` has a key that is not an option.

    Keys are the long names of options without dashes: `max-ram = "4GiB"` under `[tool.migrate]`, for every command that
    has the option, or under `[tool.migrate.apply]`, for this command alone. `migrate COMMAND --help` lists the options.
    `migrate --isolated COMMAND` ignores the file.
    """

    number = "M642"


class InvalidDefault(Code):
    """`[tool.migrate]` of `pyproject.toml` cannot be read, or a value in it is not one that the option takes.

    A value is what follows the option on the command line, as text or a number: `jobs = 2`, `verify = "decode"`.
    Options without a value are `true` or `false`, and those that can be given several times are lists. `migrate
    --isolated COMMAND` ignores the file.
    """

    number = "M643"


class ForbiddenDefault(Code):
    """An option in `[tool.migrate]` of `pyproject.toml` has to be given on the command line.

    Options that replace or leave out data, allow code, send work to other machines, follow links out of a checkpoint,
    reverse rules, name what is written, or decide whether a command writes have no defaults, so that none of this
    happens unseen. Remove the line, and give the option where it is meant.
    """

    number = "M644"
