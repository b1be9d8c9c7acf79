"""The template: the tree that the new model expects, from the callable that returns it, without allocating arrays."""

from migrate.template.parts import Layout
from migrate.template.template import (
    Template,
    abstract_template,
    initial_values,
    restore_target,
    rng_value,
)

__all__ = ["Layout", "Template", "abstract_template", "initial_values", "restore_target", "rng_value"]
