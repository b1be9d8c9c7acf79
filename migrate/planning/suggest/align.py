"""Matches arrays of the source with arrays of the target: modules first, the largest first, then layers, then arrays.

Sequences of modules whose arrays have the same shapes, one by one, are the strongest evidence: `Block_{0..11}` and
`blocks/{0..11}`, `Block_{0..7}` and `stages/{0..3}/{0..1}`, a stacked module and a list. The arrays inside matched
modules are matched in the same way. The remaining layers are assigned all at once by their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.suggest.assign import assign
from migrate.planning.suggest.candidates import SequenceCandidates, partners, sequence_candidates
from migrate.planning.suggest.doubts import (
    doubt_blocks,
    doubt_orientation,
    doubt_remainders,
    doubt_shape_only,
)
from migrate.planning.suggest.fit import LayerFit, fit_layer, kinds_agree, names_alike
from migrate.planning.suggest.fusion import fuse
from migrate.planning.suggest.named import alike_in_size, corresponds, named_modules
from migrate.planning.suggest.rivals import BlockMatch
from migrate.planning.suggest.scans import BlockScan, block_scans, other_order
from migrate.planning.suggest.scope import (
    LayerUnit,
    ModuleIndex,
    ModuleSequence,
    SequenceMember,
    divided_modules,
    layer_units,
    leaves_of,
    placed,
)
from migrate.planning.suggest.tokens import similarity, usual_rank
from migrate.planning.suggest.towers import Tower, find_towers
from migrate.planning.suggest.values import Doubt, Endpoint, Match, Scope, Solution
from migrate.tree import KeyPath

_WORTH_A_PLACE = 10.0
"""The value of placing a layer at all: more than any similarity of names."""

_ORDER_COUNTS = 0.35
"""The value of two layers having the same rank among similar layers."""

_NUMBERS_COUNT = 0.1
"""The value of two key paths having the same numbers."""

_ROOT: KeyPath = ("",)


class Aligner:
    """Solves scopes, and caches the solutions of equal scopes."""

    def __init__(self, *, torch: bool = False) -> None:
        """Prepares an aligner.

        Args:
          torch: whether matrices named `weight` are PyTorch's, so that those of Flax are transposed.
        """
        self.torch = torch
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
        self.whole = ModuleIndex(dict(source)), ModuleIndex(dict(target))
        self.matches: list[Match] = []
        self.blocks: list[BlockMatch] = []
        self.homes: list[tuple[KeyPath, KeyPath]] = []

    def solution(self) -> Solution:
        self._match_same_paths()
        self._match_named_modules(self.whole)
        self._match_block_scans()
        self._match_sequences()
        self._take(
            match
            for match in fuse(self.source, self.target, lead=self.lead)
            if self._same_home(match.sources[0].path, match.targets[0].path)
        )
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

    def _match_named_modules(self, whole: tuple[ModuleIndex, ModuleIndex]) -> None:
        """Matches modules of one name, so that their arrays are not sought elsewhere."""
        mine, theirs = whole
        for node, other in named_modules(mine, theirs):
            one, two = SequenceMember(node), SequenceMember(other)
            inner, outer = mine.inside(one), theirs.inside(two)
            if not alike_in_size(inner, outer):
                continue
            left = {path: item for path, item in inner.items() if node + path in self.source}
            right = {path: item for path, item in outer.items() if other + path in self.target}
            solution = self.aligner.solve(left, right, lead=self.lead)
            if len(left) < len(inner) or corresponds(solution, inner, outer):
                self.homes.append((node, other))
                if solution.matches:
                    self._take_block(one, two, solution, mine, theirs)

    def _match_block_scans(self) -> None:
        """Matches scans over blocks of layers with lists of layers."""
        mine, theirs = ModuleIndex(dict(self.source)), ModuleIndex(dict(self.target))
        for scan in block_scans(mine, theirs):
            self._match_run(scan.scanned, scan.listed, mine, theirs, scan)
        for scan in block_scans(theirs, mine):
            self._match_run(scan.listed, scan.scanned, mine, theirs, scan)

    def _match_run(
        self,
        left: Sequence[SequenceMember],
        right: Sequence[SequenceMember],
        mine: ModuleIndex,
        theirs: ModuleIndex,
        scan: BlockScan,
    ) -> None:
        """Matches two lists of layers one by one."""
        one, other = ModuleSequence(tuple(left)), ModuleSequence(tuple(right))
        if not (self._open(one, mine, self.source) and self._open(other, theirs, self.target)):
            return
        order = other_order(scan)
        for index, (a, b) in enumerate(zip(left, right, strict=True)):
            solution = self.aligner.solve(mine.inside(a), theirs.inside(b), lead=self.lead or a.part is not None)
            kept = self._take_block(a, b, solution, mine, theirs, run=id(scan))
            if order is not None and order[index] != index:
                at = order[index] if left is scan.scanned else order.index(index)
                self._doubt_order(kept, b, right[at])

    def _match_tower(self, tower: Tower, mine: ModuleIndex, theirs: ModuleIndex) -> None:
        """Matches layers that are numbered through on one side with several lists on the other."""
        one, other = ModuleSequence(tower.mine), ModuleSequence(tower.theirs)
        if self._open(one, mine, self.source) and self._open(other, theirs, self.target):
            for a, b in zip(tower.mine, tower.theirs, strict=True):
                solution = self.aligner.solve(mine.inside(a), theirs.inside(b), lead=self.lead)
                self._take_block(a, b, solution, mine, theirs)

    def _doubt_order(self, kept: range, chosen: SequenceMember, other: SequenceMember) -> None:
        """Adds the doubt that a layer of a scan over blocks may be another layer of the model."""
        why = "shapes do not show whether a stack holds consecutive layers or one layer of each block"
        for index in kept:
            paths = (end.path[len(chosen.node) :] for end in self.matches[index].targets)
            others = tuple(other.node + path for path in paths)
            self.matches[index] = self.matches[index].doubting(Doubt(why, others=others))

    def _match_sequences(self) -> None:
        """Matches modules and sequences of modules, the largest first."""
        mine, theirs = ModuleIndex(dict(self.source)), ModuleIndex(dict(self.target))
        towers = find_towers(mine, theirs)
        for candidate in sequence_candidates(mine, theirs):
            while towers and towers[0].coverage > candidate.coverage:
                self._match_tower(towers.pop(0), mine, theirs)
            self._match_candidates(candidate, mine, theirs)
        for tower in towers:
            self._match_tower(tower, mine, theirs)

    def _match_candidates(self, candidate: SequenceCandidates, mine: ModuleIndex, theirs: ModuleIndex) -> None:
        left = [one for one in candidate.mine if self._open(one, mine, self.source)]
        right = [one for one in candidate.theirs if self._open(one, theirs, self.target)]
        if not left or not right:
            return
        ranks = _ranks([one.node or _ROOT for one in left]), _ranks([one.node or _ROOT for one in right])

        def worth(i: int, j: int) -> float:
            if not self._same_homes(left[i].members, right[j].members):
                return 0.0
            alike = similarity(left[i].node, right[j].node)
            ends = [numbers_in(side.node[-1])[1] if side.node else () for side in (left[i], right[j])]
            alike += _NUMBERS_COUNT * (ends[0] == ends[1] != ())
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
        pairs = partners(one, other, mine, theirs, exact=exact)
        found: list[tuple[SequenceMember, SequenceMember, Solution]] = []
        for a, b in pairs or ():
            inner, outer = mine.inside(a), theirs.inside(b)
            solution = self.aligner.solve(inner, outer, lead=self.lead or a.part is not None)
            if not exact and len(one.members) == 1 and not _complete(solution, inner, outer):
                return
            found.append((a, b, solution))
        for a, b, solution in found:
            kept = self._take_block(a, b, solution, mine, theirs)
            if len(one.members) == 1 and _renumbered(a.node, b.node):
                for index in kept:
                    self.matches[index] = self.matches[index].doubting(Doubt("its number is another one"))

    def _take_block(
        self,
        a: SequenceMember,
        b: SequenceMember,
        solution: Solution,
        mine: ModuleIndex,
        theirs: ModuleIndex,
        run: int | None = None,
    ) -> range:
        """Takes the matches inside two modules, and records the modules as a block; returns the matches' indices."""
        kept = self._take(_lifted(match, a, b) for match in solution.matches)
        layer = mine.is_layer(a.node) and theirs.is_layer(b.node) and a.part is b.part is None
        units = LayerUnit(a.node, leaves_of(mine, a)), LayerUnit(b.node, leaves_of(theirs, b))
        self.blocks.append(BlockMatch(*units, kept, (a, b), layer=layer, run=run))
        return kept

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
                if found is not None and self._same_home(one.path, other.path):
                    fits[i, j] = found
        return fits

    def _same_homes(self, mine: Sequence[SequenceMember], theirs: Sequence[SequenceMember]) -> bool:
        return all(self._same_home(a.node, b.node) for a, b in zip(mine, theirs, strict=True))

    def _same_home(self, source: KeyPath, target: KeyPath) -> bool:
        """Whether two arrays may correspond: those of one named module do not become those of another."""
        mine = [k for k, (node, _) in enumerate(self.homes) if source[: len(node)] == node]
        theirs = [k for k, (_, node) in enumerate(self.homes) if target[: len(node)] == node]
        return not mine or not theirs or mine == theirs

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
                match = doubt_orientation(match, lead=self.lead, torch=leaf.torch and self.aligner.torch)
            match = doubt_shape_only(match, one, other)
            matches.append(match.doubting(*self._doubts_apart(one.path, other.path)))
        kept = self._take(matches)
        self.blocks.append(BlockMatch(one, other, kept, None, layer=True))

    def _doubts_apart(self, source: KeyPath, target: KeyPath) -> Iterator[Doubt]:
        """Yields a doubt about a layer that was left over in a module, and would leave it."""
        members = [block.members for block in self.blocks if block.members and not block.layer]
        mine = {(a.node, b.node) for a, b in members if source[: len(a.node)] == a.node}
        theirs = {(a.node, b.node) for a, b in members if target[: len(b.node)] == b.node}
        if mine != theirs and not mine & theirs:
            yield Doubt("the other layers of its module have another place")

    def _with_doubts(self) -> list[Match]:
        left = [BlockMatch(unit, None, range(0), None, layer=True) for unit in layer_units(self.source)]
        right = [BlockMatch(None, unit, range(0), None, layer=True) for unit in layer_units(self.target)]
        parts = [replace(block, layer=False) for block in (*left, *right)]  # layers may be parts of stacked ones, too
        members = [block.members for block in self.blocks if block.members and block.matches]
        matched = ({a.node for a, _ in members}, {b.node for _, b in members})
        mine = divided_modules(self.whole[0], self.source, matched[0])
        theirs = divided_modules(self.whole[1], self.target, matched[1])
        doubt_remainders(self.matches, self.blocks, (mine, theirs), matched)
        parts += [BlockMatch(unit, None, range(0), None, layer=False) for unit in mine]
        parts += [BlockMatch(None, unit, range(0), None, layer=False) for unit in theirs]
        return doubt_blocks(self.matches, [*self.blocks, *left, *right, *parts], lead=self.lead, top=self.top)


