"""One pytree on disk, under the key paths that it is stored with: what each format's own file provides.

A checkpoint is one item or several; steps, names, canonical key paths and metadata from above are the business of
`migrate.formats.reader`, the same for every format.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from migrate.errors import Diagnostic
    from migrate.tree import AbstractTree, KeyPath


Value = Any
"""A leaf's value: a NumPy array for `array`; a Python or NumPy number for `scalar`; str; None for the rest."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an array's chunks lie, for those who move them without decoding.

    Attributes:
      base: the directory: the root of an OCDBT database, or the folder in which parameters are subfolders.
      ocdbt: whether `base` is an OCDBT database.
      name: the parameter's name.
      driver: `zarr2` or `zarr3`.
      fill_missing: whether a chunk that is not stored means zeros.
      key_impl: the implementation of a typed PRNG key, whose stored array has one more dimension of words.
    """

    base: Path
    ocdbt: bool
    name: str
    driver: Literal["zarr2", "zarr3"]
    fill_missing: bool
    key_impl: str | None = None

    @property
    def prefix(self) -> str:
        """What the parameter's keys begin with, below `base`."""
        return key_prefix(self.name)


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a file that are elements of an array as they are: little-endian, in C order, not encoded."""

    file: Path
    offset: int
    nbytes: int


def key_prefix(name: str) -> str:
    """What the keys of a parameter begin with; a tree that is one bare leaf has a parameter without a name."""
    return f"{name}/" if name else ""


@dataclass(frozen=True)
class ItemInfo:
    """What an item says about itself; the key paths of `tree` are those on disk."""

    format: str
    tree: AbstractTree
    era: str = ""
    zarr3: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()


class Item(abc.ABC):
    """One pytree on disk; safe to use from several threads."""

    info: ItemInfo

    @abc.abstractmethod
    def load(self, stored: KeyPath) -> Value:
        """One leaf's value, by its stored key path, which is in `info.tree`.

        Raises:
          CheckpointError: the files do not hold what the metadata says.
        """

    def location(self, stored: KeyPath) -> Location | None:  # noqa: ARG002 - formats without chunks have no use for it
        """Where the chunks of an array lie; None where they are not zarr chunks."""
        return None

    def extents(self, stored: KeyPath) -> tuple[Extent, ...] | None:  # noqa: ARG002 - as above
        """Where the bytes of an array lie, one part after another; None where they are encoded in any way."""
        return None

    def release(self) -> None:  # noqa: B027 - most formats keep nothing
        """Let go of memory that holds what can be read again."""

    def close(self) -> None:  # noqa: B027 - most formats hold nothing open
        """Release files."""
