"""SRC as the rule file says how it is read: boxes, and the separator of flat names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.cli import options

if TYPE_CHECKING:
    from migrate.checkpoint import Checkpoint
    from migrate.rules.model import RuleSet


def open_source(
    src: str,
    rules: RuleSet | None,
    *,
    step: options.StepChoice,
    item: str | None,
    follow_links: bool,
    template: str | None = None,
) -> Checkpoint:
    """Opens SRC for the rules that are applied to it.

    Args:
      src: as on the command line.
      rules: the rules; None for none.
      step: the step, as `options.chosen_step` returns it.
      item: as on the command line.
      follow_links: as on the command line.
      template: the model that names the arrays of a file without names, as on the command line.

    Raises:
      CheckpointError: it cannot be read.
    """
    from migrate.checkpoint import open_checkpoint

    unbox, separator = (rules.source.unbox, rules.source.separator) if rules else ("auto", None)
    return open_checkpoint(src, step, item, unbox, follow_links=follow_links, separator=separator, template=template)
