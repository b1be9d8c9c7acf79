import dataclasses
import subprocess
import sys

import pytest

from migrate.ops.registry import OPS

DESIGN = {
    "reshape", "transpose", "rearrange", "concat", "split", "stack", "unstack", "squeeze", "expand_dims", "flip",
    "slice", "pad", "tile", "scale", "add", "cast", "call", "wrap_key_data",
}  # fmt: skip


def test_every_op_of_the_rule_language_is_there():
    assert set() == DESIGN - OPS.keys()


@pytest.mark.parametrize("name", OPS)
def test_an_ops_params_are_its_dataclass_fields(name):
    op = OPS[name]
    fields = [(f.name, f.default is dataclasses.MISSING) for f in dataclasses.fields(op)]

    assert fields == [(param.name, param.required) for param in op.params]
    assert op.shorthand in (None, *(param.name for param in op.params))
    assert all(param.doc for param in op.params)
    assert op.__dataclass_params__.frozen
    assert op.__final__
    assert name == op.name


def test_the_roles_are_those_that_rules_gather_by():
    combine = dict.fromkeys(("dequantize", "mxfp4", "lora", "sum", "product"), "combine")
    assert {"concat": "reduce", "stack": "reduce", "split": "extend", "unstack": "extend", **combine} == {
        name: op.role for name, op in OPS.items() if op.role != "map"
    }


def test_only_ops_that_make_new_values_are_not_structural():
    computing = ["pad", "tile", "scale", "add", "cast", "dequantize", "mxfp4", "lora", "sum", "product", "call"]
    assert computing == [name for name, op in OPS.items() if not op.structural]


def test_planning_with_ops_imports_neither_numpy_nor_jax():
    code = """
import sys
from migrate.ops.registry import OPS
from migrate.tree import AbstractArray as A
a = A((2, 6), "float32")
OPS["reshape"]((3, -1)).infer(a)
OPS["rearrange"]("a (b c) -> c a b", (("b", 3),)).infer(a)
OPS["concat"]().infer(*OPS["split"](1, (2, 4)).infer(a)[:1])
OPS["pad"](((0, 1), (0, 0)), 1.5).infer(a)
OPS["scale"]("1/sqrt(2)").inverse(a).infer(a)
OPS["add"](1).inverse(a).infer(a)
OPS["cast"]("bfloat16").infer(a)
OPS["call"]("m:f").infer(a)
OPS["wrap_key_data"]().infer(A((2,), "uint32"))
print(sorted({"numpy", "jax", "ml_dtypes", "einops"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
