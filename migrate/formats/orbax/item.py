"""Orbax item directories, every layout from 2022 on: one pytree, its tree in JSON or msgpack, its arrays in zarr."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrate import dtypes
from migrate.codes import IgnoredFiles, ReaderAssumption
from migrate.errors import listed
from migrate.formats import digest_record
from migrate.formats.ambiguities import losses
from migrate.formats.base import Item, ItemInfo, Location
from migrate.formats.files import children, files_at, is_dir, is_file, lost_values
from migrate.formats.flax.msgpack import MappedMsgpack
from migrate.formats.item_kinds import ARRAY, BARE, PYTREE
from migrate.formats.orbax import metadata as orbax_metadata
from migrate.formats.orbax.era import T5X, Evidence, describe_era, is_t5x
from migrate.formats.orbax.metadata import parameter_name
from migrate.formats.orbax.nested_store import unread_in
from migrate.formats.orbax.tree import Inline, InlineText, Nothing, Records, StoredArray, ValueSource, outline
from migrate.formats.unread import refuse_unread
from migrate.formats.zarr.key_places import MANIFEST, is_database
from migrate.formats.zarr.metadata import METADATA_KEYS, ArrayMetadata
from migrate.formats.zarr.store import ZarrStore
from migrate.formats.zarr.stored_chunks import defects
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath, Kind, Sharding, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from migrate.errors import Diagnostic
    from migrate.formats.base import Defect, Value

_PYTHON_NUMBERS = ("bool", "int64", "float64", "complex128")
_OWN_FILES = (
    "_METADATA", "_sharding", "_CHECKPOINT_METADATA", "_strings.json", "array_metadatas", "checkpoint",
    "commit_success.txt", "d", "manifest.ocdbt", "orbax.checkpoint", digest_record.FILE,
)  # fmt: skip


def is_item(folder: Path) -> bool:
    """Whether a directory holds one pytree, by what is in it."""
    if any(is_file(folder / name) for name in ("_METADATA", "checkpoint", MANIFEST)):
        return True
    return is_dir(folder) and any(_is_part(child) for child in children(folder))


def _is_part(child: Path) -> bool:
    if child.name.startswith("ocdbt.process_"):
        return is_database(child)
    return any(is_file(child / key) for key in METADATA_KEYS.values())


class OrbaxItem(Item):
    """One Orbax item directory; `handler` is the class that saved it, where the step records it."""

    def __init__(self, folder: Path, handler: str | None = None, separator: str | None = None) -> None:
        self._folder = folder
        declared = orbax_metadata.read_tree(folder)
        self._values = MappedMsgpack(folder / "checkpoint") if is_file(folder / "checkpoint") else None
        self._store = ZarrStore(folder)
        handler = handler or orbax_metadata.read_handlers(folder).get("")
        found = outline(
            Records(
                folder,
                declared,
                self._values,
                orbax_metadata.read_strings(folder),
                self._store.names,
                handler=handler,
                t5x=self._values is not None and is_t5x(self._values),
                separator=separator,
            )
        )
        self._sources = found.sources
        self._arrays = self._read_array_metadata()
        self._words = self._find_words()
        self._fill_missing = declared is None or declared.fill_missing
        self._impls, key_notes = self._find_key_impls()
        self._strays = self._find_strays(inferred=found.separator is not None)
        tree = AbstractTree.build(self._leaves().items(), found.containers)
        era = describe_era(Evidence(folder, declared, self._values, self._store))
        self.info = ItemInfo(
            format=self._format(era),
            tree=tree,
            era=era,
            zarr3=any(array.driver == "zarr3" for array in self._arrays.values()),
            kind=ARRAY if found.sources == {(): StoredArray(BARE)} else PYTREE,
            metadata=orbax_metadata.read_custom_metadata(folder, declared),
            notes=(
                *self._store.notes,
                *found.notes,
                *key_notes,
                *self._value_notes(),
                *self._word_notes(),
                *([ignored_files(folder, self._strays)] if self._strays else []),
                *losses(tree),
            ),
            separator=found.separator,
        )

    def _read_array_metadata(self) -> Mapping[str, ArrayMetadata]:
        stored = {path: source.name for path, source in self._sources.items() if isinstance(source, StoredArray)}
        arrays = self._store.metadata(list(stored.values()))
        lost = [path for path, name in stored.items() if name not in arrays and name not in self._store.opaque]
        if lost:
            folders = [stored[path] for path in lost if stored[path] and is_dir(self._folder / stored[path])]
            raise lost_values(self._folder, lost, folders)
        return arrays

    def _find_words(self) -> frozenset[str]:
        """Returns the names of the arrays of bfloat16 that are stored as uint16."""
        named = (source.name for source in self._sources.values() if isinstance(source, StoredArray) and source.words)
        return frozenset(name for name in named if name in self._arrays and self._arrays[name].aval.dtype == "uint16")

    def _word_notes(self) -> list[Diagnostic]:
        if not self._words:
            return []
        message = f"{len(self._words)} arrays of `{self._folder}` are uint16, as T5X stored bfloat16; read as bfloat16"
        return [ReaderAssumption.at(message, paths=sorted(self._words))]

    def _find_key_impls(self) -> tuple[dict[str, str], list[Diagnostic]]:
        """Returns the short names of the implementations of typed PRNG keys by parameter name, and notes."""
        found, notes = {}, []
        for name, impl in orbax_metadata.read_key_impls(self._folder).items():
            array = self._arrays.get(name)
            if array is None:
                continue
            try:
                short = dtypes.key_impl(dtypes.key_name(impl)) or impl
            except KeyError:
                short = ""
            if array.aval.dtype == "uint32" and array.aval.shape[-1:] == (dtypes.KEY_WORDS.get(short),):
                found[name] = short
            else:
                notes.append(
                    ReaderAssumption.at(
                        f"`{name}` is a PRNG key of the implementation `{impl}`; read as its plain words"
                    )
                )
        return found, notes

    def _leaves(self) -> dict[KeyPath, AbstractLeaf]:
        shardings = orbax_metadata.read_shardings(self._folder, self._arrays)
        alike: dict[tuple[object, ...], AbstractLeaf] = {}
        leaves = {}
        for path, source in self._sources.items():
            key = self._likeness(path, source, shardings)
            if key not in alike:
                alike[key] = _with_sharding(self._leaf(path, source), source, shardings)
            leaves[path] = alike[key]
        return leaves

    def _likeness(self, path: KeyPath, source: ValueSource, shardings: Mapping[str, Sharding]) -> tuple[object, ...]:
        """Returns a value that is equal for equal leaves: a checkpoint has many arrays and few kinds of them."""
        if not isinstance(source, StoredArray) or source.name not in self._arrays:
            return (path,)
        name = source.name
        kind = (id(self._arrays[name]), self._store.place_of(name), source.scalar, name in self._words)
        return (*kind, self._impls.get(name), id(shardings.get(name)))

    def _is_linkable(self, name: str) -> bool:
        """Whether a parameter's chunks can be linked: they decode without this reader, and each has to exist."""
        return self._is_movable(name) and not self._may_fill(name)

    def _leaf(self, path: KeyPath, source: ValueSource) -> AbstractLeaf:
        if isinstance(source, Nothing):
            return source.leaf
        if isinstance(source, InlineText):
            return AbstractLeaf("string", storage=Storage("json", nbytes=len(source.value.encode())))
        if isinstance(source, Inline):
            assert self._values is not None
            leaf = self._values.leaf(path)
            return replace(leaf, kind="scalar") if source.scalar and _is_number(leaf) else leaf
        return self._stored_leaf(source)

    def _stored_leaf(self, source: StoredArray) -> AbstractLeaf:
        if source.name in self._store.opaque:
            return self._store.opaque[source.name]
        array = self._arrays[source.name]
        storage = Storage(
            array.driver,
            array.chunks,
            array.codec,
            inner=array.inner,
            encoding=array.encoding if self._is_linkable(source.name) else None,
            database=self._store.in_database(source.name),
        )
        kind: Kind = "scalar" if source.scalar and not array.aval.shape else "array"
        aval = replace(array.aval, dtype="bfloat16") if source.name in self._words else array.aval
        leaf = AbstractLeaf(kind, aval, storage=storage)
        return key_leaf(leaf, self._impls[source.name]) if source.name in self._impls else leaf

    def _format(self, era: str) -> str:
        if era == T5X:
            return "t5x zarr"
        if self._store.is_ocdbt:
            return "orbax ocdbt"
        return "orbax zarr" if self._arrays or not self._values else "orbax msgpack"

    def _value_notes(self) -> list[Diagnostic]:
        return self._values.notes if self._values else []

    def _find_strays(self, *, inferred: bool) -> list[str]:
        """Returns the entries that are not part of the checkpoint; the chunks of a bare leaf may have any name.

        Raises:
          CheckpointError: one of them could hold arrays (`AmbiguousItem`).
        """
        # values in other files leave an empty folder
        names = [*self._arrays, *self._store.opaque, *map(parameter_name, self._sources)]
        parameters = {part for name in names for part in (name.split("/", 1)[0], name.split("\\", 1)[0])}
        own = {*_OWN_FILES, *parameters}
        names = [child.name for child in children(self._folder) if not child.name.startswith("ocdbt.process_")]
        strays = [name for name in names if name not in own] if "" not in parameters else []
        inside = [file for name in parameters if name for file in unread_in(self._folder / name)] if inferred else []
        refuse_unread(self._folder, [*(self._folder / name for name in strays), *inside])
        return strays

    def files(self) -> Iterator[Path]:
        """Every file of the directory but those that are ignored."""
        for child in children(self._folder):
            if child.name not in self._strays:
                yield from files_at(child)

    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value; a scalar whose dtype no Python number has is a NumPy scalar."""
        source = self._sources[stored]
        if isinstance(source, InlineText):
            return source.value
        if isinstance(source, Nothing):
            return None
        kind = self.info.tree.leaves[stored].kind
        if isinstance(source, Inline):
            assert self._values is not None
            value = self._values.load(stored)
        else:
            value = self._read(source.name)
        return _number(value) if kind == "scalar" else value

    def _read(self, name: str) -> np.ndarray[Any, Any]:
        array = self._store.read(name, fill_missing=self._may_fill(name))
        if name in self._words:
            return array.view(dtypes.to_numpy("bfloat16"))
        return as_keys(array, self._impls[name]) if name in self._impls else array

    def read_ahead(self, stored: Iterable[KeyPath]) -> None:
        """Reads small arrays together that this thread is about to load."""
        sources = (self._sources[path] for path in stored)
        self._store.read_ahead([source.name for source in sources if isinstance(source, StoredArray)])

    def _is_movable(self, name: str) -> bool:
        """Whether a parameter's chunks decode to the right array without this reader."""
        return self._store.movable(name) and name not in self._words

    def _may_fill(self, name: str) -> bool:
        """Whether a missing chunk means zeros; every version stored every chunk of an array without a fill value."""
        return self._fill_missing and self._arrays[name].has_fill_value

    def defects(self) -> Iterator[Defect]:
        """The files that lack chunks of arrays."""
        stored = ((path, source) for path, source in self._sources.items() if isinstance(source, StoredArray))
        paths = {source.name: path for path, source in stored if source.name in self._arrays}
        return defects(self._store.shortfalls({name: self._may_fill(name) for name in paths}), paths)

    def location(self, stored: KeyPath) -> Location | None:
        """Where the chunks of an array are stored."""
        source = self._sources[stored]
        if not isinstance(source, StoredArray) or source.name not in self._arrays or not self._is_movable(source.name):
            return None
        name = source.name
        return self._store.location(name, fill_missing=self._may_fill(name), key_impl=self._impls.get(name))


