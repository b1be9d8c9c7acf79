"""How alike two names are: words, numbers, and the names that people use for one thing."""

from __future__ import annotations

import re
from functools import lru_cache

from migrate.knowledge.naming import SYNONYMS, auto_name
from migrate.tree import KeyPath

_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>0|[1-9][0-9]*)")
NUMBER = re.compile(r"(?<![0-9{])(?:0|[1-9][0-9]*)$|(?<=_)(?:0|[1-9][0-9]*)(?=_)")
"""What counts as a number: `3` in `blocks_3`, `conv3` and `expert_3_1`, but not in `conv3d`."""

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")

_ONE_NAME = 0.9
"""How alike segments are that are spellings of one name, or names of one thing."""

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
"""Which of two layers of a block usually comes first; only ever a guess."""


@lru_cache(maxsize=1 << 14)
def split_number(segment: str) -> tuple[str, int | None]:
    """A segment without the number at its end, and the number: `("Dense_", 3)`, `("", 3)`, `("kernel", None)`."""
    found = _NUMBERED.fullmatch(segment)
    return (found["stem"], int(found["number"])) if found else (segment, None)


@lru_cache(maxsize=1 << 14)
def numbers_in(segment: str) -> tuple[str, tuple[int, ...]]:
    """A segment with a mark for each of its numbers, and the numbers: those between underscores and at its end."""
    return NUMBER.sub("#", segment), tuple(int(found[0]) for found in NUMBER.finditer(segment))


@lru_cache(maxsize=1 << 14)
def words(segment: str) -> tuple[str, ...]:
    """Lower-case words of a segment; prefixes of lifted classes and numbers at the end are left out."""
    auto = auto_name(segment)
    name = auto.cls if auto else split_number(segment)[0] or segment
    return tuple(word.lower() for word in _WORDS.findall(name)) or (segment,)


@lru_cache(maxsize=1 << 14)
def forms(segment: str) -> frozenset[str]:
    """Everything that the thing of this name is called, written together in lower case."""
    own = "".join(words(segment))
    called = {own}
    for name, others in SYNONYMS.items():
        names = {each.replace("_", "").lower() for each in (name, *others)}
        if own in names or own.removesuffix("s") in names:
            called |= names
    return frozenset(called)


@lru_cache(maxsize=1 << 16)
def alike(one: str, other: str) -> float:
    """From 0 to 1: how much two segments seem to name one thing; 1 only for equal words."""
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
    """From 0 to 1: how alike two key paths are; the last name counts most, an index stands for its list's name."""
    from rapidfuzz.fuzz import token_set_ratio

    mine, theirs = _named(one), _named(other)
    if not mine or not theirs:
        return 0.0
    last = max(alike(mine[-1], theirs[-1]), 0.8 * _best(mine[-2:], theirs[-2:]))
    whole = token_set_ratio(_text(mine), _text(theirs)) / 100
    return 0.65 * last + 0.35 * whole


def _named(path: KeyPath) -> KeyPath:
    """Segments that say something; the number of a list is not a name."""
    return tuple(segment for segment in path if not segment.isdecimal())


def _best(mine: KeyPath, theirs: KeyPath) -> float:
    return max(alike(a, b) for a in mine for b in theirs)


def _text(path: KeyPath) -> str:
    return " ".join(word for segment in path for word in words(segment))


def agrees(one: str, other: str) -> bool:
    """Whether two segments are the same name, whatever its spelling: `query`, `q_proj`; `if`, `if_`."""
    return alike(one, other) >= _ONE_NAME and split_number(one)[1] == split_number(other)[1]


def usual_rank(segment: str) -> int | None:
    """Where in a block something of this name usually stands, from 0 to 2; None when nobody knows."""
    ranks = [_ORDER[word] for word in (segment, *words(segment)) if word in _ORDER]
    return ranks[0] if ranks else None
