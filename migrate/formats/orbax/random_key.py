"""Random keys that are items of their own: Orbax's `JaxRandomKeySave` and `NumpyRandomKeySave`.

Such an item is a directory with the key's words (`jax_random_key/`, one bare array) or NumPy's generator state
(`np_random_key/`, a pytree), and beside it a JSON item (`…_metadata/`) that records whether the key was typed. The
implementation of a typed key is not recorded. It follows from the number of words, which leaves two candidates for
four words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import ReaderAssumption
from migrate.formats.base import Item, Location
from migrate.formats.files import children, damaged, is_dir, is_file, read_json_object
from migrate.formats.item_kinds import key_kind
from migrate.formats.orbax.item import OrbaxItem, as_keys, is_item, key_leaf
from migrate.formats.orbax.tree import ARRAY_HANDLER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from migrate.formats.base import Defect, Value
    from migrate.tree import KeyPath

_METADATA = "_metadata"
_TYPED = "typed"


def is_random_key(folder: Path) -> bool:
    """Whether a directory holds a random key: an item, and beside it the JSON of a random key."""
    return _key_folder(folder) is not None


def _key_folder(folder: Path) -> Path | None:
    if not is_dir(folder):
        return None
    for child in children(folder):
        key = folder / child.name.removesuffix(_METADATA)
        if child.name.endswith(_METADATA) and is_file(child / "metadata") and is_dir(key) and is_item(key):
            return key if set(read_json_object(child / "metadata")) in ({_TYPED}, {"legacy"}) else None
    return None


class RandomKeyItem(Item):
    """A random key: one leaf of a key dtype or of plain words, or NumPy's generator state as a tree."""

    def __init__(self, folder: Path) -> None:
        key = _key_folder(folder)
        assert key is not None, "not a random key"
        self._about = key.with_name(key.name + _METADATA) / "metadata"
        about = read_json_object(self._about)
        self._item = OrbaxItem(key, handler=ARRAY_HANDLER if _TYPED in about else None)
        self.info = replace(self._item.info, kind=key_kind(about))
        self._impl: str | None = None
        if about.get(_TYPED) is True:
            self._wrap(key)

    def _wrap(self, folder: Path) -> None:
        """Turns the leaf of words into one of a typed key."""
        leaf = self.info.tree.leaves.get(())
        words = leaf.aval.shape[-1:] if leaf and leaf.aval and leaf.aval.dtype == "uint32" else ()
        impls = [impl for impl, count in dtypes.KEY_WORDS.items() if (count,) == words]
        if leaf is None or not impls:
            raise damaged(folder, "its words are not those of a random key")
        self._impl = impls[0]
        notes = self.info.notes
        if len(impls) > 1:
            names = " or ".join(f"`{dtypes.key_name(impl)}`" for impl in impls)
            message = f"`{folder}` does not record whether its random key is {names}; read as the first"
            notes = (*notes, ReaderAssumption.at(message, severity="warning"))
        tree = replace(self.info.tree, leaves={(): key_leaf(leaf, self._impl)})
        self.info = replace(self.info, tree=tree, notes=notes)

    def load(self, stored: KeyPath) -> Value:
        """Returns the key, or its words."""
        value: Any = self._item.load(stored)
        return value if self._impl is None else as_keys(value, self._impl)

    def location(self, stored: KeyPath) -> Location | None:
        """Where the words are stored."""
        location = self._item.location(stored)
        return replace(location, key_impl=self._impl) if location and self._impl else location

    def defects(self) -> Iterator[Defect]:
        """The files that lack chunks of the words."""
        return self._item.defects()

    def files(self) -> Iterator[Path]:
        """The files of the words, and the JSON beside them."""
        yield self._about
        yield from self._item.files()

    def close(self) -> None:
        """Releases files."""
        self._item.close()
