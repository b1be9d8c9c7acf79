"""Abstract checkpoints and templates without files or models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.suggest.pipeline import Suggestion, suggest
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath, parse_path


@dataclass(frozen=True)
class Template:
    """A template with the attributes that planning reads."""

    tree: AbstractTree
    spec: str = "module:make"
    variables: Mapping[KeyPath, str] = field(default_factory=dict)
    transforms: frozenset[str] | None = None


def tree(shapes: Mapping[str, tuple[int, ...] | str]) -> AbstractTree:
    """Returns a tree from shapes (of float32) or `dtype[shape]` by key path."""
    return AbstractTree.build((parse_path(path), _leaf(shape)) for path, shape in shapes.items())


def _leaf(shape: tuple[int, ...] | str) -> AbstractLeaf:
    if isinstance(shape, tuple):
        return AbstractLeaf("array", AbstractArray(shape, "float32"))
    dtype, _, sizes = shape.rstrip("]").partition("[")
    return AbstractLeaf("array", AbstractArray(tuple(int(size) for size in sizes.split(",") if size), dtype))


def suggested(source: Mapping[str, tuple[int, ...] | str], target: Mapping[str, tuple[int, ...] | str]) -> Suggestion:
    """Returns the suggestion from one tree to another."""
    checkpoint = AbstractCheckpoint(Path("old"), "orbax", {"": tree(source)})
    return suggest(checkpoint, Template(tree(target)))


def rules_of(suggestion: Suggestion) -> list[str]:
    """Returns the lines of the rule file that are rules or parts of them, without comments at their ends."""
    lines = suggestion.text.splitlines()
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("rules:")) + 1 :]
    return [line.split("  # ")[0].strip() for line in body if line.strip() and not line.lstrip().startswith("#")]


def moves(suggestion: Suggestion) -> dict[str, str]:
    """Returns the target of each single source."""
    return {"/".join(t.sources[0]): "/".join(t.targets[0]) for t in suggestion.plan.tasks if len(t.sources) == 1}
