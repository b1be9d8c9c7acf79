"""Mutations of a refactor: blocks and layers are removed from either side at random, and the truth stays known.

A refactor is a pair of trees of shapes and, for each target leaf, its source. Where layers are numbered, those behind a
removed one keep their numbers or move up, as Linen's do.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.suggest.composition import Suggestion
from migrate.planning.suggest.pipeline import suggest
from tests.planning.suggest.trees import Template, tree

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Refactor:
    """Two trees, the type of each target leaf's Variable, and the source of each target leaf that has one."""

    old: Shapes
    new: Shapes
    truth: Mapping[str, str]
    kinds: Mapping[str, str]

    def suggestion(self) -> Suggestion:
        """Returns the suggestion from the old tree to the new one."""
        kinds = {tuple(path.split("/")): kind for path, kind in self.kinds.items() if path in self.new}
        checkpoint = AbstractCheckpoint(Path("old"), "orbax", {"": tree(self.old)})
        return suggest(checkpoint, Template(tree(self.new), variables=kinds))

    def silent(self, suggestion: Suggestion) -> list[str]:
        """Returns the target leaves that get another source than the true one, without a doubt."""
        return [
            f"{target} <- {source}"
            for task in suggestion.plan.tasks
            if not task.follows and not suggestion.doubts_of(task)
            for source, target in (("/".join(task.sources[0]), "/".join(task.targets[0])),)
            if self.truth.get(target) != source
        ]


def mutated(refactor: Refactor, seed: int) -> Refactor:
    """Returns the refactor with one to three nodes less on one side.

    Nodes that both sides lose could leave no trace: three of four blocks, numbered alike.
    """
    rng = random.Random(seed)
    change = rng.choice((_without_source, _without_target))
    for _ in range(rng.randint(1, 3)):
        refactor = change(refactor, rng)
    return refactor


def _without_source(refactor: Refactor, rng: random.Random) -> Refactor:
    names = names_without_node(refactor.old, rng)
    old = {names[path]: shape for path, shape in refactor.old.items() if path in names}
    truth = {target: names[source] for target, source in refactor.truth.items() if source in names}
    return Refactor(old, refactor.new, truth, refactor.kinds)


def _without_target(refactor: Refactor, rng: random.Random) -> Refactor:
    names = names_without_node(refactor.new, rng)
    new = {names[path]: shape for path, shape in refactor.new.items() if path in names}
    truth = {names[target]: source for target, source in refactor.truth.items() if target in names}
    kinds = {names[path]: kind for path, kind in refactor.kinds.items() if path in names}
    return Refactor(refactor.old, new, truth, kinds)


def names_without_node(shapes: Shapes, rng: random.Random) -> dict[str, str]:
    """Returns the new name of each leaf that is not below a random node, the same in every collection."""
    nodes = sorted({tuple(path.split("/")[1:depth]) for path in shapes for depth in range(2, path.count("/") + 1)})
    nodes = [node for node in nodes if any(not _below(path, node) for path in shapes)]
    if not nodes:
        return {path: path for path in shapes}
    node = rng.choice(nodes)
    closes_up = rng.random() < 0.5
    kept = [path for path in shapes if not _below(path, node)]
    return {path: _moved_up(path, node) if closes_up else path for path in kept}


def _below(path: str, node: tuple[str, ...]) -> bool:
    return tuple(path.split("/"))[1 : len(node) + 1] == node


def _moved_up(path: str, node: tuple[str, ...]) -> str:
    """Returns the key path with its number lower by one, if it is behind the node in the same list."""
    segments = path.split("/")
    at = len(node)
    found = re.fullmatch(r"(.*?)(\d+)", node[-1])
    if found and len(segments) > at and tuple(segments[1:at]) == node[:-1]:
        mine = re.fullmatch(r"(.*?)(\d+)", segments[at])
        if mine and mine[1] == found[1] and int(mine[2]) > int(found[2]):
            segments[at] = f"{mine[1]}{int(mine[2]) - 1}"
    return "/".join(segments)
