"""Derives the target's tree from the source and the tasks when there is no template.

Kept leaves stay unchanged. Moved leaves inherit the kind and the level that Flax adds on disk from their source. Lists
and tuples of the source stay lists and tuples where their whole content moves together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from migrate.planning.model import Created, Task
from migrate.tree import AbstractLeaf, AbstractTree, Container, KeyPath


def derive_tree(
    source: AbstractTree, tasks: Sequence[Task], created: Iterable[Created], *, boxes: bool
) -> AbstractTree:
    """Returns the tree that tasks and creations produce.

    Args:
      source: the source's tree.
      tasks: the moves.
      created: the leaves without a source.
      boxes: whether to keep the level that Flax adds on disk (as `value`, its present name).
    """
    shared: dict[AbstractLeaf, AbstractLeaf] = {}  # many leaves are equal
    leaves = {
        path: shared.setdefault(leaf := _leaf(source, task, index, boxes=boxes), leaf)
        for task in tasks
        for index, path in enumerate(task.targets)
    }
    leaves.update({creation.target: creation.leaf for creation in created})
    return AbstractTree.build(leaves.items(), _containers(source, tasks, leaves))


def _leaf(source: AbstractTree, task: Task, index: int, *, boxes: bool) -> AbstractLeaf:
    origin = source.leaves[task.sources[0]]
    aval = task.out_avals[index]
    boxed = boxes and origin.box and all(source.leaves[path].box for path in task.sources)
    kind = origin.kind if not task.steps else "array"
    return AbstractLeaf(kind, aval, origin.container, "value" if boxed else None, content=origin.content)


def _containers(
    source: AbstractTree, tasks: Iterable[Task], leaves: Mapping[KeyPath, AbstractLeaf]
) -> dict[KeyPath, Container]:
    """Returns the kinds of the inner nodes.

    A node has the kind of the source's node where a leaf moves with the end of its key path unchanged.
    """
    kinds: dict[KeyPath, Container] = {}
    if all(kind == "dict" for kind in source.containers.values()):
        return kinds
    for task in tasks:
        for target in task.targets:
            kinds.update(_carried(source, task.sources[0], target))
    children = _children(leaves)
    return {node: kind for node, kind in kinds.items() if _is_sequence(children[node])}


def _carried(source: AbstractTree, origin: KeyPath, target: KeyPath) -> Iterable[tuple[KeyPath, Container]]:
    for back in range(1, min(len(origin), len(target)) + 1):
        if origin[-back] != target[-back]:
            return
        kind = source.container(origin[:-back])
        if kind != "dict":
            yield target[:-back], kind


def _children(leaves: Iterable[KeyPath]) -> Mapping[KeyPath, set[str]]:
    children: defaultdict[KeyPath, set[str]] = defaultdict(set)
    for path in leaves:
        for depth in range(len(path)):
            children[path[:depth]].add(path[depth])
    return children


def _is_sequence(names: set[str]) -> bool:
    """Whether the children can form a list; with an index missing, the node becomes a dict with the indices as keys."""
    return names == {str(index) for index in range(len(names))}
