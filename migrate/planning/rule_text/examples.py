"""Rules as examples for a checkpoint: one of each kind, on leaves that it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from migrate.planning.rule_text.numbers import split_number
from migrate.planning.rule_text.rule_drafts import Segments, pattern, text_of
from migrate.planning.rule_text.write import drop_line, move_lines, quoted
from migrate.tree import AbstractTree, KeyPath, is_below

_Claims = Callable[[KeyPath], bool]


def example_rules(tree: AbstractTree, model: Iterable[KeyPath]) -> list[str]:
    """Returns the lines of rules, no two of which match the same leaf.

    Args:
      tree: the tree of the checkpoint.
      model: the arrays of the model in it.
    """
    left = list(model)
    lines: list[str] = []
    for example in (_numbered, _renamed, _cast, _dropped):
        made = example(tree, left)
        if made is not None:
            text, claims = made
            lines += text
            left = [path for path in left if not claims(path)]
    return lines


def _numbered(tree: AbstractTree, left: Sequence[KeyPath]) -> tuple[list[str], _Claims] | None:
    """Moves numbered layers together: those with the most leaves."""
    found: defaultdict[tuple[KeyPath, str], list[int]] = defaultdict(list)
    for path in left:
        for at, segment in enumerate(path[:-1]):
            stem, number = split_number(segment)
            if number is not None:
                found[path[:at], stem].append(number)
    several = {place: len(numbers) for place, numbers in found.items() if len(set(numbers)) > 1 and any(place)}
    if not several:
        return None
    prefix, stem = max(several, key=lambda place: several[place])
    at = len(prefix)
    parent = prefix if stem else prefix[:-1]
    new = (*parent, _free(tree, parent, "blocks"))
    left_side = (*text_of(prefix), f"{''.join(text_of((stem,))) if stem else ''}{{i}}", "**")
    rule = _move(left_side, (*text_of(new), "{i}", "**"), "numbered layers")

    def claims(path: KeyPath) -> bool:
        numbered = len(path) > at + 1 and path[:at] == prefix and split_number(path[at])[0] == stem
        return numbered and split_number(path[at])[1] is not None

    return rule, claims


def _renamed(tree: AbstractTree, left: Sequence[KeyPath]) -> tuple[list[str], _Claims] | None:
    """Renames a layer, or an array where every layer has an array that is not left."""
    whole = set(left)
    layers = dict.fromkeys(path[:-1] for path in left if len(path) > 1)
    layer = next((one for one in layers if all(p in whole for p in tree.with_data if is_below(p, one))), None)
    node = layer or next(iter(left), None)
    if node is None:
        return None
    new = (*node[:-1], _free(tree, node[:-1], f"new_{node[-1]}"))
    below: Segments = ("**",) if layer else ()
    rule = _move((*text_of(node), *below), (*text_of(new), *below), "a new name")
    return rule, lambda path: is_below(path, node)


def _cast(tree: AbstractTree, left: Sequence[KeyPath]) -> tuple[list[str], _Claims] | None:
    """Casts an array of floating-point numbers."""
    avals = {path: aval for path in left if (aval := tree.leaves[path].aval) is not None and "float" in aval.dtype}
    found = next(iter(avals), None)
    if found is None:
        return None
    dtype = "bfloat16" if avals[found].dtype != "bfloat16" else "float32"
    op = "cast: {to: bfloat16, lossy: true}" if dtype == "bfloat16" else f"cast: {dtype}"
    rule = _move(text_of(found), text_of(found), "another dtype, as `make_state` states it", op)
    return rule, lambda path: path == found


def _dropped(tree: AbstractTree, left: Sequence[KeyPath]) -> tuple[list[str], _Claims] | None:
    """Drops an array."""
    del tree
    if not left:
        return None
    return [f"{drop_line(pattern(text_of(left[-1])))}  # an array that the new model does not have"], left[-1].__eq__


def creation_example(tree: AbstractTree, model: Sequence[KeyPath]) -> str:
    """Returns the line of a rule that creates an array beside the last one of the model."""
    parent = model[-1][:-1] if model else ()
    created = pattern(text_of((*parent, _free(tree, parent, "new_bias"))))
    return f"  - create: {{to: {quoted(created)}, init: zeros}}  # an array that only the new model has"


def _move(left: Segments, right: Segments, comment: str, *ops: str) -> list[str]:
    return list(move_lines([pattern(left)], [pattern(right)], ops, comment=comment))


def _free(tree: AbstractTree, parent: KeyPath, name: str) -> str:
    """Returns the name, or the name with underscores if the node has a child of this name."""
    children = set(_children(tree, parent))
    while name in children:
        name += "_"
    return name


def _children(tree: AbstractTree, parent: KeyPath) -> Iterator[str]:
    return (path[len(parent)] for path in tree.leaves if len(path) > len(parent) and is_below(path, parent))
