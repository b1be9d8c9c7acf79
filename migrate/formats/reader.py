"""The reader contract: metadata first, one leaf at a time, never a device.

`abstract()` describes the whole checkpoint without reading array bytes; `read(path)` reads one leaf. `location()` and
`extents()` let the engine read a leaf in parts or link its chunks; a reader without them has its leaves read whole.
Readers never unpickle, never follow a path out of the checkpoint, and raise `CheckpointError` with the cause and the
remedy.

A format implements `migrate.formats.base.Item`, which `CheckpointReader` makes a reader of. A third party may implement
`Reader` itself: the engine relies on nothing else, and `migrate.testing.readers` checks it.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from migrate.codes import UnknownNodeKind
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.base import Opening, Value
from migrate.formats.canonical import Unbox, canonical
from migrate.formats.digest_record import FILE, HEADER_KEY, RECORD_KEY, DigestRecord, read_record, without_digests
from migrate.formats.files import files_below, lacking, refuse_deep, unreadable
from migrate.formats.item_kinds import PYTREE, ItemKind
from migrate.formats.opaque import refuse_opaque
from migrate.formats.surroundings import Surroundings
from migrate.places.names import path_of
from migrate.source_names import source_start
from migrate.tree import AbstractTree, KeyPath

if TYPE_CHECKING:
    from migrate.formats.base import Extent, Item, Location, ModelConfig

_AT_A_TIME = 4  # leaves that are read together; within one, TensorStore itself decodes chunks on all cores


@dataclass(frozen=True)
class AbstractCheckpoint:
    """Everything about a checkpoint but its values.

    Attributes:
      path: the directory or file that was opened.
      format: the format's usual name, such as `orbax ocdbt` or `flax msgpack`.
      era: the versions that can have written it.
      step, steps: the step that was chosen, where there are steps, and every step there is.
      items: the pytrees by item name; a checkpoint that is one pytree has one, whose name is "" (a bare item directory
        or file) or the item's name in its step.
      extras, metadata: the content of the items that are JSON, by name, and the checkpoint's custom metadata.
      zarr3: whether arrays are stored as zarr version 3.
      notes: what was ignored, lost or assumed.
      problems: errors about files that lack bytes of leaves; such a checkpoint can be shown, not used.
      separator: where flat names were split into key paths; None if the format has nested names.
      locates_chunks: whether `location` finds every array with an `encoding`; otherwise a plan streams every array.
      kinds: the kinds of the items by name, where they are not pytrees.
      unread: the items of the step that are not read: those of other kinds, and those that `--item` leaves out.
      knows_config: whether the values of the record and of JSON items are known; false for the tree of a file.
      handlers: the classes that saved the items, by name, as far as they are recorded.
      others: the directories of the items of other kinds, by name; none if `--item` chooses one.
      layouts: the items of the step that are other layouts of the same state (`migrate.formats.orbax.layouts`).
      model_config: the `config.json` of the model, where it is a Hugging Face model.
      sources: the named sources beside it (`migrate.formats.joined`).
      adapter: the config of an adapter of peft; empty for other checkpoints.
    """

    path: Path
    format: str
    items: Mapping[str, AbstractTree]
    era: str = ""
    step: int | None = None
    steps: tuple[int, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    zarr3: bool = False
    notes: tuple[Diagnostic, ...] = ()
    problems: tuple[Diagnostic, ...] = ()
    separator: str | None = None
    locates_chunks: bool = False
    kinds: Mapping[str, ItemKind] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    knows_config: bool = True
    handlers: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Path] = field(default_factory=dict)
    layouts: tuple[str, ...] = ()
    model_config: ModelConfig | None = None
    sources: Mapping[str, AbstractCheckpoint] = field(default_factory=dict)
    adapter: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def tree(self) -> AbstractTree:
        """The tree that rules see: the only item, or all items below their names; with those of the named sources."""
        if self.sources:
            return AbstractTree.joined({prefix: one.tree for prefix, one in self.checkpoints.items()})
        if len(self.items) == 1:
            return next(iter(self.items.values()))
        return AbstractTree.joined({(name,): item for name, item in self.items.items()})

    @cached_property
    def checkpoints(self) -> Mapping[KeyPath, AbstractCheckpoint]:
        """The main source and the named ones, each by the start of its key paths."""
        named = {source_start(name): one for name, one in self.sources.items()}
        return {(): replace(self, sources={}) if named else self, **named}

    @property
    def concerns(self) -> tuple[Diagnostic, ...]:
        """The notes that matter for a migration; a template decides the kinds of nodes."""
        return tuple(note for note in self.notes if note.code != UnknownNodeKind.number)

    @property
    def structure_hash(self) -> str:
        """The structure hash of `tree`."""
        return self.tree.structure_hash


class Reader(abc.ABC):
    """Reads one checkpoint; safe to use from several threads; a context manager.

    Attributes:
      opening: how another process opens the same checkpoint; None where it cannot.
    """

    format: ClassVar[str]
    opening: Opening | None = None

    @abc.abstractmethod
    def abstract(self) -> AbstractCheckpoint:
        """Returns everything but the values; reads no array byte.

        Raises:
          CheckpointError: with the cause and the remedy.
        """

    @abc.abstractmethod
    def read(self, path: KeyPath) -> Value:
        """Returns one leaf's value, by its key path in `abstract().tree`.

        Typed PRNG keys are NumPy arrays of the structured dtype of `migrate.dtypes`.

        Raises:
          KeyError: there is no such leaf.
          CheckpointError: the files contradict their metadata, or the leaf is opaque (`UnsupportedLeaf`).
        """

    def location(self, path: KeyPath) -> Location | None:  # noqa: ARG002 - a reader without chunks needs no path
        """Where the chunks of an array are stored; None for a leaf that is not a zarr array.

        Raises:
          KeyError: there is no such leaf.
        """
        return None

    def extents(self, path: KeyPath) -> tuple[Extent, ...] | None:  # noqa: ARG002 - as above
        """Where the bytes of an array are stored, in order; None where they are encoded in any way.

        Raises:
          KeyError: there is no such leaf.
        """
        return None

    def checkpoints(self) -> Mapping[KeyPath, Reader]:
        """The readers of the main source and of the named ones, each by the start of its key paths."""
        return {(): self}

    def problems(self) -> tuple[Diagnostic, ...]:
        """Errors about files that lack bytes in which leaves are stored, as the files are now; no value is read.

        By default none: then a leaf whose bytes are missing fails when it is read.
        """
        return ()

    def files(self) -> Iterable[Path]:
        """The files from whose content the checkpoint is read; a run is resumed only while none of them changes.

        By default every file at or below the path of the checkpoint.
        """
        path = self.abstract().path
        return files_below(path) if path.is_dir() else [path] if path.exists() else []

    def digest_record(self) -> DigestRecord | None:
        """The digests that the checkpoint records of its own values, by stored key path; None where it records none.

        Raises:
          CheckpointError: the record is damaged (`DamagedFile`).
        """
        return None

    @property
    def digest_folder(self) -> Path | None:
        """The directory in which the digests are recorded; None for a single file."""
        return None

    def read_ahead(self, paths: Iterable[KeyPath]) -> None:  # noqa: B027 - most formats read one leaf as fast as many
        """Reads small arrays together that this thread is about to read."""

    def read_all(self) -> dict[KeyPath, Value]:
        """Returns every leaf's value by key path; several are read at once, so that all cores decode chunks.

        Opaque leaves, which cannot be read, are left out.

        Raises:
          CheckpointError: the files contradict their metadata.
        """
        from concurrent.futures import ThreadPoolExecutor

        paths = [path for path, leaf in self.abstract().tree.leaves.items() if leaf.is_readable]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return dict(zip(paths, pool.map(self.read, paths), strict=True))

    @abc.abstractmethod
    def close(self) -> None:
        """Releases files; nothing is read afterwards."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class CheckpointReader(Reader):
    """Reads the items of one checkpoint; made by `migrate.formats.detect.open_reader`."""

    format = "checkpoint"

    def __init__(
        self, path: Path, items: Mapping[str, Item], around: Surroundings | None = None, unbox: Unbox = "auto"
    ) -> None:
        self._items = dict(items)
        self._unbox: Unbox = unbox
        self._around = around or Surroundings()
        trees: dict[str, AbstractTree] = {}
        self._origin: dict[KeyPath, tuple[Item, KeyPath]] = {}
        self._locations: dict[KeyPath, Location | None] = {}
        for name, item in self._items.items():
            refuse_deep(path, item.info.tree)
            trees[name], stored = canonical(item.info.tree, unbox)
            prefix = (name,) if len(self._items) > 1 else ()
            self._origin.update({prefix + leaf: (item, place) for leaf, place in stored.items()})
        self._abstract = replace(_describe(path, self._items, trees, self._around), problems=self.problems())

    def abstract(self) -> AbstractCheckpoint:
        """Everything but the values."""
        return self._abstract

    def read(self, path: KeyPath) -> Value:
        """Returns one leaf's value, by its key path in `abstract().tree`."""
        item, stored = self._origin[path]
        refuse_opaque(path, item.info.tree.leaves[stored], self._abstract.path)
        with self._explained():
            return item.load(stored)

    def read_ahead(self, paths: Iterable[KeyPath]) -> None:
        """Reads small arrays together that this thread is about to read, as far as the items can."""
        wanted: dict[int, tuple[Item, list[KeyPath]]] = {}
        for path in paths:
            item, stored = self._origin[path]
            wanted.setdefault(id(item), (item, []))[1].append(stored)
        with self._explained():
            for item, leaves in wanted.values():
                item.read_ahead(leaves)

    def location(self, path: KeyPath) -> Location | None:
        """Where the chunks of an array are stored; None for a leaf that is not a zarr array.

        Raises:
          KeyError: there is no such leaf.
        """
        known = self._locations
        if path not in known:
            item, stored = self._origin[path]
            try:
                known[path] = item.location(stored)
            except OSError as error:
                raise self._unreadable(error) from error
        return known[path]

    def extents(self, path: KeyPath) -> tuple[Extent, ...] | None:
        """Where the bytes of an array are stored, in order; None where they are encoded in any way.

        Raises:
          KeyError: there is no such leaf.
        """
        item, stored = self._origin[path]
        return item.extents(stored)

    def problems(self) -> tuple[Diagnostic, ...]:
        """Errors about files of the items that lack bytes in which leaves are stored."""
        return tuple(problem for item in self._items.values() for problem in self._problems(item))

    def _problems(self, item: Item) -> Iterable[Diagnostic]:
        try:
            found = list(item.defects())
        except CheckpointError as error:
            return error.diagnostics
        if not found:
            return ()
        names = {stored: path for path, (owner, stored) in self._origin.items() if owner is item}
        return [lacking(defect, [names[stored] for stored in defect.leaves if stored in names]) for defect in found]

    def files(self) -> Iterable[Path]:
        """The files of the items and of their surroundings, each once."""
        with self._explained():
            return dict.fromkeys((*self._around.files, *(f for item in self._items.values() for f in item.files())))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns a failure of the file system into an error about the checkpoint."""
        try:
            yield
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> CheckpointError:
        return unreadable(path_of(str(error.filename or self._abstract.path)), error)

    @property
    def digest_folder(self) -> Path | None:
        """The directory with the digests of its values; None for a single file, which has them in its header."""
        return self._around.digests or self._around.folder

    @property
    def folder(self) -> Path | None:
        """The directory of the step or item; None for a single file."""
        return self._around.folder

    def only_item(self) -> CheckpointReader:
        """Returns a reader of the only item of a step as a checkpoint of its own: without JSON items and own files."""
        (name,) = self._items
        assert self._around.folder is not None
        around = replace(self._around, extras={}, notes=(), files=(), layouts=())
        return CheckpointReader(self._around.folder / name, self._items, around, self._unbox)

    @property
    def digest_file(self) -> Path | None:
        """The file for the digests of a directory; None for a single file."""
        return self.digest_folder / FILE if self.digest_folder else None

    def digest_record(self) -> DigestRecord | None:
        """The digests that the directory or the header of its files records; None where there are none.

        Raises:
          CheckpointError: the record is damaged (`DamagedFile`).
        """
        header = next(iter(self._items.values())).info.metadata.get(HEADER_KEY) if self._items else None
        if isinstance(header, str):
            return DigestRecord.from_text(header, self._abstract.path)
        return read_record(self.digest_file) if self.digest_file else None

    def close(self) -> None:
        """Releases files."""
        for item in self._items.values():
            item.close()


def _without_record(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item's metadata without migrate's record, which describes the item and not its step."""
    return {key: value for key, value in metadata.items() if key != RECORD_KEY}


