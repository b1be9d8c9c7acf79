"""Suggestions as a function of an open checkpoint and a model; public as `migrate.suggest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrate.api import Checkpoint
    from migrate.planning.suggest.suggest import Suggestion
    from migrate.template import Template


def suggest(checkpoint: Checkpoint, template: Template | str, args: Mapping[str, Any] | None = None) -> Suggestion:
    """Suggest the rule file that leads from a checkpoint to a model, for a person to review; nothing is applied.

    Args:
      checkpoint: the source; no array byte is read.
      template: what the target expects, or `module:callable`.
      args: keyword arguments of the callable; they are written into the rule file.

    Returns:
      The text of the rule file, the plan that it leads to, what is not proved with its alternatives, and the leaves
      that found no place.

    Raises:
      CheckpointError: the callable cannot be found or fails (M408).
    """
    from migrate.planning.suggest.suggest import suggest as make
    from migrate.template import abstract_template

    built = abstract_template(template, args) if isinstance(template, str) else template
    return make(checkpoint.abstract, built, {"args": args} if args else None)
