"""For random plans that lose nothing, the inverse file gives back every bit of the source."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from migrate import dtypes
from migrate.ops.base import avals
from migrate.ops.flip import Flip
from migrate.ops.squeeze import ExpandDims
from migrate.ops.transpose import Transpose
from migrate.planning.planner import make_plan
from migrate.planning.rule_text.ops import op_text
from migrate.rules.loader import parse_rules
from migrate.testing.ops import arrays, filled, op_cases, shapes
from migrate.tree import AbstractLeaf, AbstractTree, parse_path
from tests.matrix import examples
from tests.planning.invert.cases import back_and_forth, lost, same_bits
from tests.planning.trees import checkpoint

MAPS = (
    *("reshape", "transpose", "rearrange", "squeeze", "expand_dims", "flip", "pad", "tile"),
    *("roll", "cast", "wrap_key_data", "key_data"),
)
SCALE = "scale by two"
NAMES = ("kernel", "bias", "scale")
RIGHT = ("{i}", "{i+1}", "{9-i}", "x{i//2}/y{i%2}", "{i*3}")


def rule(left, right, *ops):
    """A rule of the file, as YAML."""
    return f"- {{from: {json.dumps(left)}, to: {json.dumps(right)}, ops: [{', '.join(f'{{{op}}}' for op in ops)}]}}"


@st.composite
def renamed_layers(draw, top):
    """Layers of a few leaves, some strings among them, with numbers that change by arithmetic."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    numbers = draw(st.lists(st.integers(0, 7), min_size=1, max_size=4, unique=True))
    values = {f"{top}/L_{i}/{name}": draw(arrays(shapes(max_dims=2))) for i in numbers for name in names}
    right = draw(st.sampled_from(RIGHT))
    return values, [f'- "{top}/L_{{i}}/** -> {top}_new/{right}/**"']


@st.composite
def mapped(draw, top):
    """Arrays that go through ops of one array."""
    name = draw(st.sampled_from((*MAPS, SCALE)))
    if name == SCALE:
        array = draw(arrays(dtype=st.just("float32")))
        return {f"{top}/a": np.where(np.abs(array) < 1e30, array, 1)}, [rule(f"{top}/a", f"{top}_b", "scale: {by: 2}")]
    op, (array,) = draw(op_cases(name))
    assume(op.exact)
    more = []
    (result,) = op.infer(*avals(array))
    for _ in range(draw(st.integers(0, 2))):
        candidates = [ExpandDims(0), Transpose(), *([Flip(0)] if result.shape else [])]
        more.append(draw(st.sampled_from(candidates)))
        (result,) = more[-1].infer(result)
    copies = draw(st.integers(1, 2))  # two arrays that go through one rule
    values = {f"{top}/a_{i}/w": array for i in range(copies)}
    return values, [rule(f"{top}/a_{{i}}/w", f"{top}/b/{{i}}", *map(op_text, [op, *more]))]


@st.composite
def joined(draw, top):
    """Arrays that become one, over a capture or as a list."""
    op, parts = draw(op_cases(draw(st.sampled_from(["stack", "concat"]))))
    start = draw(st.integers(0, 1))
    if draw(st.booleans()):
        values = {f"{top}/l_{i + start}/w": part for i, part in enumerate(parts)}
        return values, [rule(f"{top}/l_{{i}}/w", f"{top}_all", op_text(op, "i"))]
    values = {f"{top}/{'abcdef'[i]}": part for i, part in enumerate(parts)}
    return values, [rule(list(values), f"{top}_all", op_text(op))]


@st.composite
def parted(draw, top):
    """An array that becomes several."""
    op, (array,) = draw(op_cases(draw(st.sampled_from(["unstack", "split"]))))
    count = len(op.infer(*avals(array)))
    if draw(st.booleans()):
        right = draw(st.sampled_from(["{i}/w", "l_{i+1}", "{9-i}"]))
        return {f"{top}/w": array}, [rule(f"{top}/w", f"{top}_l/{right}", op_text(op, "i"))]
    return {f"{top}/w": array}, [rule(f"{top}/w", [f"{top}_{'abcdefgh'[i]}" for i in range(count)], op_text(op))]


