"""Scales of norms that one model stores as `w` of `(1 + w) * x`, as Gemma does, and another as the factor itself.

Names and shapes are the same, so that only a probe tells the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from migrate.ops.add import Add
from migrate.planning.rule_text.doubt import Alternative
from migrate.planning.rule_text.ops import op_text
from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.tree import KeyPath

_SCALES = {"scale", "weight", "w", "gamma"}
_NORM = re.compile(r"norm|(^|_)ln(_|\d|$)", re.IGNORECASE)


def shifted_norms(drafts: Sequence[RuleDraft]) -> Iterator[tuple[tuple[frozenset[KeyPath], Alternative], ...]]:
    """Yields other ops for the scales of all norms, by their targets: 1 is added, or subtracted.

    None for scales to which a number is added already.
    """
    norms = [draft for draft in drafts if _are_scales(draft) and not any(op.startswith("add:") for op in draft.ops)]
    for number in (1, -1) if norms else ():
        words = "the scale of a norm `(1 + w) * x`"
        yield tuple((draft.fills, Alternative(words, (*draft.ops, op_text(Add(number))))) for draft in norms)


def _are_scales(draft: RuleDraft) -> bool:
    return any(side and all(map(_is_scale, side)) for side in (draft.claims, draft.fills))


def _is_scale(path: KeyPath) -> bool:
    return len(path) > 1 and path[-1] in _SCALES and any(_NORM.search(segment) for segment in path[:-1])
