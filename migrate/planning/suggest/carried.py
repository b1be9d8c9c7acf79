"""Leaves beside the model's arrays that the template has in another form: copies of the params, random streams, counts.

A copy (an EMA) has the structure of the model, so only its name tells the two apart; its leaves follow the params. The
streams of layers that are stacked in the template are the stack of the source's streams, and the reverse. So are the
counts and steps of models that were trained together under `vmap` and become a list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.rule_text.rule_drafts import OVER, RuleDraft, text_of, with_index
from migrate.planning.suggest.layout import ClassifiedLeaf, ClassifiedTree
from migrate.planning.suggest.leftovers import cast_ops, state_tail
from migrate.tree import KeyPath

_GENERIC = frozenset({"params", "model", "net", "state", "opt", "optimizer"})


def set_copies_aside(mine: ClassifiedTree, theirs: ClassifiedTree) -> ClassifiedTree:
    """Returns the template without its copies of the model among the model's arrays.

    A copy is a node of the structure of another one whose name shares a word with that of a copy in the source.
    """
    named = {word for leaf in mine.of("optimizer") for word in _words(leaf.path[0])}
    nodes: defaultdict[str, dict[KeyPath, tuple[int, ...]]] = defaultdict(dict)
    for leaf in theirs.of("model"):
        nodes[leaf.path[0]][leaf.path[1:]] = leaf.aval.shape
    copies = {
        name
        for name, leaves in nodes.items()
        if _words(name) & named and any(leaves == other for node, other in nodes.items() if not _words(node) & named)
    }
    changed = [
        replace(leaf, role="optimizer") if leaf.role == "model" and leaf.path[0] in copies else leaf
        for leaf in theirs.leaves
    ]
    return ClassifiedTree(tuple(changed), theirs.name)


def _words(name: str) -> set[str]:
    return {*name.lower().split("_")} - _GENERIC


def stacked_streams(mine: ClassifiedTree, theirs: ClassifiedTree) -> list[RuleDraft]:
    """Returns drafts for streams that the template stacks or unstacks: those of the layers `l_{i}` become one array.

    Layers correspond where their key paths end alike; among several runs of layers, the words of their names decide.
    """
    ours, wanted = _by_path(mine), _by_path(theirs)
    drafts = [_draft(one, many, stacked=True) for one, many in _families(wanted, ours)]
    drafts += [_draft(one, many, stacked=False) for one, many in _families(ours, wanted)]
    return [draft for draft in drafts if draft is not None]


def stacked_counts(mine: ClassifiedTree, theirs: ClassifiedTree) -> list[RuleDraft]:
    """Returns drafts for counts and steps that the template stacks or unstacks, together with the models around them.

    Counts correspond where they are the same part of the training state.
    """
    ours, wanted = ({leaf.path: leaf for leaf in side.of("optimizer", "step")} for side in (mine, theirs))
    return [
        replace(draft, ops=(*draft.ops, *cast_ops(ours[min(draft.claims)].aval, wanted[min(draft.fills)].aval)))
        for stacked, stacks, parts in ((False, ours, wanted), (True, wanted, ours))
        for draft in _unstacked_counts(stacks, parts, stacked=stacked)
    ]


def _unstacked_counts(
    stacks: Mapping[KeyPath, ClassifiedLeaf], parts: Mapping[KeyPath, ClassifiedLeaf], *, stacked: bool
) -> list[RuleDraft]:
    """Returns the drafts of counts, each of which is several on the side of the parts."""
    runs: defaultdict[object, list[list[KeyPath]]] = defaultdict(list)
    for run in _runs(path for path, leaf in parts.items() if leaf.aval.shape == ()).values():
        if sorted(run) == list(range(len(run))) and len({state_tail(parts[path]) for path in run.values()}) == 1:
            runs[state_tail(parts[run[0]]), len(run)].append([run[index] for index in range(len(run))])
    wholes: defaultdict[object, list[KeyPath]] = defaultdict(list)
    for path, leaf in stacks.items():
        if len(leaf.aval.shape) == 1 and "int" in leaf.aval.dtype:
            wholes[state_tail(leaf), leaf.aval.shape[0]].append(path)
    drafts = [
        _draft(whole[0], runs[key][0], stacked=stacked, why="the same part of the training state of each model")
        for key, whole in wholes.items()
        if len(whole) == len(runs[key]) == 1
    ]
    return [draft for draft in drafts if draft is not None]


def _by_path(tree: ClassifiedTree) -> dict[KeyPath, ClassifiedLeaf]:
    return {leaf.path: leaf for leaf in tree.of("rng")}


def _families(
    stacks: Mapping[KeyPath, ClassifiedLeaf], parts: Mapping[KeyPath, ClassifiedLeaf]
) -> list[tuple[KeyPath, list[KeyPath]]]:
    """Returns each array with its parts on the other side: a complete run of numbers of its length."""
    runs = _runs(parts)
    found: list[tuple[KeyPath, list[KeyPath]]] = []
    for one, leaf in stacks.items():
        fitting = [
            (_shared_words(one[: -len(tail)], (*node, stem)), [run[index] for index in range(len(run))])
            for (node, tail, stem), run in runs.items()
            if sorted(run) == list(range(len(run)))
            and one[-len(tail) :] == tail
            and all(_is_part(parts[path], leaf, len(run)) for path in run.values())
        ]
        best = max((shared for shared, _ in fitting), default=0)
        nearest = [run for shared, run in fitting if shared == best]
        if len(nearest) == 1:
            found.append((one, nearest[0]))
    used = [path for _, many in found for path in many]
    return [(one, many) for one, many in found if all(used.count(path) == 1 for path in many)]


def _runs(paths: Iterable[KeyPath]) -> Mapping[tuple[KeyPath, KeyPath, str], dict[int, KeyPath]]:
    """Returns the key paths that differ in one number, by number: for each node, tail, and name around the number."""
    runs: defaultdict[tuple[KeyPath, KeyPath, str], dict[int, KeyPath]] = defaultdict(dict)
    for path in paths:
        for at, segment in enumerate(path):
            _, numbers = numbers_in(segment)
            if len(numbers) == 1:
                stem = segment.replace(str(numbers[0]), "{i}")
                runs[path[:at], path[at + 1 :], stem][numbers[0]] = path
    return runs


def _shared_words(one: KeyPath, other: KeyPath) -> int:
    ours, theirs = ({word for segment in path for word in _words(segment)} for path in (one, other))
    return len(ours & theirs)


def _is_part(part: ClassifiedLeaf, whole: ClassifiedLeaf, count: int) -> bool:
    return part.aval.dtype == whole.aval.dtype and (count, *part.aval.shape) == whole.aval.shape


def _draft(
    one: KeyPath, many: Sequence[KeyPath], *, stacked: bool, why: str = "the random streams of the same layers"
) -> RuleDraft | None:
    pattern = with_index(many, exact=not stacked)
    if pattern is None:
        return None
    sides = ((pattern,), (text_of(one),)) if stacked else ((text_of(one),), (pattern,))
    claims, fills = (frozenset(many), frozenset({one})) if stacked else (frozenset({one}), frozenset(many))
    op = f"{'stack' if stacked else 'unstack'}: {{axis: 0, over: {OVER}}}"
    return RuleDraft(*sides, (op,), claims, fills, (why,))
