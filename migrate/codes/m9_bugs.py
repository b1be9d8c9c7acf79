"""M9xx: bugs in migrate."""

from migrate.errors import Code


class InternalError(Code):
    """migrate has a bug.

    Nothing was published. Please report it with the command, the whole message and the output of `migrate --version`.
    """

    number = "M901"
