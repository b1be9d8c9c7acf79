"""`wrap_key_data`: the uint32 words of old-style PRNG keys become typed keys, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from migrate import dtypes
from migrate.ops.base import Op, OpError, Param
from migrate.ops.key_data import KeyData
from migrate.tree import AbstractArray

if TYPE_CHECKING:
    import numpy as np


@final
@dataclass(frozen=True)
class WrapKeyData(Op):
    """Makes uint32 `[..., words]` a key array `[...]`, as `jax.random.wrap_key_data` does.

    It is structural: words stay where they are and only their name changes.
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
        # A key's words must lie side by side; what does so already is only viewed.
        adjacent = array if array.strides[-1] == 4 else np.ascontiguousarray(array)
        keys = adjacent.astype("<u4", copy=False).view(dtypes.to_numpy(dtypes.key_name(self.impl)))
        return (keys[..., 0],)

    def inverse(self, *inputs: AbstractArray) -> KeyData:
        del inputs
        return KeyData()

    @property
    def _words(self) -> int:
        return dtypes.KEY_WORDS[dtypes.key_name(self.impl)[4:-1]]
