"""The picture of one tree, as `inspect` shows it, and of two trees that are compared, as `diff` does."""

from __future__ import annotations

from collections.abc import Collection

from migrate.planning.diff import Diff
from migrate.report.picture import LeafLink, Picture
from migrate.report.picture_of_plan import picture_tree
from migrate.tree import AbstractTree, KeyPath


def tree_picture(label: str, tree: AbstractTree) -> Picture:
    """Returns the picture of one tree; every leaf has a link to itself, with how it is stored."""
    links = []
    for number, leaf in enumerate(tree.leaves.values()):
        storage = leaf.storage
        facts = [("stored as", storage.driver)] if storage else []
        if storage and storage.chunks is not None:
            facts.append(("chunks", str(list(storage.chunks))))
        if storage and storage.codec:
            facts.append(("compression", storage.codec))
        if leaf.sharding:
            facts.append(("sharding", str(leaf.sharding)))
        links.append(LeafLink("kept", leaf.kind, sources=(number,), facts=tuple(facts)))
    return Picture((picture_tree(label, tree),), tuple(links), {"kept": "leaf"})


def diff_picture(diff: Diff, source: str, target: str, changed: Collection[KeyPath] = ()) -> Picture:
    """Returns the picture of a comparison.

    Args:
      diff: the comparison of the structures.
      source: the name of the first side.
      target: the name of the second side.
      changed: key paths of leaves whose values differ.
    """
    at_source = {path: number for number, path in enumerate(diff.source.leaves)}
    at_target = {path: number for number, path in enumerate(diff.target.leaves)}
    differ = {
        **dict.fromkeys(changed, "values"),
        **dict.fromkeys(diff.dtype_mismatch, "dtype"),
        **dict.fromkeys(diff.shape_mismatch, "shape"),
    }
    links = []
    for path in at_target:
        if path not in at_source:
            links.append(LeafLink("created", "only in the target", targets=(at_target[path],)))
            continue
        ends = (at_source[path],), (at_target[path],)
        facts = (("differs in", differ[path]),) if path in differ else ()
        links.append(LeafLink("changed", "differs", *ends, facts) if facts else LeafLink("kept", "the same", *ends))
    gone = [number for path, number in at_source.items() if path not in at_target]
    links += [LeafLink("dropped", "only in the source", sources=(number,)) for number in gone]
    labels = {
        "kept": "the same",
        "changed": "differs",
        "created": "only in the target",
        "dropped": "only in the source",
    }
    used = {link.kind for link in links}
    return Picture(
        (picture_tree(source, diff.source), picture_tree(target, diff.target)),
        tuple(links),
        {kind: label for kind, label in labels.items() if kind in used},
    )
