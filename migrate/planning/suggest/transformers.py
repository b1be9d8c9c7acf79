"""Drafts the rules for the parts of a transformer whose names are known on both sides.

They are used where one side has names of PyTorch, MaxText or tunix. Models of Linen and NNX store arrays alike, and
are matched by names and shapes alone.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from migrate.knowledge.meanings import BUFFERS, FOREIGN, TORCH_ARRAY
from migrate.planning.rule_text.cover import patterns_for
from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.planning.suggest.columns import read_columns
from migrate.planning.suggest.conventions import MaxText
from migrate.planning.suggest.heads import equal_heads, tied_heads
from migrate.planning.suggest.known import ColumnMatch, match_columns
from migrate.planning.suggest.known_drafts import DraftWriter, StackAxes
from migrate.planning.suggest.known_ops import Orientation, turned_layers
from migrate.planning.suggest.layout import ClassifiedLeaf
from migrate.planning.suggest.leftovers import LeftoverRule
from migrate.planning.suggest.named import names_agree
from migrate.planning.suggest.values import Doubt, Match, Scope
from migrate.rules.pattern import Pattern
from migrate.tree import KeyPath

_ANY_AXIS = "shapes do not show along which axis the blocks are stacked"
_UNKNOWN = "its name is not known, and other arrays have its size"


@dataclass(frozen=True, slots=True)
class Known:
    """The parts of a model that names decide.

    Attributes:
      drafts: the drafts of the rules that move arrays.
      drops: the rules that drop others.
      torch: whether the source has names of PyTorch.
    """

    drafts: tuple[RuleDraft, ...]
    drops: tuple[LeftoverRule, ...]
    torch: bool = False

    def taken(self, leaves: Sequence[ClassifiedLeaf]) -> set[KeyPath]:
        """Returns the key paths of the leaves that these parts move, fill or drop."""
        patterns = [Pattern.parse(text) for drop in self.drops for text in drop.patterns]
        dropped = {leaf.path for leaf in leaves if any(pattern.match(leaf.path) is not None for pattern in patterns)}
        return {path for draft in self.drafts for path in (*draft.claims, *draft.fills)} | dropped

    def doubted(self, matches: Sequence[Match], mine: Scope, theirs: Scope) -> list[Match]:
        """Returns the matches of the other arrays, with a doubt where an array that names decide has the same size.

        Args:
          matches: the matches.
          mine: all arrays of the source's model.
          theirs: all arrays of the target's model.
        """
        if not self.drafts:
            return list(matches)
        sizes = [Counter(math.prod(item.shape) for item in side.values()) for side in (mine, theirs)]

        def is_open(match: Match) -> bool:
            one, other = match.sources[0].path, match.targets[0].path
            alone = sizes[0][math.prod(mine[one].shape)] == sizes[1][math.prod(theirs[other].shape)] == 1
            return not (match.doubts or alone or names_agree(one, other))

        return [match.doubting(Doubt(_UNKNOWN)) if is_open(match) else match for match in matches]


def known_parts(mine: Sequence[ClassifiedLeaf], theirs: Sequence[ClassifiedLeaf]) -> Known:
    """Returns the parts of a model whose names are known; none where no side has names of another library.

    Args:
      mine: the arrays of the source's model.
      theirs: the arrays of the target's model.
    """
    if not (is_foreign(mine) or is_foreign(theirs)):
        return Known((), ())
    columns = read_columns(mine), read_columns(theirs)
    if not all(any(one.in_block and one.named.meaning for one in side) for side in columns):
        return Known((), ())
    matches = [*match_columns(*columns), *tied_heads(*columns)]
    turned = turned_layers(columns[0]), turned_layers(columns[1])
    fitting: list[tuple[ColumnMatch, StackAxes]] = []
    writer = DraftWriter(MaxText(*columns), Orientation(turned=turned))
    for torch in (True, False):  # arrays with names of PyTorch may have been transposed before
        other = DraftWriter(MaxText(*columns), Orientation(torch, turned))
        found = _with_axes(matches, other)
        if len(found) > len(fitting):
            fitting, writer = found, other
        if len(found) == len(matches):
            break
    drafts = [draft for match, axes in fitting for draft in writer.drafts(match, axes)]
    return Known(tuple(drafts), (*equal_heads(*columns), *buffer_drops(mine)), any(one.torch for one in columns[0]))


def buffer_drops(mine: Sequence[ClassifiedLeaf], among: Collection[KeyPath] | None = None) -> list[LeftoverRule]:
    """Returns the rules that drop the arrays which modules of PyTorch compute themselves.

    Args:
      mine: the arrays of the source's model.
      among: the key paths of those that no other rule takes; None for all.
    """
    patterns = [Pattern.parse(text) for text in BUFFERS]
    paths = [leaf.path for leaf in mine if among is None or leaf.path in among]
    found = [path for path in paths if any(pattern.match(path) is not None for pattern in patterns)]
    if not found:
        return []
    why = "buffers that PyTorch's modules compute, not params"
    return [LeftoverRule("drop", tuple(patterns_for(found, [leaf.path for leaf in mine])), "", why)]


def is_foreign(leaves: Sequence[ClassifiedLeaf]) -> bool:
    """Whether arrays have names of PyTorch, or those that only MaxText or tunix use."""
    ends = Counter(leaf.place[-1] for leaf in leaves)
    if ends[TORCH_ARRAY] and not ends["kernel"]:
        return True
    return any(segment in FOREIGN for leaf in leaves for segment in leaf.place)


def _with_axes(matches: Sequence[ColumnMatch], writer: DraftWriter) -> list[tuple[ColumnMatch, StackAxes]]:
    """Returns the matches with the axes of blocks that suit all matches of one list of blocks."""
    fitting = [(match, writer.axes_that_fit(match)) for match in matches]
    common: dict[tuple[KeyPath, KeyPath], Counter[StackAxes]] = defaultdict(Counter)
    for match, axes in fitting:
        common[match.sources[0].tower, match.targets[0].tower].update(axes)
    found = []
    for match, axes in fitting:
        votes = common[match.sources[0].tower, match.targets[0].tower]
        best = max(axes, key=lambda one: (votes[one], _preference(one)), default=None)
        if best is not None:
            doubts = (Doubt(_ANY_AXIS),) if sum(votes[one] == votes[best] for one in axes) > 1 else ()
            found.append((replace(match, doubts=(*match.doubts, *doubts)), best))
    return found


def _preference(axes: StackAxes) -> tuple[bool, int, int]:
    """Returns a rank of axes that fit equally well: MaxText's is the second, and others are the first."""
    return (axes.source == 1 or axes.target == 1, -(axes.source or 0), -(axes.target or 0))
