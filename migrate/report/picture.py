"""The picture of a report: one or two trees of leaves, and links between them, as values that a page can draw.

Indices stand for leaves, links and rules, so that ten thousand leaves stay small in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from migrate.report.of_statistics import compact_statistics
from migrate.tree import KeyPath

if TYPE_CHECKING:
    from migrate.engine.verification.value_statistics import ValueStatistics

Kind = Literal["kept", "renamed", "restructured", "computed", "cast", "created", "dropped", "changed"]
"""What happens to a leaf; `changed` is for comparisons of two trees, the others are for plans."""


@dataclass(frozen=True, slots=True)
class PictureLeaf:
    """A leaf of a tree; `detail` is its dtype and shape, `statistics` those of its values, if they were measured."""

    path: KeyPath
    detail: str
    nbytes: int
    statistics: ValueStatistics | None = None


@dataclass(frozen=True, slots=True)
class PictureTree:
    """A tree with its name, such as the path of a checkpoint."""

    label: str
    leaves: tuple[PictureLeaf, ...]


@dataclass(frozen=True, slots=True)
class LeafLink:
    """Leaves of the first tree that become leaves of the second; one side is empty for leaves that appear or disappear.

    Attributes:
      kind: what happens, which sets color and mark.
      verb: the same in the words of a plan, such as `transpose`.
      sources, targets: indices of leaves.
      facts: pairs of label and value for the panel of details.
      proof: the evidence; empty where none is needed.
      rule: the index of the rule.
      follows: the index of the link of the param that an optimizer's slot belongs to.
      before, after: the statistics of all sources, and of all targets, where there are several on that side.
    """

    kind: Kind
    verb: str
    sources: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    proof: str = ""
    rule: int | None = None
    follows: int | None = None
    before: ValueStatistics | None = None
    after: ValueStatistics | None = None


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule as its file has it, with its file and line."""

    place: str
    text: str


@dataclass(frozen=True)
class Picture:
    """What the page draws.

    Attributes:
      labels: the meaning of each kind that occurs, in the order of the filters.
    """

    trees: tuple[PictureTree, ...]
    links: tuple[LeafLink, ...]
    labels: Mapping[Kind, str]
    rules: tuple[RuleText, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The picture in JSON types, in the short form that the page reads."""
        statistics = _Statistics()
        return {
            "trees": [
                {"label": tree.label, "leaves": [_leaf(one, statistics) for one in tree.leaves]} for tree in self.trees
            ],
            "links": [_link(link, statistics) for link in self.links],
            "labels": dict(self.labels),
            "rules": [[rule.place, rule.text] for rule in self.rules],
            **({"statistics": statistics.rows} if statistics.rows else {}),
        }


class _Statistics:
    """The statistics of a picture; equal ones are one row."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}

    def number(self, one: ValueStatistics | None) -> int | None:
        """Returns the number of a row; None without statistics."""
        if one is None:
            return None
        row = compact_statistics(one)
        number = self._numbers.setdefault(tuple(row), len(self.rows))
        if number == len(self.rows):
            self.rows.append(row)
        return number


def _leaf(leaf: PictureLeaf, statistics: _Statistics) -> list[Any]:
    number = statistics.number(leaf.statistics)
    return [list(leaf.path), leaf.detail, leaf.nbytes, *(() if number is None else (number,))]


def _link(link: LeafLink, statistics: _Statistics) -> dict[str, Any]:
    """The fields of a link that are not empty."""
    fields = {
        "kind": link.kind,
        "verb": link.verb,
        "from": list(link.sources),
        "to": list(link.targets),
        "facts": [list(fact) for fact in link.facts],
        "proof": link.proof,
        "rule": link.rule,
        "follows": link.follows,
        "before": statistics.number(link.before),
        "after": statistics.number(link.after),
    }
    return {name: value for name, value in fields.items() if value not in ("", None, [])}
