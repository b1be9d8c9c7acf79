"""M6xx: versions of models, and chains of rule files."""

from migrate.errors import Code


class UnknownVersion(Code):
    """It is not known from which version, or to which version, a checkpoint should be upgraded.

    `migrate upgrade` takes the model and the version from the record of the checkpoint, and compares them with the
    `source:` and `target:` of the rule files in the folder. Name the version with `--from V` if the checkpoint has no
    record, or add the record with `migrate stamp`. `migrate heads RULES` draws the versions that the folder knows.
    """

    number = "M601"


class NoUpgradePath(Code):
    """No chain of rule files leads from one version to the other.

    A rule file of the chain is missing, or its `source:` and `target:` name other versions. `migrate heads RULES` draws
    the versions and the rule files between them.
    """

    number = "M602"


class AmbiguousUpgradePath(Code):
    """Several chains of rule files lead from one version to the other, or to several newest versions.

    They may compute different values, so none is chosen. Name the version with `--to V`, or give every version exactly
    one rule file that leads to it: move the others out of the folder.
    """

    number = "M603"


class CircularVersions(Code):
    """Rule files lead from a version back to the same version.

    There is no newest version in a circle. An inverse rule file, which leads back, belongs in a folder of its own.
    """

    number = "M604"


class UnfusableSteps(Code):
    """A chain of rule files cannot be carried out as one plan.

    A later rule file needs an array that exists only between two steps, such as initial values of a model of that
    version. Upgrade to the version before with `--to V`, and upgrade the result.
    """

    number = "M605"


class InexpressibleRules(Code):
    """The effect of a chain cannot be written as one rule file.

    One rule applies each of its ops to all arrays that it joins or splits. A chain can treat the arrays of one result
    differently, or create an array and join it with others. Squash a shorter part of the chain.
    """

    number = "M606"


class InvalidRecordedTree(Code):
    """A file `N.tree.json` cannot be used.

    It holds the abstract tree of one version: key paths, shapes and dtypes. It is not JSON, lacks a field, or two files
    describe one version. Restore it from version control, or write it again with `migrate new`.
    """

    number = "M607"