@st.composite
def fused(draw, top):
    """q, k and v of stacked or separate layers become one array, or the reverse."""
    layers, dim, heads = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.tuples(*[st.integers(1, 3)] * 3))
    parts = dict(zip("qkv", heads, strict=True))
    merge = 'rearrange: "d h k -> d (h k)"'
    if draw(st.booleans()):
        values = {
            f"{top}/l{i}/{part}": filled((dim, size, 2), "float32", i * 7 + size)
            for i in range(layers)
            for part, size in parts.items()
        }
        ops = (merge, "concat: {axis: 1}", "stack: {axis: 0, over: i}")
        return values, [rule([f"{top}/l{{i}}/{part}" for part in parts], f"{top}_qkv", *ops)]
    if draw(st.booleans()):
        values = {f"{top}/{part}": filled((layers, dim, size, 2), "float32", size) for part, size in parts.items()}
        ops = ('rearrange: "l d h k -> l d (h k)"', "concat: {axis: 2}", "unstack: {axis: 0, over: i}")
        return values, [rule(list(values), f"{top}_l/{{i}}/qkv", *ops)]
    values = {f"{top}/qkv": filled((layers, dim, sum(heads)), "float32", 1)}
    ops = ("unstack: {axis: 0, over: i}", f"split: {{axis: 1, sizes: {list(heads)}}}")
    return values, [rule(f"{top}/qkv", [f"{top}_l{{i}}/{part}" for part in parts], *ops)]


@st.composite
def tied(draw, top):
    """One array that becomes two."""
    return {f"{top}/e/w": draw(arrays())}, [rule(f"{top}/e/{{x}}", [f"{top}_in/{{x}}", f"{top}_out/{{x}}"])]


PIECES = (renamed_layers, mapped, joined, parted, fused, tied)


@st.composite
def plans(draw):
    """Values, and an applicable plan that loses none of them."""
    values, rules = {}, []
    for number in range(draw(st.integers(1, 4))):
        more, lines = draw(draw(st.sampled_from(PIECES))(f"t{'abcd'[number]}"))
        values |= more
        rules += lines
    if draw(st.booleans()):
        values["kept/w"] = draw(arrays())
    plan = plan_of(values, rules)
    assume(plan.applicable)
    return {parse_path(path): value for path, value in values.items()}, plan


def plan_of(values, rules):
    leaves = {
        path: AbstractLeaf("array", *avals(value)) if isinstance(value, np.ndarray) else AbstractLeaf("string")
        for path, value in values.items()
    }
    source = checkpoint({})
    source.items[""] = AbstractTree.build((parse_path(path), leaf) for path, leaf in leaves.items())
    return make_plan(source, parse_rules("\n".join(("migrate: 1", "rules:", *rules)), "rules.yaml"), None)


@given(plans())
@settings(max_examples=examples(60))
def test_every_bit_comes_back(case):
    values, plan = case
    inversion, back = back_and_forth(plan, values)
    assert {} == lost(inversion), inversion.text
    same_bits(values, back)


STRUCTURAL = (joined, parted, fused, renamed_layers)


@given(st.data())
@settings(max_examples=examples(30))
def test_moments_come_back_with_their_params(data):
    values, rules = data.draw(data.draw(st.sampled_from(STRUCTURAL))("m"))
    values = {path: value for path, value in values.items() if dtypes.kind(avals(value)[0].dtype) == "float"}
    assume(values)
    trained = {}
    for path, value in values.items():
        trained[f"params/{path}"] = value
        for slot in ("mu", "nu"):
            seed = len(trained)
            trained[f"opt_state/0/{slot}/{path}"] = filled(value.shape, avals(value)[0].dtype, seed)
    trained["opt_state/0/count"] = np.asarray(7, "int32")
    plan = plan_of(trained, [line.replace('"m', '"params/m').replace("> m", "> params/m") for line in rules])
    assume(plan.applicable)
    inversion, back = back_and_forth(plan, {parse_path(path): value for path, value in trained.items()})
    assert {} == lost(inversion), inversion.text
    same_bits({parse_path(path): value for path, value in trained.items()}, back)


@pytest.mark.parametrize("name", [*MAPS, "slice", "crop", "scale", "stack", "split"])
@given(data=st.data())
@settings(max_examples=examples(10))
def test_the_text_of_an_op_says_what_the_op_is(name, data):
    op, _ = data.draw(op_cases(name))
    over = "i" if op.role != "map" else None
    right = "b/{i}" if op.role == "extend" else "b"
    text = rule("a_{i}" if op.role == "reduce" else "a", right, op_text(op, over))
    (move,) = parse_rules(f"migrate: 1\nrules:\n{text}", "rules.yaml").rules
    assert op == move.ops[0].op
    assert over == move.ops[0].over
