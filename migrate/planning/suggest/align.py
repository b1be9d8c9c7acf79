"""Matches arrays of the source with arrays of the target: modules first, the largest first, then layers, then arrays.

Sequences of modules whose arrays have the same shapes, one by one, are the strongest evidence: `Block_{0..11}` and
`blocks/{0..11}`, `Block_{0..7}` and `stages/{0..3}/{0..1}`, a stacked module and a list. The arrays inside matched
modules are matched in the same way. The remaining layers are assigned all at once by their names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from migrate.planning.rule_text.numbers import numbers_in, split_number
from migrate.planning.suggest.assign import assign
from migrate.planning.suggest.doubts import BlockMatch, doubt_blocks, doubt_orientation, doubt_shape_only
from migrate.planning.suggest.fit import LayerFit, fit_layer, kinds_agree, names_alike
from migrate.planning.suggest.fusion import fuse
from migrate.planning.suggest.scope import (
    LayerUnit,
    ModuleIndex,
    ModuleSequence,
    SequenceMember,
    layer_units,
    placed,
    total,
)
from migrate.planning.suggest.tokens import similarity, usual_rank
from migrate.planning.suggest.values import Doubt, Endpoint, Match, ModelArray, Scope, Solution
from migrate.tree import KeyPath, natural_key

_WORTH_A_PLACE = 10.0
"""The value of placing a layer at all: more than any similarity of names."""

_ORDER_COUNTS = 0.35
"""The value of two layers having the same rank among similar layers."""

_NUMBERS_COUNT = 0.1
"""The value of two key paths having the same numbers."""

_ROOT: KeyPath = ("",)

_ALIKE_ENOUGH = 0.5
"""The minimum share of shapes that two unequal sequences of blocks must have in common."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Sequences of both sides that could correspond, by their shapes alone."""

    coverage: int
    exact: bool
    mine: tuple[ModuleSequence, ...]
    theirs: tuple[ModuleSequence, ...]