def key_leaf(words: AbstractLeaf, impl: str) -> AbstractLeaf:
    """Returns the leaf of typed PRNG keys for a leaf of their words; `impl` is the short name of the implementation."""
    assert words.aval is not None
    assert words.storage is not None
    return replace(
        words,
        kind="array",
        aval=AbstractArray(words.aval.shape[:-1], dtypes.key_name(impl)),
        storage=_without_words(words.storage),
    )


def _without_words(storage: Storage) -> Storage:
    """Returns the storage of a typed key without the dimension of its words."""
    inner = storage.inner[:-1] if storage.inner is not None else None
    return replace(storage, chunks=(storage.chunks or ())[:-1], inner=inner)


def ignored_files(folder: Path, names: list[str]) -> Diagnostic:
    """Returns the note that lists ignored entries."""
    return IgnoredFiles.at(f"ignored in `{folder}`, not part of the checkpoint: {listed(names, 10)}", paths=names)


def _with_sharding(leaf: AbstractLeaf, source: ValueSource, shardings: Mapping[str, Sharding]) -> AbstractLeaf:
    if not isinstance(source, StoredArray) or source.name not in shardings:
        return leaf
    sharding = shardings[source.name]
    rank = len(leaf.aval.shape) if leaf.aval else 0
    return replace(leaf, sharding=replace(sharding, spec=sharding.spec[:rank]))  # without a key's words


def _is_number(leaf: AbstractLeaf) -> bool:
    return leaf.aval is not None and leaf.aval.shape == ()


def _number(value: Any) -> Value:
    import numpy as np

    array = np.asarray(value)
    return array.item() if array.dtype.name in _PYTHON_NUMBERS else array[()]


def as_keys(words: np.ndarray[Any, Any], impl: str) -> np.ndarray[Any, Any]:
    """Returns words of PRNG keys as one structured element per key."""
    import numpy as np

    keys: np.ndarray[Any, Any] = np.ascontiguousarray(words).view(dtypes.to_numpy(f"key<{impl}>"))
    return keys.reshape(words.shape[:-1])
