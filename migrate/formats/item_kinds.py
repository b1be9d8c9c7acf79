"""The kinds of items of a step that hold arrays: pytrees, single arrays and random keys, as Orbax saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_HANDLERS = "orbax.checkpoint._src.handlers"
BARE = "checkpoint"
"""The name under which `ArrayCheckpointHandler` stores its array."""


@dataclass(frozen=True, slots=True)
class ItemKind:
    """A kind of item.

    Attributes:
      name: its name in reports.
      handler: the class that restores it by default, as a step records it.
      folder: the subdirectory of the item that holds the arrays; empty for the item itself.
      about: the content of the JSON item beside `folder`.
      bare: whether it is one array, stored under the name `BARE` in plain zarr of version 2.
      numpy: whether its arrays are NumPy arrays, never JAX arrays.
    """

    name: str
    handler: str
    folder: str = ""
    about: Mapping[str, bool] = field(default_factory=dict)
    bare: bool = False
    numpy: bool = False


_JAX_KEY = f"{_HANDLERS}.random_key_checkpoint_handler.JaxRandomKeyCheckpointHandler"
_NUMPY_KEY = f"{_HANDLERS}.random_key_checkpoint_handler.NumpyRandomKeyCheckpointHandler"

PYTREE = ItemKind("pytree", f"{_HANDLERS}.pytree_checkpoint_handler.PyTreeCheckpointHandler")
STANDARD_HANDLER = f"{_HANDLERS}.standard_checkpoint_handler.StandardCheckpointHandler"
"""The class that saves pytrees for `StandardSave`; a manager that restores such an item saves the next one so."""

ARRAY = ItemKind("array", f"{_HANDLERS}.array_checkpoint_handler.ArrayCheckpointHandler", bare=True)
TYPED_KEY = ItemKind("random key", _JAX_KEY, "jax_random_key", {"typed": True}, bare=True)
RAW_KEY = ItemKind("random key", _JAX_KEY, "jax_random_key", {"typed": False}, bare=True)
NUMPY_KEY = ItemKind("NumPy random key", _NUMPY_KEY, "np_random_key", {"legacy": True}, numpy=True)
NUMPY_STATE = ItemKind("NumPy random key", _NUMPY_KEY, "np_random_key", {"legacy": False}, numpy=True)

KEYS = (TYPED_KEY, RAW_KEY, NUMPY_KEY, NUMPY_STATE)
"""The kinds that are random keys."""


def key_kind(about: Mapping[str, object]) -> ItemKind:
    """Returns the kind of a random key for the JSON beside it."""
    return next((kind for kind in KEYS if kind.about == about), PYTREE)
