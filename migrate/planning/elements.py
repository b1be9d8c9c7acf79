"""The arrays that a rule's ops run over, with their tags, and which of them one call of an op gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from migrate.errors import Diagnostic
from migrate.ops.base import OpError
from migrate.rules.pattern import Bindings
from migrate.tree import AbstractArray, KeyPath


@dataclass(frozen=True, slots=True)
class Element:
    """One array of the list: its abstract array and its tags.

    Attributes:
      name: the name that `from:` binds to it, or the position of its pattern; the result of an op that combines arrays
        has the name of its first input.
      first: the key path of the leaf that it is computed from, or of the first of several.
    """

    aval: AbstractArray | None
    captures: Bindings
    origin: int | None
    name: str
    first: KeyPath
    destination: int | None = None


class GatherError(Exception):
    """A rule that cannot be carried out on these leaves."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def aval_of(element: Element) -> AbstractArray:
    """Returns the abstract array.

    Raises:
      OpError: it is a leaf without shape.
    """
    if element.aval is None:
        raise OpError("a string has no shape; only arrays and numbers go through ops")
    return element.aval


def reduction_key(element: Element, over: str | None, kept: set[str], *, named: bool) -> Hashable:
    """Returns the key that arrays of one reduction share; such arrays go to one target.

    With `over`, it is everything but the reduced capture; otherwise the captures that are `kept`. Arrays with different
    names of a rule that binds names are never joined.
    """
    name = element.name if named else None
    if over is None:
        return (name, element.destination, tuple(pair for pair in element.captures.items() if pair[0] in kept))
    others = tuple(pair for pair in element.captures.items() if pair[0] != over)
    return (name, element.origin, element.destination, others)


def joined(elements: Sequence[Element], aval: AbstractArray) -> Element:
    """Returns the result of an op over several arrays, with the tags that they share."""
    first = elements[0]
    shared = {
        name: value
        for name, value in first.captures.items()
        if all(one.captures.get(name) == value for one in elements)
    }
    origin = first.origin if all(one.origin == first.origin for one in elements) else None
    return Element(aval, shared, origin, first.name, first.first, first.destination)


def extended(element: Element, aval: AbstractArray, over: str | None, index: int) -> Element:
    """Returns one result of an op that extends the list, with the tag that it adds."""
    if over is None:
        return replace(element, aval=aval, destination=index)
    captures: Mapping[str, str | KeyPath] = {**element.captures, over: str(index)}
    return replace(element, aval=aval, captures=captures)


def combinations(elements: Sequence[Element], names: Sequence[str]) -> Iterator[Mapping[str, list[int]]]:
    """Yields the arrays that one call combines: for each name, the indices of those with equal captures.

    Args:
      elements: the whole list.
      names: the names that the op takes; captures count that all arrays of these names have.
    """
    chosen = [index for index, one in enumerate(elements) if one.name in names]
    shared = set.intersection(*({*elements[index].captures} for index in chosen)) if chosen else set()
    groups: defaultdict[Hashable, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in chosen:
        one = elements[index]
        captures = tuple(sorted((name, value) for name, value in one.captures.items() if name in shared))
        groups[one.destination, captures][one.name].append(index)
    yield from groups.values()
