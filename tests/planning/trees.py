"""Short notation for abstract trees and plans in tests."""

from pathlib import Path

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, parse_path


def leaf(text):
    """Returns a leaf from `2,3` (float32), `int32:2` (another dtype), `none`, `string` or `{}` (empty)."""
    if text in ("none", "string"):
        return AbstractLeaf(text)
    if text == "{}":
        return AbstractLeaf("empty")
    dtype, _, shape = text.rpartition(":")
    if shape == "scalar":
        return AbstractLeaf("scalar", AbstractArray((), dtype or "int64"))
    return AbstractLeaf("array", AbstractArray(tuple(map(int, filter(None, shape.split(",")))), dtype or "float32"))


def tree(leaves, containers=None):
    return AbstractTree.build(
        ((parse_path(path), leaf(text)) for path, text in leaves.items()),
        {parse_path(path): kind for path, kind in (containers or {}).items()},
    )


class Template:
    """A template that consists of its tree."""

    spec = "tests:template"
    transforms = frozenset()

    def __init__(self, leaves):
        self.tree = tree(leaves)


def checkpoint(leaves, containers=None, **fields):
    return AbstractCheckpoint(Path("old"), "test", {"": tree(leaves, containers)}, **fields)


def planned(rules, source, target=None, containers=None, **fields):
    """Returns a plan from the lines below `rules:`, a source and an optional template."""
    text = "migrate: 1\n" + (rules if "rules:" in rules else "rules:\n" + rules if rules else "rules: []")
    return make_plan(
        checkpoint(source, containers, **fields), parse_rules(text, "rules.yaml"), Template(target) if target else None
    )


def codes(plan):
    return [diagnostic.code for diagnostic in plan.diagnostics]


def moves(plan):
    """Returns sources and targets of every task as text."""
    return {tuple("/".join(s) for s in t.sources): tuple("/".join(p) for p in t.targets) for t in plan.tasks}
