"""`wrap_key_data` turns uint32 words into typed PRNG keys, and `key_data` turns keys into words, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate import dtypes
from migrate.ops.base import Op, OpError, Param, avals
from migrate.ops.windows import Pull, Window, cut, whole
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@final
@dataclass(frozen=True)
class WrapKeyData(Op):
    """Turns uint32 `[..., words]` into a key array `[...]`, as `jax.random.wrap_key_data` does.

    It is structural: words keep their place and only the dtype changes.
    """

    name: ClassVar[str] = "wrap_key_data"
    params: ClassVar[tuple[Param, ...]] = (
        Param("impl", "str", "the keys' implementation: threefry2x32 (the default), rbg or unsafe_rbg", False),
    )
    shorthand: ClassVar[str | None] = "impl"

    impl: str = "threefry2x32"

    def __post_init__(self) -> None:
        if self.impl not in (*dtypes.KEY_IMPLS, *dtypes.KEY_IMPLS.values()):
            raise OpError(f"JAX has no key implementation `{self.impl}`; it has {', '.join(dtypes.KEY_IMPLS.values())}")

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        if array.dtype != "uint32" or array.shape[-1:] != (self._words,):
            raise OpError(f"{self.impl} keys are uint32 with a last axis of {self._words} words, not {array}")
        return (AbstractArray(array.shape[:-1], dtypes.key_name(self.impl)),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        import numpy as np

        (array,) = arrays
        # A key's words must be adjacent; an array in which they are is only viewed.
        adjacent = array if array.strides[-1] == 4 else np.ascontiguousarray(array)
        keys = adjacent.astype("<u4", copy=False).view(dtypes.to_numpy(dtypes.key_name(self.impl)))
        return (keys[..., 0],)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        return self._applied_to((*window, (0, self._words)))

    def preimage(self, *results: AbstractArray) -> tuple[AbstractArray, ...]:
        return KeyData().infer(*results)

    def inverse(self, *inputs: AbstractArray) -> KeyData:
        del inputs
        return KeyData()

    @property
    def _words(self) -> int:
        return dtypes.KEY_WORDS[dtypes.key_name(self.impl)[4:-1]]


@final
@dataclass(frozen=True)
class KeyData(Op):
    """Turns a key array `[...]` into uint32 `[..., words]`, as `jax.random.key_data` does."""

    name: ClassVar[str] = "key_data"
    params: ClassVar[tuple[Param, ...]] = ()

    def infer(self, *inputs: AbstractArray) -> tuple[AbstractArray, ...]:
        (array,) = inputs
        return (AbstractArray((*array.shape, dtypes.KEY_WORDS[_impl(array)]), "uint32"),)

    def apply(self, *arrays: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        (array,) = arrays
        return (array[_impl(*avals(array))],)

    def _window(self, inputs: Sequence[AbstractArray], output: int, window: Window) -> Pull:
        del inputs, output
        words = window[-1]
        return Pull(((0, window[:-1]),), lambda parts: cut(self.apply(*parts)[0], (*whole(parts[0].shape), words)))

    def inverse(self, *inputs: AbstractArray) -> WrapKeyData:
        (array,) = inputs
        return WrapKeyData(dtypes.KEY_IMPLS[_impl(array)])


def _impl(array: AbstractArray) -> str:
    impl = dtypes.key_impl(array.dtype)
    if impl is None:
        raise OpError(f"{array} is not an array of typed PRNG keys")
    return impl
