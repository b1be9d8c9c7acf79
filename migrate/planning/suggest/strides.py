"""Writes rules whose layers are counted in steps: every sixth layer of a list is one stack of a scan over blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from migrate.planning.rule_text.numbers import numbers_in, split_number
from migrate.planning.rule_text.rule_drafts import OVER, RuleDraft, Segments, text_of
from migrate.tree import KeyPath, format_path


@dataclass(frozen=True, slots=True)
class Stride:
    """Key paths that differ in one number, which counts up in equal steps.

    Attributes:
      path: the first key path.
      at: the index of the segment with the number.
      stem: the segment without its number.
      start: the first number.
      step: the distance of two numbers, at least 2.
    """

    path: KeyPath
    at: int
    stem: str
    start: int
    step: int

    def segments(self, text: str) -> Segments:
        """Returns the key path as segments of a pattern, with `text` in place of the number."""
        written = text_of(self.path)
        stem = format_path((self.stem,)) if self.stem else ""
        return (*written[: self.at], f"{stem}{text}", *written[self.at + 1 :])


def stride(column: Sequence[KeyPath]) -> Stride | None:
    """Returns the stride of key paths, or None if they differ otherwise."""
    if len({len(path) for path in column}) > 1 or len(column) < 2:
        return None
    varying = [at for at in range(len(column[0])) if len({path[at] for path in column}) > 1]
    if len(varying) != 1:
        return None
    parts = [split_number(path[varying[0]]) for path in column]
    numbers = [number for _, number in parts if number is not None]
    if len({stem for stem, _ in parts}) > 1 or len(numbers) < len(column):
        return None
    step = numbers[1] - numbers[0]
    if step < 2 or numbers != list(range(numbers[0], numbers[0] + step * len(column), step)):
        return None
    return Stride(column[0], varying[0], parts[0][0], numbers[0], step)


def spread(column: Sequence[KeyPath]) -> Segments | None:
    """Returns one target pattern for key paths in equal steps: `layers_{i*6+2}`."""
    found = stride(column)
    return found.segments(f"{{{OVER}*{found.step}+{found.start}}}") if found else None


@dataclass(frozen=True, slots=True)
class StridedStack:
    """A draft that stacks layers in equal steps, which no single source pattern matches, and their stride."""

    draft: RuleDraft
    stride: Stride


def merged_stacks(stacks: Sequence[StridedStack], sources: Collection[KeyPath]) -> list[RuleDraft]:
    """Returns one draft, `layers_{i} -> block/layers_{i%6}`, for the stacks of each array of a block.

    Args:
      stacks: the stacks of all arrays.
      sources: all source leaves of the model.
    """
    groups: defaultdict[object, list[StridedStack]] = defaultdict(list)
    for stack in stacks:
        place = tuple(numbers_in(segment)[0] for segment in stack.draft.targets[0])
        count, at = len(stack.draft.claims), stack.stride.at
        groups[stack.stride.segments(""), at, stack.stride.step, count, place, stack.draft.ops].append(stack)
    return [draft for group in groups.values() for draft in _merged(group, sources)]


def _merged(group: Sequence[StridedStack], sources: Collection[KeyPath]) -> list[RuleDraft]:
    ordered = sorted(group, key=lambda stack: stack.stride.start)
    first = ordered[0]
    step, targets = first.stride.step, [stack.draft.targets[0] for stack in ordered]
    holes = [at for at in range(len(targets[0])) if len({target[at] for target in targets}) > 1]
    starts = list(range(step))
    if [stack.stride.start for stack in ordered] != starts or len(holes) != 1:
        return [_listed(stack) for stack in ordered]
    parts = [split_number(target[holes[0]]) for target in targets]
    if [number for _, number in parts] != starts or len({stem for stem, _ in parts}) > 1:
        return [_listed(stack) for stack in ordered]
    target = (*targets[0][: holes[0]], f"{parts[0][0]}{{{OVER}%{step}}}", *targets[0][holes[0] + 1 :])
    source = first.stride.segments(_capture(first.stride, step * len(first.draft.claims), sources))
    return [first.draft.merged([stack.draft for stack in ordered[1:]], (source,), (target,))]


def _capture(found: Stride, count: int, sources: Collection[KeyPath]) -> str:
    """Returns the capture of the first `count` layers: all of them, or a choice where there are more."""
    at, path = found.at, found.path
    there = {
        split_number(other[at])[1]
        for other in sources
        if len(other) == len(path)
        and (other[:at], other[at + 1 :]) == (path[:at], path[at + 1 :])
        and split_number(other[at])[0] == found.stem
    }
    if there == set(range(count)):
        return f"{{{OVER}}}"
    return f"{{{OVER}:{'|'.join(map(str, range(count)))}}}"


def _listed(stack: StridedStack) -> RuleDraft:
    """Returns the draft with a list of key paths, and ops that stack them in its order."""
    draft = stack.draft
    number = stack.stride.start
    sources = tuple(
        stack.stride.segments(str(number + stack.stride.step * index)) for index in range(len(draft.claims))
    )
    ops = tuple(op.replace(f", over: {OVER}", "") for op in draft.ops)
    return RuleDraft(sources, draft.targets, ops, draft.claims, draft.fills, draft.reasons, draft.doubts)
