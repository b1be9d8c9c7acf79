"""The digests that a checkpoint records of its own values, as a tree: blocks, leaves, and one root over all leaves.

A block is 16 MiB of the little-endian bytes of a leaf in C order, so digests do not depend on chunks or compression,
and a leaf keeps them when it is renamed. `docs/receipt.md` describes the format; `docs/check_receipt.py` checks it
without migrate.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from migrate.codes import DamagedFile
from migrate.errors import CheckpointError
from migrate.formats.files import children, is_dir, is_file, read_file
from migrate.tree import KeyPath

FILE = "migrate_digests.json"
"""The name of the file in the directory of a checkpoint."""

RECORD_KEY = "migrate"
"""The key of a checkpoint's record of itself (`migrate.metadata`) in its custom metadata."""

HEADER_KEY = "migrate.digests"
"""The key of the record in the metadata of a safetensors file."""

BLOCK_BYTES = 16 << 20
"""The size of a block."""

BLOCK_DIGITS = 40
"""The length of a block's digest: 8 hex digits of its CRC-32, then 32 of its XXH3-128."""

_XXH3_DIGITS = 32

VERSION = 1

Blocks = tuple[str, ...]
"""The digests of the blocks of one leaf, in order."""


@dataclass(frozen=True, slots=True)
class LeafDigests:
    """The record of one leaf.

    Attributes:
      type: shape and dtype, or the kind of a leaf without data, as `str(AbstractLeaf)`.
      blocks: the digests of its blocks; None where no byte of the leaf was decoded when the record was made.
      stored: the item and the name under which an array is stored; None for leaves that are not arrays.
    """

    type: str
    blocks: Blocks | None
    stored: tuple[str, str] | None = None

    @property
    def digest(self) -> str | None:
        """`sha256:` over type and blocks; equal for equal values under any name. None without blocks."""
        return None if self.blocks is None else _sha256([self.type, self.blocks])


@dataclass(frozen=True)
class DigestRecord:
    """The record of a whole checkpoint.

    Attributes:
      leaves: the record of each leaf, by stored key path.
      sequences: the nodes that are lists or tuples.
      items: how the arrays of each item are stored: `{"zarr_format": 3, "ocdbt": true}`.
      files: `sha256:` of each small file beside the arrays of a directory, by its path (`small_files`). While a file is
        replaced, there are two, of which one is right; `absent` stands for no file.
    """

    leaves: Mapping[KeyPath, LeafDigests]
    sequences: Sequence[KeyPath] = ()
    items: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def undigested(self) -> tuple[KeyPath, ...]:
        """The leaves without digests."""
        return tuple(path for path, leaf in self.leaves.items() if leaf.blocks is None)

    @cached_property
    def digests(self) -> Mapping[KeyPath, str | None]:
        """The digest of each leaf. Many leaves can have one value, as before they are staged: it is hashed once."""
        known: dict[tuple[str, Blocks | None], str | None] = {}
        found: dict[KeyPath, str | None] = {}
        for path, leaf in self.leaves.items():
            value = leaf.type, leaf.blocks
            if value not in known:
                known[value] = leaf.digest
            found[path] = known[value]
        return found

    @property
    def root(self) -> str:
        """`sha256:` over the whole record."""
        digests = self.digests
        found = hashlib.sha256(f"{_text([VERSION, BLOCK_BYTES, self.items, self.sequences])[:-1]},[".encode())
        for at, (path, leaf) in enumerate(self.leaves.items()):  # one by one: all rows together take much memory
            found.update(f"{',' if at else ''}{_text([path, digests[path], leaf.type, leaf.stored])}".encode())
        found.update((f"],{_text(self.files)}]" if self.files else "]]").encode())
        return f"sha256:{found.hexdigest()}"

    def without_items(self, names: Collection[str]) -> DigestRecord:
        """Returns the record of a step of several items without some of them."""
        return replace(
            self,
            leaves={path: leaf for path, leaf in self.leaves.items() if path[0] not in names},
            sequences=[path for path in self.sequences if path[:1] and path[0] not in names],
            items={place: form for place, form in self.items.items() if place.split("/")[0] not in names},
            files={name: digest for name, digest in self.files.items() if name.split("/")[0] not in names},
        )

    def below(self, item: str) -> DigestRecord:
        """Returns the record of one pytree as that of an item of a step."""
        leaves = {(item, *path): _below(item, leaf) for path, leaf in self.leaves.items()}
        return DigestRecord(
            leaves,
            [(item, *path) for path in self.sequences],
            dict.fromkeys([item], next(iter(self.items.values()), {})),
            {f"{item}/{name}": digest for name, digest in self.files.items()},
        )

    def joined(self, other: DigestRecord) -> DigestRecord:
        """Returns the record of the items of both records."""
        sequences = [*self.sequences, *other.sequences]
        files = {**self.files, **other.files} if self.files else {}
        return DigestRecord({**self.leaves, **other.leaves}, sequences, {**self.items, **other.items}, files)

    def to_text(self) -> str:
        """Returns the record as JSON, one leaf a line."""
        head = {"version": VERSION, "block_bytes": BLOCK_BYTES, "root": self.root, "items": self.items}
        lines = [_text(_row(path, leaf, self.digests[path])) for path, leaf in self.leaves.items()] or [""]
        nodes, files = _text(self.sequences), _text(self.files)
        lines[0] = f'{_text(head)[:-1]},"sequences":{nodes},"files":{files},"leaves":[\n{lines[0]}'
        lines[-1] += "\n]}\n"
        return ",\n".join(lines)

    @classmethod
    def from_text(cls, text: str | bytes, file: Path) -> DigestRecord:
        """Returns the record that `to_text` returned.

        Raises:
          CheckpointError: it is damaged: not every digest is that of its parts (`DamagedFile`).
        """
        try:
            content = json.loads(text)
            version = content["version"]
            leaves = {tuple(row["path"]): _leaf(row) for row in content["leaves"]}
            sequences = tuple(map(tuple, content["sequences"]))
            found = cls(leaves, sequences, content["items"], content.get("files", {}))
            digests = zip(found.digests.values(), content["leaves"], strict=True)
            kept = all(digest == row["digest"] for digest, row in digests)
            intact = kept and content["block_bytes"] == BLOCK_BYTES and content["root"] == found.root
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(file, f"it is not a record of digests ({type(error).__name__}: {error})") from error
        if version != VERSION or not intact:
            reason = "its root is not that of its leaves" if version == VERSION else f"its version is {version!r}"
            raise _damaged(file, reason)
        return found


