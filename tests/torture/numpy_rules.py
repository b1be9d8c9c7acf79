"""Random trees, rules and what the rules make of the trees, in NumPy alone."""

from dataclasses import dataclass, field
from math import prod

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = ("float16", "float32", "float64", BFLOAT16)
DTYPES = ("bool", "int8", "uint8", "int32", "int64", *FLOATS)
EXACT = {"float16": "float32", "float32": "float64", "bfloat16": "float32", "int8": "int32", "int32": "int64"}
LOSSY = {"float32": "bfloat16", "float64": "float32"}


@dataclass
class Example:
    """A source tree, a rule file for it and the tree that has to come out; names have their levels joined with `/`."""

    source: dict = field(default_factory=dict)
    rules: list = field(default_factory=list)
    target: dict = field(default_factory=dict)


def example(rng, *, largest):
    """Returns a random example with a few groups, each with a rule of its own.

    Args:
      rng: `random.Random`.
      largest: about the most elements of an array.
    """
    made = Example()
    for number in range(rng.randint(1, 4)):
        rng.choice(GROUPS)(rng, made, f"g{number}", largest)
    return made


def array(rng, shape=None, *, dtype=None, largest=1000):
    """A random array; some have no elements, some no dimensions."""
    if shape is None:
        shape = tuple(rng.choice((0, 1, 1, 2, 3, 4, 5, 8)) for _ in range(rng.randint(0, 4)))
        while shape and 0 < prod(shape) < largest // 4 and rng.random() < 0.7:
            axis = rng.randrange(len(shape))
            shape = tuple(size * rng.randint(2, 5) if i == axis else size for i, size in enumerate(shape))
    dtype = np.dtype(dtype or rng.choice(DTYPES))
    values = np.random.default_rng(rng.randrange(1 << 40)).normal(size=shape) * 20
    made = (values > 0) if dtype.kind == "b" else np.abs(values) if dtype == "uint8" else values
    made = np.asarray(made).astype(dtype)
    if dtype.name.startswith("float") and made.size and rng.random() < 0.2:
        made.flat[0] = -0.0
    return made


def moved(rng, made, group, largest):
    """Leaves with a common prefix move under another, with no op."""
    for name in _names(rng):
        made.source[f"{group}/old/{name}"] = made.target[f"{group}/new/{name}"] = array(rng, largest=largest)
    arrow = {"from": f"{group}/old/**", "to": f"{group}/new/**"}
    made.rules.append(rng.choice((arrow, f"{group}/old/** -> {group}/new/**")))


def kept(rng, made, group, largest):
    """Leaves that no rule matches."""
    for name in _names(rng):
        made.source[f"{group}/{name}"] = made.target[f"{group}/{name}"] = array(rng, largest=largest)


def dropped(rng, made, group, largest):
    """Leaves that are dropped, beside one that is kept."""
    made.source[f"{group}/gone/w"] = array(rng, largest=largest)
    made.source[f"{group}/stays"] = made.target[f"{group}/stays"] = array(rng, largest=largest)
    made.rules.append({"drop": f"{group}/gone/**"})


def chained(rng, made, group, largest):
    """One to three ops on each of some equal arrays."""
    first = array(rng, largest=largest)
    if not first.ndim:
        first = first.reshape(1)
    value, ops = first, []
    for _ in range(rng.randint(1, 3)):
        value, op = _step(rng, value, largest)
        ops += [op] if op else []
    numbers = range(rng.randint(1, 3))
    for number in numbers:
        same = array(rng, first.shape, dtype=first.dtype)
        made.source[f"{group}/layer_{number}/w"] = same
        made.target[f"{group}/done/{number}"] = _again(ops, same)
    made.rules.append({"from": f"{group}/layer_{{i}}/w", "to": f"{group}/done/{{i}}", "ops": ops})


def joined(rng, made, group, largest):
    """Arrays of one concatenation or stack."""
    first = array(rng, largest=largest)
    axis = rng.randrange(first.ndim + 1)
    if first.ndim and rng.random() < 0.5:
        axis = rng.randrange(first.ndim)
        shapes = [tuple(rng.randint(0, 5) if i == axis else n for i, n in enumerate(first.shape)) for _ in range(3)]
        parts = [first, *(array(rng, shape, dtype=first.dtype) for shape in shapes)]
        names = [f"{group}/part_{letter}" for letter in "dacb"][: len(parts)]
        made.rules.append({"from": names, "to": f"{group}/all", "ops": [{"concat": {"axis": axis}}]})
        made.target[f"{group}/all"] = np.concatenate(parts, axis)
    else:
        parts = [first, *(array(rng, first.shape, dtype=first.dtype) for _ in range(rng.choice((1, 3, 11))))]
        names = [f"{group}/part_{number}" for number in range(len(parts))]
        op = {"stack": {"axis": axis, "over": "i"}}
        made.rules.append({"from": f"{group}/part_{{i}}", "to": f"{group}/all", "ops": [op]})
        made.target[f"{group}/all"] = np.stack(parts, axis)
    made.source.update(zip(names, parts, strict=True))


