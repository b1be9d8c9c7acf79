"""Created leaves are filled with the rule's number, or refused."""

import pytest

from migrate.engine.streaming.create import fill_value
from migrate.errors import RefusedError
from migrate.planning.model import Created
from migrate.rules.model import Init
from migrate.tree import AbstractArray, AbstractLeaf


def created(dtype, constant):
    return Created(("new",), AbstractLeaf("array", AbstractArray((2,), dtype)), Init("constant", constant))


@pytest.mark.parametrize(("dtype", "constant"), [("float32", 1e300), ("float16", 70000.0), ("float8_e4m3fn", 1e6)])
def test_a_constant_beyond_the_dtypes_range_is_refused_and_never_infinite(dtype, constant):
    with pytest.raises(RefusedError) as refusal:
        fill_value(created(dtype, constant))
    assert ["M503"] == [d.code for d in refusal.value.diagnostics]
    assert "`new`" in refusal.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("dtype", "constant"), [("float32", 0.1), ("bfloat16", -3.5), ("complex64", 2.0), ("int32", 7)]
)
def test_a_constant_that_the_dtype_rounds_is_accepted(dtype, constant):
    assert constant == fill_value(created(dtype, constant))