class Aligner:
    """Solves scopes, and caches the solutions of equal scopes."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, object, bool], Solution] = {}

    def solve(self, source: Scope, target: Scope, *, lead: bool = False, top: bool = False) -> Solution:
        """Matches the arrays of two scopes.

        Args:
          source: the source's arrays by key path.
          target: the target's arrays by key path.
          lead: whether the source's arrays are parts of stacked arrays, so that ops run with a leading axis.
          top: whether key paths are those of the whole model.
        """
        key = (tuple(source.items()), tuple(target.items()), lead)
        if key not in self._known:
            self._known[key] = _ScopeSolver(self, source, target, lead=lead, top=top).solution()
        return self._known[key]


class _ScopeSolver:
    """The state of one scope: the matches so far, and the arrays that are still open."""

    def __init__(self, aligner: Aligner, source: Scope, target: Scope, *, lead: bool, top: bool) -> None:
        self.aligner = aligner
        self.lead = lead
        self.top = top
        self.source, self.target = dict(source), dict(target)
        self.matches: list[Match] = []
        self.blocks: list[BlockMatch] = []

    def solution(self) -> Solution:
        self._match_same_paths()
        self._match_sequences()
        self._take(fuse(self.source, self.target, lead=self.lead))
        self._match_layers()
        return Solution(tuple(self._with_doubts()))

    def _take(self, matches: Iterable[Match]) -> range:
        """Adds matches and removes their arrays from the open ones; returns the indices of the matches."""
        start = len(self.matches)
        for match in matches:
            self.matches.append(match)
            for end in match.sources:
                self.source.pop(end.path, None)
            for end in match.targets:
                self.target.pop(end.path, None)
        return range(start, len(self.matches))

    def _match_same_paths(self) -> None:
        """Matches layers that keep their key path, names and shapes; they can still be confused with others."""
        there = {unit.path: unit for unit in layer_units(self.target)}
        reason = "the same key path" if self.top else ""
        for unit in layer_units(self.source):
            if unit.path in there and _is_same(unit, there[unit.path]):
                paths = [unit.leaf(name) for name, _ in unit.leaves]
                matches = self._take([Match((Endpoint(path),), (Endpoint(path),), (), reason) for path in paths])
                self.blocks.append(BlockMatch(unit, unit, matches, None, layer=True))

    def _match_sequences(self) -> None:
        """Matches modules and sequences of modules, the largest first."""
        mine, theirs = ModuleIndex(dict(self.source)), ModuleIndex(dict(self.target))
        for candidate in _same_size_candidates(mine, theirs):
            self._match_candidates(candidate, mine, theirs)
        for candidate in _similar_candidates(mine, theirs):
            self._match_candidates(candidate, mine, theirs)

    def _match_candidates(self, candidate: _Candidates, mine: ModuleIndex, theirs: ModuleIndex) -> None:
        left = [one for one in candidate.mine if self._open(one, mine, self.source)]
        right = [one for one in candidate.theirs if self._open(one, theirs, self.target)]
        if not left or not right:
            return
        ranks = _ranks([one.node or _ROOT for one in left]), _ranks([one.node or _ROOT for one in right])

        def worth(i: int, j: int) -> float:
            alike = similarity(left[i].node, right[j].node)
            return 1 + alike + _ORDER_COUNTS * _closeness(ranks[0][i], ranks[1][j])

        matched = assign(len(left), len(right), worth)
        for i, j in sorted(matched, key=lambda match: -worth(*match)):
            if self._open(left[i], mine, self.source) and self._open(right[j], theirs, self.target):
                self._match(left[i], right[j], mine, theirs, exact=candidate.exact)

    @staticmethod
    def _open(sequence: ModuleSequence, modules: ModuleIndex, scope: Scope) -> bool:
        return all(path in scope for member in sequence.members for path in modules.ends(member))

    def _match(
        self, one: ModuleSequence, other: ModuleSequence, mine: ModuleIndex, theirs: ModuleIndex, *, exact: bool
    ) -> None:
        """Matches two sequences, unless solving their members shows that they do not correspond."""
        partners = _partners(one, other, mine, theirs, exact=exact)
        found: list[tuple[SequenceMember, SequenceMember, Solution]] = []
        for a, b in partners or ():
            inner, outer = mine.inside(a), theirs.inside(b)
            solution = self.aligner.solve(inner, outer, lead=self.lead or a.part is not None)
            if not exact and len(one.members) == 1 and not _complete(solution, inner, outer):
                return
            found.append((a, b, solution))
        for a, b, solution in found:
            kept = self._take(_lifted(match, a, b) for match in solution.matches)
            layer = mine.is_layer(a.node) and theirs.is_layer(b.node) and a.part is b.part is None
            self.blocks.append(
                BlockMatch(
                    LayerUnit(a.node, _leaves(mine, a)),
                    LayerUnit(b.node, _leaves(theirs, b)),
                    kept,
                    (a, b),
                    layer=layer,
                )
            )

    def _match_layers(self) -> None:
        """Assigns the remaining layers all at once."""
        mine, theirs = layer_units(self.source), layer_units(self.target)
        fits = self._fits(mine, theirs)
        ranks = _ranks([unit.path for unit in mine]), _ranks([unit.path for unit in theirs])

        def worth(i: int, j: int) -> float:
            found = fits.get((i, j))
            if found is None:
                return 0.0
            alike = names_alike(mine[i], theirs[j]) + _ORDER_COUNTS * _closeness(ranks[0][i], ranks[1][j])
            alike += _NUMBERS_COUNT * (_numbers(mine[i].path) == _numbers(theirs[j].path))
            return _WORTH_A_PLACE * found.share + alike - found.cost

        for i, j in assign(len(mine), len(theirs), worth):
            self._layer(mine[i], theirs[j], fits[i, j])

    def _fits(self, mine: Sequence[LayerUnit], theirs: Sequence[LayerUnit]) -> dict[tuple[int, int], LayerFit]:
        """Returns how each layer becomes each other one; layers with the same arrays are computed once."""
        known: dict[object, LayerFit | None] = {}
        fits: dict[tuple[int, int], LayerFit] = {}
        for i, one in enumerate(mine):
            for j, other in enumerate(theirs):
                key = (one.leaves, one.loose, other.leaves, other.loose)
                if key not in known:
                    known[key] = fit_layer(one, other, lead=self.lead)
                found = known[key]
                if found is not None:
                    fits[i, j] = found
        return fits

    def _layer(self, one: LayerUnit, other: LayerUnit, found: LayerFit) -> None:
        matches = []
        for leaf in found.leaf_matches:
            doubts = (Doubt(leaf.conversion.open),) if leaf.conversion.open else ()
            match = Match(
                (Endpoint(one.leaf(leaf.source)),),
                (Endpoint(other.leaf(leaf.target)),),
                leaf.conversion.ops,
                "",
                doubts,
            )
            if leaf.turnable:
                match = doubt_orientation(match, lead=self.lead)
            matches.append(doubt_shape_only(match, one, other))
        kept = self._take(matches)
        self.blocks.append(BlockMatch(one, other, kept, None, layer=True))

    def _with_doubts(self) -> list[Match]:
        left = [BlockMatch(unit, None, range(0), None, layer=True) for unit in layer_units(self.source)]
        right = [BlockMatch(None, unit, range(0), None, layer=True) for unit in layer_units(self.target)]
        return doubt_blocks(self.matches, [*self.blocks, *left, *right], lead=self.lead, top=self.top)


def _is_same(one: LayerUnit, other: LayerUnit) -> bool:
    """Whether two layers hold arrays of the same names, shapes and kinds."""
    return len(one.leaves) == len(other.leaves) and all(
        mine == theirs and item.shape == wanted.shape and kinds_agree(item.kind, wanted.kind)
        for (mine, item), (theirs, wanted) in zip(one.leaves, other.leaves, strict=True)
    )


def _leaves(modules: ModuleIndex, member: SequenceMember) -> tuple[tuple[str, ModelArray], ...]:
    return tuple(("/".join(path), item) for path, item in sorted(modules.inside(member).items()))


def _lifted(match: Match, one: SequenceMember, other: SequenceMember) -> Match:
    """Returns a match inside two members with key paths of the scope around them."""
    lifted = match.below(one.node, other.node)
    return Match(
        tuple(placed(end, one) for end in match.sources),
        tuple(placed(end, other) for end in match.targets),
        lifted.ops,
        lifted.reason,
        lifted.doubts,
    )


def _complete(solution: Solution, source: Scope, target: Scope) -> bool:
    return solution.sources() == source.keys() and solution.targets() == target.keys()


def _same_size_candidates(mine: ModuleIndex, theirs: ModuleIndex) -> list[_Candidates]:
    """Returns the sequences of both sides with the same shapes or the same numbers of elements, member by member."""
    candidates: list[_Candidates] = []
    lengths = [{len(sequence.members) for sequence in side.sequences} for side in (mine, theirs)]
    for exact in (True, False):
        keys = _by_key(mine, lengths[1], exact=exact), _by_key(theirs, lengths[0], exact=exact)
        for key in keys[0].keys() & keys[1].keys():
            left, right = keys[0][key], keys[1][key]
            coverage = sum(total(mine.shapes(member)) for member in left[0].members)
            candidates.append(_Candidates(coverage, exact, tuple(left), tuple(right)))
    return sorted(candidates, key=_priority)


def _priority(candidate: _Candidates) -> tuple[object, ...]:
    first, other = candidate.mine[0], candidate.theirs[0]
    return (
        -candidate.coverage,
        first.virtual or other.virtual,
        not candidate.exact,
        len(first.members),
        natural_key(first.node),
        natural_key(other.node),
    )


def _by_key(
    modules: ModuleIndex, counts: Collection[int], *, exact: bool
) -> dict[tuple[object, ...], list[ModuleSequence]]:
    """Returns the sequences of one side by shapes (`exact`) or by numbers of elements."""
    table: defaultdict[tuple[object, ...], list[ModuleSequence]] = defaultdict(list)
    for sequence in (*modules.sequences, *modules.stacked(counts)):
        members = sequence.members[:1] if sequence.virtual else sequence.members
        parts = [modules.shapes(member) for member in members]
        keys = sorted(parts) if exact else sorted(map(total, parts))
        if sequence.virtual:
            keys *= len(sequence.members)
        table[len(sequence.members), exact, tuple(keys)].append(sequence)
    return table


def _partners(
    one: ModuleSequence, other: ModuleSequence, mine: ModuleIndex, theirs: ModuleIndex, *, exact: bool
) -> list[tuple[SequenceMember, SequenceMember]] | None:
    """Pairs the members of two sequences, or returns None.

    Members are paired by number where their shapes agree in that order, else by shape where all shapes are distinct.
    """
    if one.virtual and other.virtual and one.members[0].part == other.members[0].part:
        return None
    in_order = list(zip(one.members, other.members, strict=True))

    def sizes(modules: ModuleIndex, member: SequenceMember) -> object:
        shapes = modules.shapes(member)
        return shapes if exact else total(shapes)

    left, right = [sizes(mine, m) for m in one.members], [sizes(theirs, m) for m in other.members]
    if left == right or len(set(left)) < len(left) or set(left) != set(right):
        return in_order if left == right or set(left) != set(right) else None
    return [(member, other.members[right.index(size)]) for member, size in zip(one.members, left, strict=True)]


def _similar_candidates(mine: ModuleIndex, theirs: ModuleIndex) -> list[_Candidates]:
    """Returns sequences of equal length whose blocks differ in few shapes: an extra bias, a missing layer."""
    candidates: list[_Candidates] = []
    blocks = [[s for s in side.sequences if len(s.members) > 1] for side in (mine, theirs)]
    for one in blocks[0]:
        for other in blocks[1]:
            if len(one.members) == len(other.members) and not mine.is_layer(one.node):
                shared = [
                    _shared(mine.shapes(a), theirs.shapes(b)) for a, b in zip(one.members, other.members, strict=True)
                ]
                if min(shared) >= _ALIKE_ENOUGH:
                    coverage = sum(total(mine.shapes(member)) for member in one.members)
                    candidates.append(_Candidates(coverage, False, (one,), (other,)))
    return sorted(candidates, key=_priority)


def _shared(one: tuple[tuple[int, ...], ...], other: tuple[tuple[int, ...], ...]) -> float:
    common = (Counter(one) & Counter(other)).total()
    return common / max(len(one), len(other))


def _ranks(paths: Sequence[KeyPath]) -> list[float | None]:
    """Returns the usual rank of each layer among similar ones, from 0 to 1, by number or name; None if unknown."""
    families: defaultdict[tuple[KeyPath, str], list[int]] = defaultdict(list)
    for path in paths:
        stem, number = split_number(path[-1])
        families[path[:-1], stem].append(number or 0)
    ranks: list[float | None] = []
    for path in paths:
        stem, number = split_number(path[-1])
        family = sorted(families[path[:-1], stem])
        usual = usual_rank(path[-1])
        if len(family) > 1:
            ranks.append(family.index(number or 0) / (len(family) - 1))
        else:
            ranks.append(None if usual is None else usual / 2)
    return ranks


def _numbers(path: KeyPath) -> tuple[int, ...]:
    return tuple(number for segment in path for number in numbers_in(segment)[1])


def _closeness(one: float | None, other: float | None) -> float:
    """Returns how close two ranks are, from 0 to 1; 0 if one is unknown."""
    return 0.0 if one is None or other is None else 1 - abs(one - other)
