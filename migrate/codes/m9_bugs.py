"""M9xx: a bug in migrate."""

from migrate.errors import Code


class InternalError(Code):
    """A bug in migrate.

    Please report it with the command, the whole message and the output of `migrate --version`. Nothing was published.
    """

    number = "M901"