def unequal_blocks(recorded: Blocks, found: Blocks) -> Sequence[int]:
    """Returns the blocks whose XXH3-128 differs."""
    pairs = enumerate(itertools.zip_longest(recorded, found, fillvalue=""))
    return [at for at, (one, other) in pairs if one[-_XXH3_DIGITS:] != other[-_XXH3_DIGITS:]]


def small_files(folder: Path) -> dict[str, str]:
    """Returns `sha256:` of each small file beside the arrays of a checkpoint or a step, by its path below it.

    They decide how a library restores the arrays: `_METADATA`, `_sharding`, JSON items and the like.

    Raises:
      CheckpointError: a file cannot be read.
    """
    places = [folder, *(child for child in children(folder) if is_dir(child))]
    places += [child for place in places[1:] if is_dir(child := place / "array_metadatas")]
    found = [file for place in places for file in children(place) if is_file(file) and _is_small(file)]
    return {str(file.relative_to(folder)): _of_bytes(read_file(file)) for file in found}


def changed_files(record: DigestRecord, folder: Path | None) -> list[str]:
    """Returns the small files of a directory that are not as its record has them; none where it has no files.

    Raises:
      CheckpointError: a file cannot be read.
    """
    if not record.files:
        return []
    found = small_files(folder) if folder else {}
    names = sorted({*record.files, *(name for name in found if not _has_own_record(folder, name))})
    return [name for name in names if found.get(name, _ABSENT) not in record.files.get(name, _ABSENT).split()]


def _has_own_record(folder: Path | None, name: str) -> bool:
    """Returns whether a small file belongs to an item that records its digests in its own directory."""
    item, slash, _ = name.partition("/")
    return bool(slash) and folder is not None and is_file(folder / item / FILE)


def either_file(record: DigestRecord, name: str, text: str) -> DigestRecord:
    """Returns a record with which a small file agrees before and after it is replaced by a text."""
    known = record.files.get(name, _ABSENT)
    return replace(record, files={**record.files, name: f"{known} {_of_bytes(text.encode())}"})


_ABSENT = "absent"


def _of_bytes(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _is_small(file: Path) -> bool:
    return file.name in _SMALL or (file.parent.name == "array_metadatas" and file.name.startswith("process_"))


_SMALL = ("_METADATA", "_sharding", "_strings.json", "_CHECKPOINT_METADATA", "metadata", "metrics", "data.json")


def read_record(file: Path) -> DigestRecord | None:
    """Returns the record in a file of a checkpoint; None where there is no such file.

    Raises:
      CheckpointError: it is damaged (`DamagedFile`).
    """
    return DigestRecord.from_text(read_file(file), file) if is_file(file) else None


def without_digests(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns custom metadata without the record of digests, which describes one file and no other."""
    return {key: value for key, value in metadata.items() if key != HEADER_KEY}


def blocks_of(nbytes: int) -> Iterable[range]:
    """Returns the byte ranges of the blocks of a leaf."""
    return (range(at, min(at + BLOCK_BYTES, nbytes)) for at in range(0, nbytes, BLOCK_BYTES))


def _row(path: KeyPath, leaf: LeafDigests, digest: str | None) -> dict[str, Any]:
    row = {"path": path, "type": leaf.type, "digest": digest, "blocks": leaf.blocks}
    return row if leaf.stored is None else {**row, "stored": leaf.stored}


def _below(item: str, leaf: LeafDigests) -> LeafDigests:
    return replace(leaf, stored=(item, leaf.stored[1])) if leaf.stored else leaf


def _leaf(row: Mapping[str, Any]) -> LeafDigests:
    blocks, stored = row["blocks"], row.get("stored")
    return LeafDigests(row["type"], None if blocks is None else tuple(blocks), stored and (stored[0], stored[1]))


_text = json.JSONEncoder(separators=(",", ":")).encode


def _sha256(value: Any) -> str:
    return _of_bytes(_text(value).encode())


def _damaged(file: Path, why: str) -> CheckpointError:
    return CheckpointError(
        DamagedFile.at(
            f"the digests in `{file}` are damaged: {why}",
            help="copy the checkpoint again; without an intact copy, changes since the migration cannot be found",
        )
    )
