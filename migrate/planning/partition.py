"""Which leaf is split over which mesh axes: a partition file, the template's annotations, or nothing at all.

A partition file is a YAML list of `pattern: spec`, read from above; the first pattern that matches a leaf decides. A
spec has one entry per dimension: null, an axis of the mesh, or a list of axes.

    - "**/attn/*/kernel": [null, model]
    - "**/embedding": [[data, model], null]
    - "**": []
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from migrate.codes import M003, M004, M104, M201, M307
from migrate.errors import Diagnostic, RuleFileError, Span, did_you_mean
from migrate.rules.field_types import Where
from migrate.rules.pattern import Pattern
from migrate.rules.pattern_types import read_source
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode, compose
from migrate.sharding import PORTABLE, Mesh
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, Sharding, format_path

Spec = tuple[tuple[str, ...] | None, ...]

_FORM = 'write a list of `- pattern: [axes of each dimension]`, for example `- "**/kernel": [null, model]`'


@dataclass(frozen=True, slots=True)
class Split:
    """One line of a partition file: leaves that match are split as `spec` says."""

    pattern: Pattern
    spec: Spec
    span: Span


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition file; the first split that matches a leaf decides."""

    path: str
    splits: tuple[Split, ...]
    text: str = ""

    def find(self, path: KeyPath) -> Split | None:
        """The split that decides about a leaf, or None."""
        return next((split for split in self.splits if split.pattern.match(path) is not None), None)


def load_partition(path: str | os.PathLike[str]) -> Partition:
    """Reads a partition file.

    Raises:
      RuleFileError: with every mistake in the file.
    """
    name = os.fspath(path)
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RuleFileError(M004.at(f"`{name}` cannot be read: {reason}")) from None
    root, findings = compose(text, name)
    splits = [] if findings else list(_splits(root, name, findings))
    if findings:
        raise RuleFileError(*findings)
    return Partition(name, tuple(splits), text)


def _splits(root: Node | None, name: str, findings: list[Diagnostic]) -> Iterator[Split]:
    for key, value in _lines(root, name, findings):
        placed, spec = read_source(key, key.text, 0, Where("pattern", findings)), _spec(value, findings)
        if placed is not None and spec is not None:
            yield Split(placed.pattern, spec, key.span)


def _lines(root: Node | None, name: str, findings: list[Diagnostic]) -> Iterator[tuple[ScalarNode, Node]]:
    """The lines of the file; one mapping of all patterns, in its order, is as good as a list."""
    if isinstance(root, MapNode):
        yield from root.entries
    elif isinstance(root, ListNode):
        for item in root.items:
            if isinstance(item, MapNode):
                yield from item.entries
            else:
                findings.append(M104.at("this is not a pattern with a spec", span=item.span, help=_FORM))
    else:
        span = root.span if root else Span(name, 1, 1, 1, 2)
        findings.append(M003.at("this is not a partition file", span=span, help=_FORM))


def _spec(node: Node, findings: list[Diagnostic]) -> Spec | None:
    if not isinstance(node, ListNode):
        findings.append(M104.at("a spec is a list with one entry per dimension", span=node.span, help=_FORM))
        return None
    entries = [_entry(item) for item in node.items]
    wrong = [item for item, entry in zip(node.items, entries, strict=True) if entry is False]
    findings += [M104.at("an entry is null, an axis name, or a list of axis names", span=item.span) for item in wrong]
    return None if wrong else tuple(entry or None for entry in entries if entry is not False)


def _entry(node: Node) -> tuple[str, ...] | Literal[False] | None:
    """The axes of one dimension; False for what is no entry."""
    if isinstance(node, ScalarNode):
        return None if node.value is None else (node.value,) if isinstance(node.value, str) else False
    if isinstance(node, ListNode):
        names = [item.value for item in node.items if isinstance(item, ScalarNode) and isinstance(item.value, str)]
        return tuple(names) if len(names) == len(node.items) else False
    return False


