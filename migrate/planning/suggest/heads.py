"""Embeddings that are the head: a head that only the template has is copied, one that it lacks is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from migrate.planning.rule_text.rule_drafts import pattern, text_of
from migrate.planning.suggest.columns import Column, Named
from migrate.planning.suggest.known import ColumnMatch
from migrate.planning.suggest.leftovers import LeftoverRule
from migrate.planning.suggest.values import Doubt

_HEAD, _EMBEDDING = "head", "embedding"


def tied_heads(mine: Sequence[Column], theirs: Sequence[Column]) -> list[ColumnMatch]:
    """Returns the match of an embedding with a head that only the template has."""
    embedding, head = _only(mine, _EMBEDDING), _only(theirs, _HEAD)
    if embedding is None or head is None or _only(mine, _HEAD) is not None or _only(theirs, _EMBEDDING) is None:
        return []
    as_head = replace(embedding, torch=True, named=Named(_HEAD, "matrix"))  # [vocabulary, width] is [out, in]
    doubt = Doubt("the checkpoint has no head; in a model with tied embeddings, the embedding is the head")
    return [ColumnMatch((as_head,), (head,), (doubt,), copy=True)]


def equal_heads(mine: Sequence[Column], theirs: Sequence[Column]) -> list[LeftoverRule]:
    """Returns the rule that drops a head which the template lacks, if it equals the embedding."""
    embedding, head = _only(mine, _EMBEDDING), _only(mine, _HEAD)
    if embedding is None or head is None or _only(theirs, _HEAD) is not None or _only(theirs, _EMBEDDING) is None:
        return []
    if head.shape not in (embedding.shape, embedding.shape[::-1]):
        return []
    ops = () if head.torch else ("transpose: [1, 0]",)
    equal = f"{{equal: {pattern(text_of(embedding.first.path))}}}"
    why = "the template's head is its embedding; the checkpoint's is dropped only if it equals the embedding"
    return [LeftoverRule("drop", (pattern(text_of(head.first.path)),), equal, why, ops)]


def _only(columns: Sequence[Column], meaning: str) -> Column | None:
    """Returns the only matrix of this meaning outside of blocks, or None."""
    found = [one for one in columns if one.named.meaning == meaning and one.array == "weight" and len(one.shape) == 2]
    return found[0] if len(found) == 1 else None
