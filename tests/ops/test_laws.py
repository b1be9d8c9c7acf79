import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.ops.registry import OPS
from migrate.testing.ops import check_op_laws, op_cases
from tests.matrix import examples


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_every_op_keeps_the_laws(name, data):
    op, arrays = data.draw(op_cases(name))

    assert OPS[name] is type(op)
    check_op_laws(op, arrays)