def _describe(
    path: Path, items: Mapping[str, Item], trees: Mapping[str, AbstractTree], around: Surroundings
) -> AbstractCheckpoint:
    infos = [item.info for item in items.values()]
    metadata = dict(around.metadata)
    for info in infos:
        is_whole = len(infos) == 1 and RECORD_KEY not in around.metadata
        metadata.update(without_digests(info.metadata) if is_whole else _without_record(info.metadata))
    return AbstractCheckpoint(
        path=path,
        format=", ".join(dict.fromkeys(info.format for info in infos)) or "orbax json",
        items=dict(trees),
        era=", ".join(dict.fromkeys(info.era for info in infos if info.era)),
        step=around.step,
        steps=around.steps,
        extras=around.extras,
        metadata=metadata,
        zarr3=any(info.zarr3 for info in infos),
        notes=(*around.notes, *(note for info in infos for note in info.notes)),
        separator=next((info.separator for info in infos if info.separator is not None), None),
        locates_chunks=True,
        kinds={name: item.info.kind for name, item in items.items() if item.info.kind != PYTREE},
        unread=around.unread,
        handlers=around.handlers,
        others=around.others,
        layouts=around.layouts,
        model_config=next((info.model_config for info in infos if info.model_config is not None), None),
        adapter=next((info.adapter for info in infos if info.adapter), {}),
    )