@dataclass(frozen=True, slots=True)
class _Choice:
    """The sharding chosen for a leaf, and the line that chose it."""

    sharding: Sharding
    span: Span | None = None


def assign_shardings(
    tree: AbstractTree, mesh: Mesh | None, partition: Partition | None = None, *, annotations: bool = False
) -> tuple[AbstractTree, tuple[Diagnostic, ...]]:
    """Gives every array leaf a sharding.

    Args:
      tree: the tree that will be written.
      mesh: axes and sizes; without it every array is `PORTABLE`, whatever the rest says. An open axis (-1) fits any
        dimension.
      partition: decides about the leaves that it matches.
      annotations: whether the shardings that `tree` has are the model's own wishes, and decide about the other leaves.
        Leaves about which nothing is said are replicated.

    Returns:
      The tree, and the findings: splits that match no array (M201), shardings that do not fit (M307).
    """
    if not mesh:
        return _with(dict.fromkeys(_arrays(tree), PORTABLE), tree), ()
    chosen = {
        path: _choose(path, leaf, mesh, partition, annotations=annotations) for path, leaf in _arrays(tree).items()
    }
    problems = [
        (choice.span, path, reason)
        for path, choice in chosen.items()
        if (reason := _misfit(choice.sharding, tree.leaves[path])) is not None
    ]
    bad = {path for _, path, _ in problems}
    shardings = {path: Sharding(mesh) if path in bad else choice.sharding for path, choice in chosen.items()}
    return _with(shardings, tree), (*_idle(partition, tree), *_merged(problems))


def _arrays(tree: AbstractTree) -> Mapping[KeyPath, AbstractLeaf]:
    return {path: leaf for path, leaf in tree.leaves.items() if leaf.kind == "array"}


def _with(shardings: Mapping[KeyPath, Sharding], tree: AbstractTree) -> AbstractTree:
    return AbstractTree(
        {path: replace(leaf, sharding=shardings.get(path)) for path, leaf in tree.leaves.items()}, tree.containers
    )


def _choose(
    path: KeyPath, leaf: AbstractLeaf, mesh: Mesh, partition: Partition | None, *, annotations: bool
) -> _Choice:
    split = partition.find(path) if partition else None
    if split is not None:
        return _Choice(Sharding(mesh, split.spec), split.span)
    return _Choice(Sharding(mesh, leaf.sharding.spec if annotations and leaf.sharding else ()))


def _misfit(sharding: Sharding, leaf: AbstractLeaf) -> str | None:
    """What is wrong with a sharding for a leaf, in words."""
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
        sharding.shard_shape(leaf.aval.shape)
    except ValueError as error:
        return str(error)
    return None


def _idle(partition: Partition | None, tree: AbstractTree) -> Iterator[Diagnostic]:
    paths = _arrays(tree)
    for split in partition.splits if partition else ():
        if not any(split.pattern.match(path) is not None for path in paths):
            yield M201.at(
                f"`{split.pattern}` matches no array",
                span=split.span,
                help="`migrate inspect` lists the real key paths",
            )


def _merged(problems: Iterable[tuple[Span | None, KeyPath, str]]) -> Iterator[Diagnostic]:
    """One finding per line of the partition file and reason; it names the first leaf and counts the rest."""
    groups: defaultdict[tuple[Span | None, str], list[KeyPath]] = defaultdict(list)
    for span, path, reason in problems:
        groups[(span, reason)].append(path)
    for (span, reason), paths in groups.items():
        yield M307.at(_sentence(paths, reason), span=span, paths=map(format_path, paths), help=_cure(span))


def _sentence(paths: Sequence[KeyPath], reason: str) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"the sharding of `{format_path(paths[0])}`{more} does not fit: {reason}"


def _cure(span: Span | None) -> str:
    if span is not None:
        return "change the spec, or the axes of `--mesh`"
    return "the model's own annotation says so; give other axes with `--mesh`, or a spec with `--partition`"
