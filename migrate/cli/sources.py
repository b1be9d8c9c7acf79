"""SRC as the rule file states how it is read, with boxes and the separator of flat names, and its named sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    sources: Sequence[tuple[str, str]] = (),
) -> Checkpoint:
    """Opens SRC for the rules that are applied to it, with the named sources that they declare.

    Args:
      src: as on the command line.
      rules: the rules; None for none.
      step: the step, as `options.chosen_step` returns it.
      item: as on the command line.
      follow_links: as on the command line.
      template: the model that names the arrays of a file without names, as on the command line.
      sources: names and paths, as on the command line.

    Raises:
      CheckpointError: one of them cannot be read.
      UsageError: a named source is missing, or the rules do not declare it.
    """
    from migrate.checkpoint import open_checkpoint

    unbox, separator = (rules.source.unbox, rules.source.separator) if rules else ("auto", None)
    how: dict[str, Any] = {"follow_links": follow_links, "separator": separator, "template": template}
    main = open_checkpoint(src, step, item, unbox, **how)
    if rules is None or not (rules.sources or sources):
        return main
    from migrate.api.named_sources import open_joined

    return open_joined(main, rules, dict(sources), follow_links=follow_links)
