"""Diagnostics for leaves that no rule or task covers, each with the rule that would cover them.

The leaves of an optimizer's transform, or of RNG streams, form groups that the user decides about together: one
diagnostic names the group and gives the rule that creates or drops exactly these leaves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence

from migrate.codes import UnfilledTarget, UnusedSource
from migrate.errors import Diagnostic, listed, nearest
from migrate.planning import streams
from migrate.planning.moments import TransformState
from migrate.planning.narrowing import own_file
from migrate.tree import AbstractTree, KeyPath, format_path, is_below


def missing_leaves(
    paths: Sequence[KeyPath], template: AbstractTree, fresh: Sequence[TransformState]
) -> Iterator[Diagnostic]:
    """Yields diagnostics about target leaves that nothing fills.

    Args:
      paths: the key paths of these leaves.
      template: the target's tree.
      fresh: states of its optimizers that the source does not have.
    """
    rest = list(paths)
    for what, group, pattern, is_state in _states(rest, template, fresh):
        rest = _without(rest, group)
        yield UnfilledTarget.at(
            f"{count(group, 'target leaf is', 'target leaves are')} never written: "
            f"the source has no counterpart of {what}",
            paths=map(format_path, group),
            help=f"`- create: {{to: {pattern}, init: template}}` "
            + ("starts it as the optimizer does" if is_state else "initializes it as the template does"),
        )
    keys, rest = streams.split_streams(rest, template)
    if keys:
        yield UnfilledTarget.at(
            f"{count(keys, 'leaf of an RNG stream is', 'leaves of RNG streams are')} never written: {names(keys)}",
            paths=map(format_path, keys),
            help="an RNG stream cannot be derived from other leaves; "
            f"`{streams.create_rule(keys, template)}` starts it from a seed",
        )
    if rest:
        yield UnfilledTarget.at(
            f"{count(rest, 'target leaf is', 'target leaves are')} never written: {names(rest)}",
            paths=map(format_path, rest),
            help="move a source leaf there, or `create:` it, or set `unmatched: {target: template}`",
        )


def leftover(
    paths: Sequence[KeyPath],
    source: AbstractTree,
    template: AbstractTree,
    lost: Sequence[TransformState],
    comparable_paths: Callable[[KeyPath, AbstractTree], list[str]],
    key_items: Collection[str] = (),
    applied: str = "",
) -> Iterator[Diagnostic]:
    """Yields diagnostics about source leaves that no rule names and the template does not have.

    Args:
      paths: the key paths of these leaves.
      source: the source's tree.
      template: the target's tree.
      lost: states of the source's optimizers that the target does not have.
      comparable_paths: returns the key paths of a tree to compare with a given one.
      applied: the name of the rule file.
      key_items: the names of the source's items that are random keys.
    """
    rest = list(paths)
    for name in dict.fromkeys(path[0] for path in rest if path and path[0] in key_items):
        group = [path for path in rest if path[0] == name]
        rest = _without(rest, group)
        whole = format_path((name,)) + ("" if group == [(name,)] else "/**")
        yield UnusedSource.at(
            f"`{whole}`, a random key that is an item of the step, is neither used nor dropped",
            paths=map(format_path, group),
            help=f"`target: {{layout: items}}` keeps it as an item; `- drop: {json.dumps(whole)}` leaves it behind",
        )
    for what, group, pattern, _ in _states(rest, source, lost):
        rest = _without(rest, group)
        yield UnusedSource.at(
            f"{count(group, 'source leaf is', 'source leaves are')} neither used nor dropped: "
            f"the target has no counterpart of {what}",
            paths=map(format_path, group),
            help=f"`- drop: {pattern}` leaves it behind",
        )
    keys, rest = streams.split_streams(rest, source)
    if keys:
        yield UnusedSource.at(
            f"{count(keys, 'leaf of an RNG stream is', 'leaves of RNG streams are')} neither used nor dropped: "
            + names(keys),
            paths=map(format_path, keys),
            help=f"move it to a stream of the target, or leave it behind: `- drop: {streams.patterns(keys, source)}`",
        )
    if rest:
        more, snippet = own_file(None, applied, rest)
        hint = nearest(format_path(rest[0]), comparable_paths(rest[0], template))
        yield UnusedSource.at(
            f"{count(rest, 'source leaf is', 'source leaves are')} neither used nor dropped: {names(rest)}",
            paths=map(format_path, rest),
            help=(f"`{format_path(rest[0])}` is most similar to the template's `{hint}`; " if hint else "")
            + f"move it, or `drop:` it, or set `unmatched: {{source: drop}}`{more}",
            snippet=snippet,
        )


def _states(
    paths: Sequence[KeyPath], tree: AbstractTree, states: Sequence[TransformState]
) -> Iterator[tuple[str, list[KeyPath], str, bool]]:
    """Yields the states that own some of these leaves: a title, the leaves, patterns for exactly these leaves.

    An optimizer without any matched leaf is one group. The last value is false for a copy of the params outside it.
    """
    chosen, done = {*paths}, set[KeyPath]()
    for state in states:
        whole = [path for path in tree.leaves if is_below(path, state.optimizer) and tree.leaves[path].has_data]
        if state.optimizer and chosen >= {*whole} and whole:
            group, what, pattern = whole, _all(state.optimizer, states), [state.optimizer]
        else:
            group, what, pattern = [p for p in state.paths if p in chosen], state.title, []
        if group and not done & {*group}:
            done |= {*group}
            copy = state.is_params_copy
            yield f"`{format_path(state.place)}`" if copy else what, group, _patterns(pattern, state, tree), not copy


def _without(paths: Sequence[KeyPath], group: Sequence[KeyPath]) -> list[KeyPath]:
    taken = set(group)
    return [path for path in paths if path not in taken]


def _all(optimizer: KeyPath, states: Sequence[TransformState]) -> str:
    titles = dict.fromkeys(f"`{state.name}`" for state in states if state.optimizer == optimizer and state.name)
    return f"{', '.join(titles) or 'the state'} in `{format_path(optimizer)}`"


def _patterns(whole: Sequence[KeyPath], state: TransformState, tree: AbstractTree) -> str:
    inside = {p for p in tree.leaves if is_below(p, state.prefix) and tree.leaves[p].has_data}
    if whole or (state.prefix and inside == {*state.paths}):
        return f'"{format_path((whole or [state.prefix])[0])}/**"'
    deep = {*state.slots, *(path[0] for path in state.leaves if len(path) > 1)}
    texts = [f'"{format_path((*state.prefix, f))}{"/**" if f in deep else ""}"' for f in sorted(state.fields)]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def count(paths: Sequence[KeyPath], one: str, many: str) -> str:
    """Returns the number with its noun and verb: `1 target leaf is`, `3 target leaves are`."""
    return f"1 {one}" if len(paths) == 1 else f"{len(paths)} {many}"


def names(paths: Sequence[KeyPath]) -> str:
    """Returns the first names and the number of the others."""
    return listed(list(map(format_path, paths)), 3)