def cut(rng, made, group, largest):
    """One array that becomes several."""
    whole = array(rng, largest=largest)
    if not whole.ndim:
        whole = whole.reshape(1)
    axis = rng.randrange(whole.ndim)
    size = whole.shape[axis]
    made.source[f"{group}/all"] = whole
    if rng.random() < 0.5 and 0 < size <= 40:
        op = {"unstack": {"axis": axis, "over": "i"}}
        made.rules.append({"from": f"{group}/all", "to": f"{group}/part_{{i}}", "ops": [op]})
        for number in range(size):
            made.target[f"{group}/part_{number}"] = np.take(whole, number, axis)
        return
    ends = sorted(rng.randint(0, size) for _ in range(2))
    sizes = [after - before for before, after in zip((0, *ends), (*ends, size), strict=True)]
    names = [f"{group}/{name}" for name in "qkv"]
    made.rules.append({"from": f"{group}/all", "to": names, "ops": [{"split": {"axis": axis, "sizes": sizes}}]})
    made.target.update(zip(names, np.split(whole, ends, axis), strict=True))


GROUPS = (moved, kept, dropped, chained, chained, chained, joined, joined, cut, cut)


def _names(rng):
    return rng.sample(("w", "b", "deep/w", "deep/er/w", "list/0", "count"), rng.randint(1, 4))


def _step(rng, value, largest):
    """Returns the result of a random op on an array, and the op as a rule file spells it."""
    op = rng.choice(_DRAWN)(rng, value, largest)
    return (_again([op], value), op) if op else (value, None)


def _axis(rng, value):
    return rng.randrange(value.ndim)


def _transpose(rng, value, largest):
    return {"transpose": rng.sample(range(value.ndim), value.ndim)}


def _reshape(rng, value, largest):
    shape = [value.shape[0] // 2, 2, *value.shape[1:]] if value.shape[0] % 2 == 0 else [value.size]
    return {"reshape": [-1 if value.size and i == 0 else size for i, size in enumerate(shape)]}


def _flip(rng, value, largest):
    return {"flip": {"axis": _axis(rng, value)}}


def _roll(rng, value, largest):
    return {"roll": {"shift": rng.randint(-7, 7), "axis": _axis(rng, value)}}


def _expand(rng, value, largest):
    return {"expand_dims": {"axis": rng.randint(0, value.ndim)}} if value.ndim < 6 else None


def _squeeze(rng, value, largest):
    axes = [axis for axis, size in enumerate(value.shape) if size == 1]
    return {"squeeze": {"axis": rng.choice(axes)}} if axes and value.ndim > 1 else None


def _slice(rng, value, largest):
    axis = _axis(rng, value)
    start, stop = sorted(rng.randint(0, value.shape[axis]) for _ in range(2))
    return {"slice": {"axis": axis, "start": start, "stop": stop, "step": rng.randint(1, 3)}}


def _pad(rng, value, largest):
    if value.size > 4 * largest:
        return None
    return {
        "pad": {"widths": [[rng.randint(0, 3), rng.randint(0, 3)] for _ in value.shape], "value": rng.choice((0, 1))}
    }


def _tile(rng, value, largest):
    return {"tile": {"reps": [rng.randint(1, 2) for _ in value.shape]}} if value.size <= largest else None


def _scale(rng, value, largest):
    factors = {"f": (2.0, 0.5, -1.0), "i": (1, -1), "V": (2.0, 0.5)}.get(value.dtype.kind)
    return {"scale": {"by": rng.choice(factors)}} if factors else None


def _cast(rng, value, largest):
    name = value.dtype.name
    if name in LOSSY and rng.random() < 0.5:
        return {"cast": {"to": LOSSY[name], "lossy": True}}
    return {"cast": EXACT[name]} if name in EXACT else None


def _rearrange(rng, value, largest):
    if value.ndim < 2:
        return None
    letters = "abcdef"[: value.ndim]
    return {"rearrange": f"{' '.join(letters)} -> {' '.join(reversed(letters[2:]))} ({letters[1]} {letters[0]})"}


_DRAWN = (
    _transpose, _reshape, _flip, _roll, _expand, _squeeze, _slice, _pad, _pad, _tile, _scale, _cast, _rearrange,
)  # fmt: skip


def _again(ops, value):
    """Applies ops to an array, in NumPy."""
    for op in ops:
        ((name, given),) = op.items()
        value = np.ascontiguousarray(_NUMPY[name](value, given)).reshape(_NUMPY[name](value, given).shape)
    return value


def _rearranged(value, pattern):
    order = [*reversed(range(2, value.ndim)), 1, 0]
    moved_axes = np.transpose(value, order)
    return moved_axes.reshape(*moved_axes.shape[:-2], moved_axes.shape[-1] * moved_axes.shape[-2])


def _sliced(value, given):
    box = [slice(None)] * value.ndim
    box[given["axis"]] = slice(given["start"], given["stop"], given["step"])
    return value[tuple(box)]


def _dtype(given):
    name = given["to"] if isinstance(given, dict) else given
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


_NUMPY = {
    "transpose": np.transpose,
    "reshape": lambda value, given: value.reshape(given),
    "flip": lambda value, given: np.flip(value, given["axis"]),
    "roll": lambda value, given: np.roll(value, given["shift"], given["axis"]),
    "expand_dims": lambda value, given: np.expand_dims(value, given["axis"]),
    "squeeze": lambda value, given: np.squeeze(value, given["axis"]),
    "slice": _sliced,
    "pad": lambda value, given: np.pad(value, given["widths"], constant_values=given["value"]),
    "tile": lambda value, given: np.tile(value, given["reps"]),
    "scale": lambda value, given: value * value.dtype.type(given["by"]),
    "cast": lambda value, given: value.astype(_dtype(given)),
    "rearrange": _rearranged,
}
