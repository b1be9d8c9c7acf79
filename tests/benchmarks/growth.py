"""Growth in bytes and in leaves: the cases, and the exponents of the curves through their figures."""

import math
from dataclasses import dataclass
from statistics import linear_regression

from tests.benchmarks.case import LAYER_LEAF_BYTES, Case

BYTES = (0.25, 0.5, 1, 2, 4)
"""Gigabytes of the transformer, whose leaves are as many at every size."""
LEAVES = (2_000, 10_000, 50_000, 200_000)
"""Leaves of the checkpoint `layers`, of 1 KiB each."""

_LAYERS = tuple(leaves * LAYER_LEAF_BYTES / 1e9 for leaves in LEAVES)
_DRY = ("--dry-run",)

CASES = (
    Case("bytes-rename", "rename", "migrate", "rename", (), "transformer", BYTES, "growth-bytes"),
    Case("bytes-stack", "stack the layers", "migrate", "stack", (), "transformer", BYTES, "growth-bytes"),
    Case("bytes-turn", "transpose every matrix", "migrate", "turn-all", (), "transformer", BYTES, "growth-bytes"),
    Case("bytes-tune", "tune for any mesh", "tune", "", ("--for", "any"), "transformer", BYTES, "growth-bytes"),
    Case("bytes-dry", "dry run of the rename", "migrate", "rename", _DRY, "transformer", BYTES, "growth-bytes"),
    Case("leaves-rename", "rename", "migrate", "rename", (), "layers", _LAYERS, "growth-leaves"),
    Case("leaves-stack", "stack the layers", "migrate", "stack", (), "layers", _LAYERS, "growth-leaves"),
    Case("leaves-turn", "transpose every matrix", "migrate", "turn-layers", (), "layers", _LAYERS, "growth-leaves"),
    Case("leaves-dry", "dry run of the rename", "migrate", "rename", _DRY, "layers", _LAYERS, "growth-leaves"),
)
BY_BYTES, BY_LEAVES = ([case for case in CASES if case.part == f"growth-{of}"] for of in ("bytes", "leaves"))

STREAMED = ("bytes-turn", "bytes-tune")
"""The cases whose time grows with the bytes."""


@dataclass(frozen=True)
class Curve:
    """What a case costs beyond imports, over sizes.

    Attributes:
      case: the case.
      seconds, cpu, memory: points of the size with the seconds, CPU seconds and bytes of memory, in order of size; the
        size is in leaves or gigabytes.
    """

    case: Case
    seconds: list
    cpu: list
    memory: list


def curves(figures, cases):
    """The curves of cases that have figures at two sizes or more.

    Args:
      figures: the median figure by case and gigabytes.
      cases: `BY_BYTES` or `BY_LEAVES`.
    """
    for case in cases:
        found = sorted((size, figure) for (key, size), figure in figures.items() if key == case.key)
        if len(found) > 1:
            rows = [(size_of(case, size), figure) for size, figure in found]
            seconds, cpu = ([(size, figure.marks[name]) for size, figure in rows] for name in ("work", "cpu"))
            memory = [(size, max(figure.peak - figure.marks["memory"], 1)) for size, figure in rows]
            yield Curve(case, seconds, cpu, memory)


def size_of(case, gigabytes):
    """The size of a checkpoint on the axis of its curve: leaves or gigabytes."""
    return leaves_of(gigabytes) if case in BY_LEAVES else gigabytes


def leaves_of(gigabytes):
    """The leaves of the checkpoint `layers` of a size."""
    return round(gigabytes * 1e9 / LAYER_LEAF_BYTES)


def exponent(points):
    """The exponent e of the curve `c * size ** e`: the slope of the least-squares line through the logarithms."""
    return linear_regression(*zip(*((math.log(x), math.log(y)) for x, y in points), strict=True)).slope
