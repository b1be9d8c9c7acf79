"""One pytree on disk, under the key paths that it is stored with: what each format provides.

A checkpoint has one item or several. Steps, item names, canonical key paths and the metadata of steps are handled by
`migrate.formats.reader` and `migrate.formats.detect`, in the same way for every format.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from migrate.formats.item_kinds import PYTREE, ItemKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from migrate.errors import Diagnostic
    from migrate.formats.canonical import Unbox
    from migrate.tree import AbstractTree, KeyPath


Value = Any
"""A leaf's value: a NumPy array for `array`; a Python or NumPy number for `scalar`; str; None for the other kinds."""


class StoredValues(Protocol):
    """The small values of a key-value store."""

    def get(self, key: str) -> bytes | None:
        """Returns a small value; None for others, and for those that cannot be read."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an array's chunks are stored, so that they can be read in parts or moved without decoding.

    Attributes:
      base: the directory: the root of an OCDBT database, or the folder in which parameters are subfolders.
      ocdbt: whether `base` is an OCDBT database.
      name: the parameter's name.
      driver: `zarr2` or `zarr3`.
      fill_missing: whether a chunk that is not stored means zeros.
      key_impl: the implementation of a typed PRNG key, whose stored array has one more dimension of words.
      values: the values of the store, which the open checkpoint reads once for all arrays; None where it has none.
    """

    base: Path
    ocdbt: bool
    name: str
    driver: Literal["zarr2", "zarr3"]
    fill_missing: bool
    key_impl: str | None = None
    values: StoredValues | None = field(default=None, compare=False, repr=False)

    @property
    def prefix(self) -> str:
        """The prefix of the parameter's keys, relative to `base`."""
        return key_prefix(self.name)


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of a file that holds elements of an array: little-endian, in C order, without any encoding."""

    file: Path
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Defect:
    """A file that lacks bytes in which leaves are stored.

    Attributes:
      file: the file, or the directory of a database whose index lacks chunks.
      leaves: the leaves, by their stored key paths.
      size: its size in bytes; None if it is missing.
      needed: the least size in bytes that holds all of these leaves; None if it has to have chunks that it lacks.
    """

    file: Path
    leaves: tuple[KeyPath, ...]
    size: int | None = None
    needed: int | None = None


def key_prefix(name: str) -> str:
    """The prefix of a parameter's keys; a tree that is one bare leaf has a parameter without a name."""
    return f"{name}/" if name else ""


@dataclass(frozen=True)
class ModelConfig:
    """The configuration of a Hugging Face model, which states beside its tensors what shapes do not show.

    Attributes:
      file: its file.
      content: its values; empty if the file cannot be read.
      problem: why the file cannot be read; empty if it can.
    """

    file: Path
    content: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class ItemInfo:
    """Everything about an item but its values; the key paths of `tree` are those on disk.

    Attributes:
      separator: where flat names were split into key paths; None if the format has nested names.
      model_config: the configuration beside the tensors of a Hugging Face model; None where there is none.
      adapter: the config of an adapter of peft; empty for other items.
    """

    format: str
    tree: AbstractTree
    era: str = ""
    zarr3: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    kind: ItemKind = PYTREE
    separator: str | None = None
    model_config: ModelConfig | None = None
    adapter: Mapping[str, Any] = field(default_factory=dict)


class Item(abc.ABC):
    """One pytree on disk; safe to use from several threads."""

    info: ItemInfo

    @abc.abstractmethod
    def load(self, stored: KeyPath) -> Value:
        """Returns one leaf's value, by its stored key path, which is in `info.tree`.

        Raises:
          CheckpointError: the files contradict their metadata.
        """

    def read_ahead(self, stored: Iterable[KeyPath]) -> None:  # noqa: B027 - most formats read one leaf as fast as many
        """Reads small arrays together that this thread is about to load."""

    @abc.abstractmethod
    def files(self) -> Iterable[Path]:
        """The files from whose content the item is read, each once; no other file affects its tree or values."""

    def location(self, stored: KeyPath) -> Location | None:  # noqa: ARG002 - a format without chunks needs no path
        """Where the chunks of an array are stored; None for leaves that are not zarr arrays."""
        return None

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:  # noqa: ARG002 - as above
        """Where the bytes of an array are stored, in order; None where they are encoded in any way."""
        return None

    def defects(self) -> Iterable[Defect]:
        """The files that lack bytes in which leaves are stored, by the sizes of files; no value is read.

        Formats whose constructor compares the size of the file with its header have none.

        Raises:
          CheckpointError: an index of the item is damaged.
        """
        return ()

    def close(self) -> None:  # noqa: B027 - most formats hold nothing open
        """Releases files."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The arguments with which another process opens the same checkpoint; see `migrate.formats.detect.open_reader`.

    `sources` has those of the named sources; `migrate.formats.joined.reopened` opens all of them.
    """

    path: str
    step: int | None = None
    item: str | None = None
    unbox: Unbox = "auto"
    follow_links: bool = False
    separator: str | None = None
    sources: Mapping[str, Opening] = field(default_factory=dict)
