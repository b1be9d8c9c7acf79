"""Assigns a sharding to every array leaf, from a partition file and the template's annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from migrate.codes import IdlePattern, InvalidSharding
from migrate.errors import Diagnostic, Span, did_you_mean
from migrate.rules.partition_file import Partition
from migrate.sharding import PORTABLE, Mesh
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, Sharding, format_path

ANNOTATED = "the spec is the model's own annotation; give other axes with `--mesh`, or a spec with `--partition`"
"""The help of a diagnostic about an annotation."""


@dataclass(frozen=True, slots=True)
class _ShardingChoice:
    """The sharding of a leaf, and the line that decides it."""

    sharding: Sharding
    span: Span | None = None


def assign_shardings(
    tree: AbstractTree,
    mesh: Mesh | None,
    partition: Partition | None = None,
    *,
    annotations: bool = False,
    uneven: bool = False,
    advice: str = ANNOTATED,
) -> tuple[AbstractTree, tuple[Diagnostic, ...]]:
    """Assigns a sharding to every array leaf.

    Args:
      tree: the tree to write.
      mesh: axes and sizes; without a mesh every array is `PORTABLE`. An open axis (-1) fits any dimension.
      partition: decides about the leaves that it matches.
      annotations: whether the shardings in `tree` are the model's annotations, which then decide about the other
        leaves. Leaves without a decision are replicated.
      uneven: whether the size of a dimension may differ from shard to shard.
      advice: the help of a diagnostic about a spec that is not in a partition file.

    Returns:
      The tree, and the diagnostics: `IdlePattern` for an entry that matches no array, `InvalidSharding` for a sharding
      that does not fit.
    """
    if not mesh:
        return tree.once(_portable), ()
    chosen = {
        path: _choose(path, leaf, mesh, partition, annotations=annotations) for path, leaf in _arrays(tree).items()
    }
    problems = [
        (choice.span, path, reason)
        for path, choice in chosen.items()
        if (reason := _misfit(choice.sharding, tree.leaves[path], uneven=uneven)) is not None
    ]
    bad = {path for _, path, _ in problems}
    shardings = {path: Sharding(mesh) if path in bad else choice.sharding for path, choice in chosen.items()}
    return _with(shardings, tree), (*_idle(partition, tree), *_merged(problems, advice))


def _portable(tree: AbstractTree) -> AbstractTree:
    """Returns the tree with portable arrays; leaves that are one object stay one."""
    made = {
        id(leaf): replace(leaf, sharding=PORTABLE if leaf.kind == "array" else None)
        for leaf in {id(leaf): leaf for leaf in tree.leaves.values()}.values()
    }
    return AbstractTree({path: made[id(leaf)] for path, leaf in tree.leaves.items()}, tree.containers)


def _arrays(tree: AbstractTree) -> Mapping[KeyPath, AbstractLeaf]:
    return {path: leaf for path, leaf in tree.leaves.items() if leaf.kind == "array"}


def _with(shardings: Mapping[KeyPath, Sharding], tree: AbstractTree) -> AbstractTree:
    return AbstractTree(
        {path: replace(leaf, sharding=shardings.get(path)) for path, leaf in tree.leaves.items()}, tree.containers
    )


def _choose(
    path: KeyPath, leaf: AbstractLeaf, mesh: Mesh, partition: Partition | None, *, annotations: bool
) -> _ShardingChoice:
    split = partition.find(path) if partition else None
    if split is not None:
        return _ShardingChoice(Sharding(mesh, split.spec), split.span)
    return _ShardingChoice(Sharding(mesh, leaf.sharding.spec if annotations and leaf.sharding else ()))


def _misfit(sharding: Sharding, leaf: AbstractLeaf, *, uneven: bool) -> str | None:
    """Returns why a sharding does not fit a leaf, or None."""
    assert leaf.aval is not None
    used = [axis for axes in sharding.spec for axis in axes or ()]
    twice = next((axis for axis in used if used.count(axis) > 1), None)
    if twice is not None:
        return f"the spec names the axis `{twice}` twice"
    unknown = next((axis for axis in used if axis not in dict(sharding.mesh)), None)
    if unknown is not None:
        names = [name for name, _ in sharding.mesh]
        hint = did_you_mean(unknown, names)
        return f"the mesh has no axis `{unknown}` but {', '.join(f'`{name}`' for name in names)}" + (
            f"; {hint}" if hint else ""
        )
    try:
        sharding.shard_shape(leaf.aval.shape, uneven=uneven)
    except ValueError as error:
        return str(error)
    return None


def _idle(partition: Partition | None, tree: AbstractTree) -> Iterator[Diagnostic]:
    paths = _arrays(tree)
    for split in partition.entries if partition else ():
        if not any(split.pattern.match(path) is not None for path in paths):
            yield IdlePattern.at(
                f"`{split.pattern}` matches no array",
                span=split.span,
                help="`migrate inspect` lists the real key paths",
            )


def _merged(problems: Iterable[tuple[Span | None, KeyPath, str]], advice: str) -> Iterator[Diagnostic]:
    """Yields one diagnostic per line of the partition file and reason: it names the first leaf, counts the others."""
    groups: defaultdict[tuple[Span | None, str], list[KeyPath]] = defaultdict(list)
    for span, path, reason in problems:
        groups[(span, reason)].append(path)
    for (span, reason), paths in groups.items():
        help_text = advice if span is None else "change the spec, or the axes of the mesh"
        yield InvalidSharding.at(_sentence(paths, reason), span=span, paths=map(format_path, paths), help=help_text)


def _sentence(paths: Sequence[KeyPath], reason: str) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"the sharding of `{format_path(paths[0])}`{more} does not fit: {reason}"
