"""The dtype that `template` in a field of an op stands for: that of the template's leaf which the result becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.ops.base import TEMPLATE, OpError

if TYPE_CHECKING:
    from migrate.tree import AbstractArray


def template_dtype(target: AbstractArray | None) -> str:
    """Returns the dtype of the template's leaf.

    Args:
      target: the leaf that the result becomes.

    Raises:
      OpError: there is none.
    """
    if target is None:
        raise OpError("the dtype is `template`, but there is no template leaf that it goes to")
    return target.dtype


def require_bound(dtype: str | None) -> None:
    """Refuses a dtype that is still `template`.

    Raises:
      OpError: it is.
    """
    if dtype == TEMPLATE:
        raise OpError("the dtype is `template` and was not bound to a template leaf")
