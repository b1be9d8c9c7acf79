"""Relinking: arrays whose bytes do not change are taken over by reference.

The data files of the source's database are linked below the staging store, and one transaction gives their chunks new
keys there: an entry of an OCDBT B-tree says in which file a value lies, and only entries are written. Array metadata
is written anew, since the shape may differ. No chunk is read, decoded or encoded; the cost is the number of leaves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.codes import M403, M505
from migrate.engine.layout import ItemPlan
from migrate.engine.links import link_file
from migrate.engine.references import Reference, references, same_reference
from migrate.engine.staged_array import StagedArray, stored_name
from migrate.errors import CheckpointError, Diagnostic, VerifyError
from migrate.formats.item import Location
from migrate.ops.chunked import Chunked
from migrate.planning.model import Plan, Task
from migrate.planning.relink import chunk_moves
from migrate.tree import AbstractArray, AbstractLeaf, KeyPath, format_path

LINKED = "linked"
"""What stands in the place of a digest for an array whose bytes were not read."""

_OCDBT = {"max_inline_value_bytes": 1024, "max_decoded_node_bytes": 100_000_000, "manifest_kind": "single"}


class Locating(Protocol):
    """A reader that says where arrays lie."""

    def location(self, path: KeyPath) -> Location | None:
        """Where the chunks of an array lie; None where they are not zarr chunks."""


@dataclass(frozen=True, slots=True)
class Link:
    """One array of the target that is made of chunks of the source.

    Attributes:
      path: its key path in the target.
      item: the item that it belongs to.
      leaf: the target's leaf.
      made: which chunks it is made of.
      places: where the task's sources lie.
    """

    path: KeyPath
    item: ItemPlan
    leaf: AbstractLeaf
    made: Chunked
    places: tuple[Location, ...]

    @property
    def name(self) -> str:
        """Its stored name."""
        return stored_name(self.item.inner(self.path), self.leaf)

    @property
    def words(self) -> tuple[int, ...]:
        """The dimension of a typed key's words, which is stored but is none of the array's; else nothing."""
        impl = dtypes.key_impl(self.leaf.aval.dtype) if self.leaf.aval else None
        return (dtypes.KEY_WORDS[impl],) if impl else ()

    def moves(self) -> Iterator[tuple[Location, str, str]]:
        """Every chunk: the place of its array, its key there, and its key in the target."""
        tail = (0,) * len(self.words)
        for block in self.made.blocks:
            place = self.places[block.array]
            for origin, target in block.moves():
                yield (
                    place,
                    f"{place.prefix}{_chunk_key((*origin, *tail), place.driver)}",
                    f"{self.name}/{_chunk_key((*target, *tail), place.driver)}",
                )


@dataclass(frozen=True, slots=True)
class Linked:
    """What relinking left in the staging stores.

    Attributes:
      arrays: the arrays that were linked, by target key path.
      files: how many data files were linked.
      nbytes: stored bytes of their chunks.
      dead_bytes: bytes of linked files that no chunk needs: they belong to arrays that were dropped or rewritten.
    """

    arrays: Mapping[KeyPath, StagedArray]
    files: int = 0
    nbytes: int = 0
    dead_bytes: int = 0


def find_links(plan: Plan, reader: Locating, items: Mapping[KeyPath, ItemPlan]) -> tuple[Link, ...]:
    """Every array that the plan relinks."""
    return tuple(link for task in plan.tasks if task.mode == "relink" for link in _links_of(task, plan, reader, items))


def _links_of(task: Task, plan: Plan, reader: Locating, items: Mapping[KeyPath, ItemPlan]) -> Iterator[Link]:
    made = chunk_moves(task, plan.source.tree, plan.target)
    places = [place for path in task.sources if (place := reader.location(path))]
    assert made is not None
    assert len(places) == len(task.sources)
    for path, chunked in zip(task.targets, made, strict=True):
        yield Link(path, items[path], plan.target.leaves[path], chunked, tuple(places))


def relink(links: Sequence[Link], stores: Mapping[str, Path]) -> Linked:
    """Links what the arrays need into the staging stores of their items.

    Args:
      links: from `find_links`.
      stores: the directory of each item's staging store; it may not exist yet.

    Raises:
      CheckpointError: the source lacks a chunk (M403).
    """
    parts = []
    for name, store in stores.items():
        mine = [link for link in links if link.item.name == name]
        if mine:
            parts.append(_relink_into(store, mine))
    return Linked(
        {path: array for part in parts for path, array in part.arrays.items()},
        files=sum(part.files for part in parts),
        nbytes=sum(part.nbytes for part in parts),
        dead_bytes=sum(part.dead_bytes for part in parts),
    )


def _relink_into(store: Path, links: Sequence[Link]) -> Linked:
    bases = list(dict.fromkeys(place.base for link in links for place in link.places))
    folders = {base: store / f"source_{number}" for number, base in enumerate(bases)}
    for base, folder in folders.items():
        _link_database(base, folder)
    _rekey(store, links, folders)
    found = references(store)
    _refuse_missing(links, found)
    files, size = _prune(store, folders.values(), found)
    used = sum(r.length for link in links for _, _, key in link.moves() if (r := found[key]).inline is None)
    return Linked({link.path: _staged(link) for link in links}, files, used, max(size - used, 0))


def _link_database(base: Path, folder: Path) -> None:
    """Links the files of an OCDBT database, those of its processes included, and nothing else of the checkpoint."""
    parts = [base / "manifest.ocdbt", *base.glob("d/*")]
    for process in base.glob("ocdbt.process_*"):
        parts += [path for path in process.rglob("*") if path.is_file()]
    for path in parts:
        target = folder / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            link_file(path, target)


def _rekey(store: Path, links: Sequence[Link], folders: Mapping[Path, Path]) -> None:
    """One transaction that gives every chunk its new key and every array its metadata."""
    context = ts.Context()  # copying by reference needs both databases in one context, the source below the target
    target = _open(store, context, config=_OCDBT, assume_config=True)
    sources = {base: _open(folder, context) for base, folder in folders.items()}
    transaction = ts.Transaction(atomic=True)
    writing = target.with_transaction(transaction)
    only = ts.KvStore.KeyRange("", "\0")
    metadata = [sources[link.places[0].base].read(_metadata_key(link.places[0])) for link in links]
    pending: list[Any] = [
        (sources[place.base] / key).experimental_copy_range_to(writing / new, source_range=only)
        for link in links
        for place, key, new in link.moves()
    ]
    for link, content in zip(links, metadata, strict=True):
        key = f"{link.name}/{_metadata_key(link.places[0]).removeprefix(link.places[0].prefix)}"
        pending.append(writing.write(key, _metadata(link, content.result().value)))
    for request in pending:
        request.result()
    transaction.commit_async().result()


def _open(directory: Path, context: Any, **options: Any) -> Any:
    base = {"driver": "file", "path": f"{directory}/"}
    return ts.KvStore.open({"driver": "ocdbt", "base": base, **options}, context=context).result()


def _metadata_key(place: Location) -> str:
    return f"{place.prefix}{'zarr.json' if place.driver == 'zarr3' else '.zarray'}"


def _chunk_key(index: Sequence[int], driver: str) -> str:
    if driver == "zarr3":
        return "/".join(("c", *map(str, index)))
    return ".".join(map(str, index)) or "0"


def _metadata(link: Link, content: bytes) -> bytes:
    """The array's own metadata: that of its first source with this shape and these chunks."""
    fields = json.loads(content)
    made, words = link.made, link.words
    fields["shape"] = [*made.shape, *words]
    if link.places[0].driver == "zarr2":
        return json.dumps({**fields, "chunks": [*made.chunks, *words]}).encode()
    fields["chunk_grid"]["configuration"]["chunk_shape"] = [*made.chunks, *words]
    if made.inner is not None:
        fields["codecs"][0]["configuration"]["chunk_shape"] = [*made.inner, *words]
    fields.pop("dimension_names", None)
    return json.dumps(fields).encode()


