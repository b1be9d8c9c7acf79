"""The picture of a report: one or two trees of leaves, and links between them, as values that a page can draw.

Indices stand for leaves, links and rules, so that ten thousand leaves stay small in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from migrate.tree import KeyPath

Kind = Literal["kept", "renamed", "restructured", "computed", "cast", "created", "dropped", "changed"]
"""What happens to a leaf; `changed` is for comparisons of two trees, the others are for plans."""


@dataclass(frozen=True, slots=True)
class PictureLeaf:
    """A leaf of a tree; `detail` is its dtype and shape."""

    path: KeyPath
    detail: str
    nbytes: int


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
    """

    kind: Kind
    verb: str
    sources: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    proof: str = ""
    rule: int | None = None
    follows: int | None = None


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
        return {
            "trees": [
                {"label": tree.label, "leaves": [[list(one.path), one.detail, one.nbytes] for one in tree.leaves]}
                for tree in self.trees
            ],
            "links": [_link(link) for link in self.links],
            "labels": dict(self.labels),
            "rules": [[rule.place, rule.text] for rule in self.rules],
        }


def _link(link: LeafLink) -> dict[str, Any]:
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
    }
    return {name: value for name, value in fields.items() if value not in ("", None, [])}