def _is_same(one: LayerUnit, other: LayerUnit) -> bool:
    """Whether two layers hold arrays of the same names, shapes and kinds."""
    return len(one.leaves) == len(other.leaves) and all(
        mine == theirs and item.shape == wanted.shape and kinds_agree(item.kind, wanted.kind)
        for (mine, item), (theirs, wanted) in zip(one.leaves, other.leaves, strict=True)
    )


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


def _ranks(paths: Sequence[KeyPath]) -> list[float | None]:
    """Returns the usual rank of each layer among similar ones, from 0 to 1, by number or name; None if unknown."""
    families: defaultdict[KeyPath, list[tuple[int, ...]]] = defaultdict(list)
    for path in paths:
        families[_skeleton(path)].append(_numbers(path))
    ranks: list[float | None] = []
    for path in paths:
        family = sorted(set(families[_skeleton(path)]))
        usual = usual_rank(path[-1])
        if len(family) > 1:
            ranks.append(family.index(_numbers(path)) / (len(family) - 1))
        else:
            ranks.append(None if usual is None else usual / 2)
    return ranks


def _renumbered(source: KeyPath, target: KeyPath) -> bool:
    """Whether two modules of one list have different numbers."""
    common = zip(source, target, strict=False)
    first = next(((one, other) for one, other in common if one != other), None)
    return first is not None and all(map(str.isdecimal, first))


def _skeleton(path: KeyPath) -> KeyPath:
    return tuple(numbers_in(segment)[0] for segment in path)


def _numbers(path: KeyPath) -> tuple[int, ...]:
    return tuple(number for segment in path for number in numbers_in(segment)[1])


def _closeness(one: float | None, other: float | None) -> float:
    """Returns how close two ranks are, from 0 to 1; 0 if one is unknown."""
    return 0.0 if one is None or other is None else 1 - abs(one - other)
