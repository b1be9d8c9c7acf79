"""M6xx: several sources in one migration."""

from migrate.errors import Code


class UnknownSource(Code):
    """A key path or an option names a source that does not exist.

    The key paths of a named source begin with its name and a colon: `lora:/model/w`. The rule file declares each name:

        sources:
          lora: adapter.safetensors     # relative to the rule file
          tower: null                   # `--source tower=PATH` has to give it

    Correct the name, or declare it.
    """

    number = "M630"


class MissingSource(Code):
    """The rule file declares a source, and neither the file nor the command gives its path.

    `--source NAME=PATH` gives it, in Python `sources={"NAME": path}`. A plan file records no paths, so that the sources
    of its rule file are always given.
    """

    number = "M631"


class IdleSource(Code):
    """No rule uses a source.

    Every leaf of a named source is either used or dropped by a rule; none is kept without one. Write a rule for its key
    paths, drop it with `drop: "NAME:/**"`, or remove it from `sources:`.
    """

    number = "M632"


class SingleSourceOnly(Code):
    """The rules have several sources, and the command needs rules of one.

    A folder of rule files is a chain from one checkpoint to the next, and reversed rules lead from one checkpoint to
    another. Merge or join first with `migrate apply`, and continue from the result.
    """

    number = "M633"


class AmbiguousSource(Code):
    """The main source has key paths that begin with the name of another source and a colon.

    `lora:/w` could then be a leaf of either. Give the other source another name in `sources:`.
    """

    number = "M634"


class UnknownAdapterScale(Code):
    """The leaves of an adapter do not tell how it is merged, and its config does not either, or contradicts the rule.

    `lora` without `scale` takes it from the `adapter_config.json` that peft writes beside the adapter: lora_alpha / r,
    or lora_alpha / sqrt(r) with `use_rslora`. Give it in the rule where there is no such file, or where layers differ
    (`rank_pattern`, `alpha_pattern`). With `fan_in_fan_out`, as for GPT-2, the base is stored transposed, and the rule
    has to transpose it before and after; a square base would show no difference in its shape.
    """

    number = "M635"


class OtherAdapterScale(Code):
    """The scale of a `lora` op is not that of the adapter's config.

    Leave `scale` out, and it is taken from `adapter_config.json`. Keep it if the adapter is meant to be weighted.
    """

    number = "M636"
    severity = "warning"
