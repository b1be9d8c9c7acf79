"""`template` as a dtype is that of the leaf which the result becomes, and an error without one."""

import pytest

from migrate.ops.base import TEMPLATE, OpError
from migrate.ops.template_dtype import require_bound, template_dtype
from migrate.tree import AbstractArray


def test_it_is_the_dtype_of_the_leaf():
    assert "bfloat16" == template_dtype(AbstractArray((2,), "bfloat16"))


def test_without_a_leaf_it_is_refused():
    with pytest.raises(OpError, match="there is no template leaf that it goes to"):
        template_dtype(None)


def test_it_has_to_be_bound_before_the_op_is_applied():
    require_bound("float32")
    require_bound(None)
    with pytest.raises(OpError, match="was not bound to a template leaf"):
        require_bound(TEMPLATE)
