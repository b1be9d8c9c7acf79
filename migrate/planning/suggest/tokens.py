"""Measures the similarity of two names: words, numbers, and the usual synonyms."""

from __future__ import annotations

import re
from functools import lru_cache

from migrate.knowledge.naming import SYNONYMS, auto_name
from migrate.planning.rule_text.numbers import split_number
from migrate.tree import KeyPath

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")

_ONE_NAME = 0.9
"""The similarity of segments that spell the same name or are synonyms."""

_ORDER = {
    word: rank
    for rank, words in enumerate(
        (
            "first a in input pre up fc1 wi query q self attn attention conv1 start before expand w1 linear1",
            "key k cross mid gate middle w3",
            "last b out output post down fc2 wo value v mlp ffn end final after ff w2 linear2",
        )
    )
    for word in words.split()
}
"""The usual rank of a layer in its block, by name; a guess."""


@lru_cache(maxsize=1 << 14)
def words(segment: str) -> tuple[str, ...]:
    """Returns the lower-case words of a segment, without prefixes of lifted classes and final numbers."""
    auto = auto_name(segment)
    name = auto.cls if auto else split_number(segment)[0] or segment
    return tuple(word.lower() for word in _WORDS.findall(name)) or (segment,)


@lru_cache(maxsize=1 << 14)
def forms(segment: str) -> frozenset[str]:
    """Returns all synonyms of a name, each joined in lower case."""
    own = "".join(words(segment))
    called = {own}
    for name, others in SYNONYMS.items():
        names = {each.replace("_", "").lower() for each in (name, *others)}
        if own in names or own.removesuffix("s") in names:
            called |= names
    return frozenset(called)


@lru_cache(maxsize=1 << 16)
def alike(one: str, other: str) -> float:
    """Returns the similarity of two segments, from 0 to 1; 1 only for equal words."""
    from rapidfuzz.fuzz import ratio

    mine, theirs = "".join(words(one)), "".join(words(other))
    if mine == theirs:
        return 1.0
    if mine in forms(other) or theirs in forms(one):
        return _ONE_NAME
    related = 0.6 if forms(one) & forms(other) else 0.0
    return max(related, 0.8 * ratio(mine, theirs) / 100)


@lru_cache(maxsize=1 << 18)
def similarity(one: KeyPath, other: KeyPath) -> float:
    """Returns the similarity of two key paths, from 0 to 1.

    The last name counts most; an index stands for the name of its list.
    """
    from rapidfuzz.fuzz import token_set_ratio

    mine, theirs = _named(one), _named(other)
    if not mine or not theirs:
        return 0.0
    last = max(alike(mine[-1], theirs[-1]), 0.8 * _best(mine[-2:], theirs[-2:]))
    whole = token_set_ratio(_text(mine), _text(theirs)) / 100
    return 0.65 * last + 0.35 * whole


def _named(path: KeyPath) -> KeyPath:
    """Returns the segments that are names and not indices of a list."""
    return tuple(segment for segment in path if not segment.isdecimal())


def _best(mine: KeyPath, theirs: KeyPath) -> float:
    return max(alike(a, b) for a in mine for b in theirs)


def _text(path: KeyPath) -> str:
    return " ".join(word for segment in path for word in words(segment))


def agrees(one: str, other: str) -> bool:
    """Whether two segments are the same name in any spelling: `query`, `q_proj`; `if`, `if_`."""
    return alike(one, other) >= _ONE_NAME and split_number(one)[1] == split_number(other)[1]


def usual_rank(segment: str) -> int | None:
    """Returns the usual rank of this name in a block, from 0 to 2; None if it is unknown."""
    ranks = [_ORDER[word] for word in (segment, *words(segment)) if word in _ORDER]
    return ranks[0] if ranks else None