def _refuse_missing(links: Sequence[Link], found: Mapping[str, Reference]) -> None:
    lost = [link.path for link in links if any(key not in found for _, _, key in link.moves())]
    if lost:
        names = ", ".join(f"`{format_path(path)}`" for path in lost[:5])
        raise CheckpointError(
            M403.at(
                f"the source lacks chunks of {names}" + (f" and {len(lost) - 5} more" if len(lost) > 5 else ""),
                paths=map(format_path, lost),
                help="copy the checkpoint again, or take another step",
            )
        )


def _prune(store: Path, folders: Any, found: Mapping[str, Reference]) -> tuple[int, int]:
    """Unlinks every linked file that holds no chunk of the new arrays; counts the others and their bytes."""
    needed = {reference.file for reference in found.values() if reference.inline is None}
    kept = size = 0
    for path in [path for folder in folders for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(store).as_posix() in needed:
            kept, size = kept + 1, size + path.stat().st_size
        else:
            path.unlink()
    for folder in folders:
        _remove_empty(folder)
    return kept, size


def _remove_empty(folder: Path) -> None:
    for child in [child for child in folder.iterdir() if child.is_dir()]:
        _remove_empty(child)
    if not any(folder.iterdir()):
        folder.rmdir()


def _staged(link: Link) -> StagedArray:
    aval = link.leaf.aval
    assert isinstance(aval, AbstractArray)
    impl = dtypes.key_impl(aval.dtype)
    sharding = link.leaf.sharding if link.leaf.sharding and link.leaf.sharding.placed else None
    return StagedArray(
        name=link.name,
        shape=(*aval.shape, *link.words),
        dtype=np.dtype(np.uint32) if impl else dtypes.to_numpy(aval.dtype),
        write_shape=(*link.made.chunks, *link.words),
        chunk_shape=(*(link.made.inner or link.made.chunks), *link.words),
        key_impl=dtypes.KEY_IMPLS[impl] if impl else None,
        digest=LINKED,
        sharding=sharding,
    )


def check_links(links: Sequence[Link], destination: Path) -> int:
    """Proves that linked arrays are the source's: every chunk's entry in DST against that in SRC, and the metadata.

    Returns:
      The number of arrays that were compared.

    Raises:
      VerifyError: an entry is missing or refers to other bytes (M505).
    """
    problems: list[Diagnostic] = []
    bases = {place.base for link in links for place in link.places}
    known = {base: references(base) for base in bases}
    for name in dict.fromkeys(link.item.name for link in links):
        mine = [link for link in links if link.item.name == name]
        directory = mine[0].item.directory(destination)
        found = references(directory)
        for link in mine:
            problems += _link_problems(link, known, found, directory)
        problems += _metadata_problems(mine, directory)
    if problems:
        raise VerifyError(*problems[:20])
    return len(links)


def _metadata_problems(links: Sequence[Link], directory: Path) -> Iterator[Diagnostic]:
    """Array metadata in DST against that in SRC with the new shape: codec, fill value and dtype have to be the same."""
    context = ts.Context()
    target = _open(directory, context)
    sources = {base: _open(base, context) for base in {place.base for link in links for place in link.places}}
    for link in links:
        place = link.places[0]
        wanted = sources[place.base].read(_metadata_key(place)).result().value
        found = target.read(f"{link.name}/{_metadata_key(place).removeprefix(place.prefix)}").result().value
        if json.loads(found or b"null") != json.loads(_metadata(link, wanted)):
            yield M505.at(
                f"`{format_path(link.path)}`: its array metadata is not that of the source",
                paths=[format_path(link.path)],
            )


def _link_problems(
    link: Link, known: Mapping[Path, Mapping[str, Reference]], found: Mapping[str, Reference], directory: Path
) -> Iterator[Diagnostic]:
    for place, key, new in link.moves():
        source, target = known[place.base].get(key), found.get(new)
        if source is None or target is None or not same_reference(source, place.base, target, directory):
            yield M505.at(
                f"`{format_path(link.path)}`: chunk `{new}` does not refer to the bytes of `{key}` in the source",
                paths=[format_path(link.path)],
            )
            return
