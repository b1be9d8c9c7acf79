"""`key_data`: typed PRNG keys become their uint32 words, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate import dtypes
from migrate.ops.base import Op, OpError, Param, avals
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    import numpy as np

    from migrate.ops.wrap_key_data import WrapKeyData


@final
@dataclass(frozen=True)
class KeyData(Op):
    """Makes a key array `[...]` uint32 `[..., words]`, as `jax.random.key_data` does."""

    name: ClassVar[str] = "key_data"
    params: ClassVar[tuple[Param, ...]] = ()

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        return (AbstractArray((*array.shape, dtypes.KEY_WORDS[_impl(array)]), "uint32"),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        return (array[_impl(*avals(array))],)

    def inverse(self, *inputs: AbstractArray) -> WrapKeyData:
        from migrate.ops.wrap_key_data import WrapKeyData

        (array,) = inputs
        return WrapKeyData(dtypes.KEY_IMPLS[_impl(array)])


def _impl(array: AbstractArray) -> str:
    impl = dtypes.key_impl(array.dtype)
    if impl is None:
        raise OpError(f"{array} is no array of typed PRNG keys")
    return impl
