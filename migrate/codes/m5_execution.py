"""M5xx: execution and verification."""

from migrate.errors import Code


class M501(Code):
    """DST exists.

    Nothing is overwritten unless `--overwrite` says so; then the old one is replaced only after the new one is
    complete.
    """


class M502(Code):
    """The rule file was already applied to this checkpoint.

    Its metadata records the migration. Applying the rules twice would move leaves twice.
    """


class M503(Code):
    """A cast would change a value.

    The leaf, the number of values and one example are shown. Say `cast: {to: …, lossy: true}` to accept the loss.
    """


class M504(Code):
    """An assertion of a rule does not hold.

    For example `drop: {from: …, assert: zero}` on a leaf that is not zero.
    """


class M505(Code):
    """What was written is not what was meant.

    The verification read DST again and found leaves that differ. DST was not published, or should not be used.
    """


class M506(Code):
    """The rule file runs code.

    `call` ops name a Python function. Read the rule file, then say `--allow-code`.
    """


class M507(Code):
    """Writing failed.

    The disk is full, or the directory cannot be written. Nothing was published.
    """
