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
    version. Upgrade to the version before with `--to V`, and upgrade the result. In `migrate check RULES/` it is a
    warning.
    """

    number = "M605"
    is_lint = True


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


class UnrecoverableDrop(Code):
    """A rule file drops leaves whose values nothing restores.

    This is a lint of `migrate check RULES/`. If the values are all zero, state it with `assert: zero`, which `apply`
    verifies. If the loss is intended, allow this code for the file or the leaves in `[tool.migrate]` of
    `pyproject.toml`.
    """

    number = "M608"
    severity = "warning"
    is_lint = True


class RoundedLeaves(Code):
    """A rule file casts leaves with `lossy: true`, so that values may change.

    This is a lint of `migrate check RULES/`. Without `lossy: true`, `apply` refuses a cast that would change a value.
    If rounding is intended, allow this code for the file or the leaves in `[tool.migrate]` of `pyproject.toml`.
    """

    number = "M609"
    severity = "warning"
    is_lint = True


class UnprobedLeaves(Code):
    """A rule file moves leaves that only it proves, and names no probe.

    Shapes and names do not tell whether the rule is right: other leaves would fit as well. Name a function in `probe:`
    that compares the outputs of both models; `apply` calls it before the new checkpoint appears. This is a lint of
    `migrate check RULES/`, and `[tool.migrate]` of `pyproject.toml` can allow it.
    """

    number = "M610"
    severity = "warning"
    is_lint = True


class StepWithoutInverse(Code):
    """A rule file uses an op that has no inverse, so that no rule file leads back to these leaves.

    `migrate invert` leaves them out. This is a lint of `migrate check RULES/`; if there is no need to go back, allow
    this code for the file or the leaves in `[tool.migrate]` of `pyproject.toml`.
    """

    number = "M611"
    severity = "warning"
    is_lint = True


class EditedRelease(Code):
    """A released file was edited: its digest is not the one that `migrate.lock` records.

    Checkpoints that were migrated with the file before have another content now. Restore it with `git checkout`, and
    make the change in a new rule file. If no checkpoint was migrated with it yet, delete its line in the lock file and
    run `migrate check RULES/ --write`.
    """

    number = "M612"


class MissingRelease(Code):
    """A released file is missing: `migrate.lock` lists it, and it does not exist.

    Checkpoints of older versions need it. Restore it from version control; if it was never used, delete its line in the
    lock file.
    """

    number = "M613"


class UnlockedFile(Code):
    """A rule file or a recorded tree is not listed in `migrate.lock`.

    `migrate check RULES/ --write` adds the digests of new files. Commit the lock file with them, so that a later edit
    is noticed, and two branches that add a version conflict when they are merged.
    """

    number = "M614"


class InvalidLock(Code):
    """A line of `migrate.lock` cannot be read.

    Each line is a SHA-256 in 64 hexadecimal digits, two spaces and the name of a file; lines that begin with `#` are
    comments. After a merge with a conflict, renumber the version of one branch, keep the lines of both branches without
    the markers, and run `migrate check RULES/ --write`.
    """

    number = "M615"


class InvalidPolicy(Code):
    """`[tool.migrate]` of `pyproject.toml` has a mistake.

    `error`, `warn` and `allow` are lists of codes; the tables `per-file` and `per-leaf` have the same fields for files
    and key paths that match a pattern. Only lints, warnings and notes can be lowered; an error of a rule file cannot be
    allowed. A pattern that matches nothing is refused, because it is usually a typing error.
    """

    number = "M616"


class UnreleasedModel(Code):
    """The model is not the newest version: its leaves differ from those that are recorded.

    A checkpoint of the newest version does not load into the model. With `--write -m TEXT`, the command writes the
    draft of the missing rule file and the recorded tree of the new version.
    """

    number = "M617"


class UnknownConfigName(Code):
    """A `config:` rule names something that the config does not have.

    The config is the hyperparameters of the checkpoint's record, or with `in: NAME` the content of a JSON item. A name
    is a key path to a value; `model/**` names all values of the mapping `model`. Correct the name, or add
    `optional: true` if the rule may match nothing. `migrate stamp SRC --template M:F` records the hyperparameters of
    a checkpoint that has none.
    """

    number = "M620"


class ConfigConflict(Code):
    """Two `config:` rules contradict each other, or a rule writes a name that exists.

    Each name is moved, dropped or replaced by one rule, and written by one rule. A rule that writes a name which exists
    already names it in `from:` to replace it: `{from: heads, to: heads, value: 16}`. A name cannot be both a value and
    a mapping.
    """

    number = "M621"


class UncomputableConfig(Code):
    """The value or the name that a `config:` rule writes cannot be computed.

    Formulas are integer arithmetic, and `//` has to be exact: there is no head dimension of 65 // 8. To round up to a
    multiple of 128, write `{vocab} + (-{vocab}) % 128`.
    """

    number = "M622"


class UnknownConfigItem(Code):
    """A `config:` rule names a JSON item that it cannot change.

    `in: NAME` names an item of the step that was saved as JSON, such as `config`, and whose content is a mapping.
    `migrate inspect SRC` lists the items. An item that another rule drops cannot be changed.
    """

    number = "M623"


class InvalidModelConfig(Code):
    """The model's `config.json` cannot be read, and the rule file takes values from it.

    It has to be a JSON object. Correct it, or move it away and give the values with `--arg NAME=VALUE`.
    """

    number = "M640"


class InvalidModelArgument(Code):
    """The model's `config.json` states a value that an argument of the rule file cannot have.

    An argument is an integer or text, as its default is. A formula over the configuration is integer arithmetic, in
    which `//` has to be exact. Give the value with `--arg NAME=VALUE`.
    """

    number = "M641"
