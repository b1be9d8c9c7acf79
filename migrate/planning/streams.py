"""RNG streams: which leaves belong to them, and how keys of one Flax version become keys of another.

A stream is a typed key with a `count` beside it. Linen stores none. NNX stored one shared stream for each name below
the first module that used it; since 0.11 it stores one in every layer. Old checkpoints store a key's words as a uint32
array, which looks like any other; it becomes a key only where a rule wraps it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from migrate.codes import SharedRngKey
from migrate.dtypes import KEY_IMPLS, KEY_WORDS, key_impl
from migrate.errors import Diagnostic
from migrate.planning.model import Task
from migrate.tree import AbstractArray, AbstractTree, KeyPath, format_path


def in_stream(tree: AbstractTree, path: KeyPath) -> bool:
    """Whether a leaf is the key or the count of an RNG stream: a typed key, or words beside a count."""
    aval = tree.leaves[path].aval
    if aval is None or not path:
        return False
    if key_impl(aval.dtype) is not None:
        return True
    sibling = {"count": "key", "key": "count"}.get(path[-1])
    beside = tree.leaves.get((*path[:-1], sibling)) if sibling else None
    if beside is None or beside.aval is None or aval.dtype != "uint32":
        return False
    return key_impl(beside.aval.dtype) is not None or beside.aval.dtype == "uint32"


def key_conversion(
    ours: AbstractArray | None, wanted: AbstractArray | None, origin: KeyPath, target: KeyPath, *, moved: bool = False
) -> str | None:
    """Returns the advice with the rule that converts words to a key, or a key to words; None when neither is a key.

    Args:
      ours: the source's array.
      wanted: the template's array.
      origin: the key path of the source's array.
      target: the key path of the template's array.
      moved: whether a rule moves it, which the proposed one replaces.
    """
    instead = ", replace the rule" if moved else ""
    impl, other = (key_impl(aval.dtype) if aval else None for aval in (wanted, ours))
    if not ours or not wanted or (impl is None and other is None):
        return None
    if impl and ours.dtype == "uint32" and ours.shape == (*wanted.shape, KEY_WORDS[impl]):
        return f"if these are the words of a key{instead}: {_rule(origin, target, f'wrap_key_data: {KEY_IMPLS[impl]}')}"
    if other and wanted.dtype == "uint32" and wanted.shape == (*ours.shape, KEY_WORDS[other]):
        return f"to store the words of the key{instead}: {_rule(origin, target, 'key_data')}"
    if impl is None:
        return "a key cannot become a number; `drop:` it, or move another leaf there"
    start = f'`- create: {{to: "{format_path(target)}", init: {{rng: {{seed: 0}}}}}}`'
    drop = f'`- drop: "{format_path(origin)}"`'
    return (
        f"neither converts into the other{instead}: {drop} leaves the source's behind, and {start} starts a new stream"
    )


def _rule(origin: KeyPath, target: KeyPath, op: str) -> str:
    item = f"{{{op}}}" if ":" in op else op
    return f'`- {{from: "{format_path(origin)}", to: "{format_path(target)}", ops: [{item}]}}`'


def create_rule(paths: Iterable[KeyPath], tree: AbstractTree) -> str:
    """Returns the rule that starts these streams from a seed."""
    return f"- create: {{to: {patterns(paths, tree)}, init: {{rng: {{seed: 0}}}}}}"


def patterns(paths: Iterable[KeyPath], tree: AbstractTree) -> str:
    """Returns patterns that match exactly these leaves of streams, in rule-file syntax."""
    chosen = set(paths)
    usual = {path for path in tree.leaves if "rngs" in path[:-1]}
    if chosen == usual:
        return '"**/rngs/**"'
    listed = [f'"{format_path(path)}"' for path in tree.leaves if path in chosen]
    return listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"


def shared_keys(tasks: Iterable[Task]) -> Iterator[Diagnostic]:
    """Yields a `SharedRngKey` note for each key that several streams receive: they draw the same numbers."""
    for task in tasks:
        if len({*task.outputs}) == len(task.outputs):
            continue
        if all(aval and key_impl(aval.dtype) for aval in task.out_avals):
            yield SharedRngKey.at(
                f"`{format_path(task.sources[0])}` becomes the key of {len(task.targets)} streams, which then draw the "
                "same numbers",
                span=task.rule,
                paths=map(format_path, task.targets),
                help="`create` with `rng` gives each stream a key of its own",
            )


def split_streams(paths: Collection[KeyPath], tree: AbstractTree) -> tuple[list[KeyPath], list[KeyPath]]:
    """Returns the leaves of streams, and the other leaves."""
    return [p for p in paths if in_stream(tree, p)], [p for p in paths if not in_stream(tree, p)]
