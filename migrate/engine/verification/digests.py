"""Verifies streamed leaves: each is read back, and its digest compared with the digest of what was written."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from migrate import dtypes
from migrate.engine.linking.link import Link
from migrate.engine.verification.chunk_places import ChunkFiles
from migrate.engine.verification.findings import differs, refuse, report, structure_problems
from migrate.engine.verification.stored_digests import UndecodableArray, decoded_arrays, stored_digests, undecodable
from migrate.events import Listener, ignore
from migrate.formats.base import Location
from migrate.formats.detect import open_reader
from migrate.formats.digest_record import Blocks
from migrate.formats.zarr.metadata import chunk_key, parse_chunk_key
from migrate.formats.zarr.small_arrays import SMALL_BYTES
from migrate.planning.model import Plan
from migrate.tree import AbstractLeaf, KeyPath, stored_path


def verify_digests(
    plan: Plan,
    destination: Path,
    digests: Mapping[KeyPath, str],
    *,
    max_ram: int = 2 << 30,
    jobs: int | None = None,
    listener: Listener = ignore,
) -> int:
    """Reads arrays of DST and compares each with the digest that was computed when it was written.

    Args:
      plan: the plan.
      destination: the written checkpoint.
      digests: the arrays to read, with their digests, by target key path.
      max_ram: host bytes in memory at once.
      jobs: number of arrays that are read at once (default: the number of CPUs).
      listener: receives an event for every array, one event at a time.

    Returns:
      The number of compared arrays.

    Raises:
      VerifyError: arrays differ, or leaves are missing or unexpected (`VerificationFailed`).
      CheckpointError: a chunk is missing or damaged.
    """
    locations, largest, small = _stored_arrays(plan, destination, digests)
    differing: set[KeyPath] = set()
    jobs = jobs or os.cpu_count() or 1
    for path, found in stored_digests(locations, largest_chunk=largest, max_ram=max_ram, jobs=jobs, small=small):
        if str(found) != digests[path]:
            differing.add(path)
        report([path], plan, listener)
    refuse(differs(path, "its digest is not that of what was written") for path in digests if path in differing)
    return len(digests)


def decode_links(
    plan: Plan,
    destination: Path,
    links: Sequence[Link],
    *,
    max_ram: int = 2 << 30,
    jobs: int | None = None,
    listener: Listener = ignore,
) -> Mapping[KeyPath, Blocks]:
    """Decodes every chunk of the linked arrays of DST once, so that TensorStore checks every checksum.

    Args:
      plan: the plan.
      destination: the written checkpoint.
      links: its linked arrays.
      max_ram: host bytes in memory at once.
      jobs: number of arrays that are decoded at once (default: the number of CPUs).
      listener: receives an event for every array, one event at a time.

    Returns:
      The digests of the blocks of each array.

    Raises:
      CheckpointError: a chunk cannot be decoded; the message names the leaf, the chunk and the file of the source.
    """
    of_path = {link.path: link for link in links}
    locations, largest, small = _stored_arrays(plan, destination, of_path)
    jobs = jobs or os.cpu_count() or 1
    digests: dict[KeyPath, Blocks] = {}
    files = ChunkFiles()
    for path, found in decoded_arrays(locations, largest_chunk=largest, max_ram=max_ram, jobs=jobs, small=small):
        if isinstance(found, UndecodableArray):
            raise undecodable(path, _in_source(of_path[path], found), files)
        digests[path] = found.blocks
        report([path], plan, listener)
    return digests


def _in_source(link: Link, found: UndecodableArray) -> UndecodableArray:
    """Returns the same failure with the location of the chunk in the source, which stays when DST is discarded."""
    if found.index is None:
        return replace(found, location=link.locations[0])
    target = f"{link.prefix}{chunk_key(found.index, found.location.driver)}"
    for location, key, new in link.moves():
        if new == target:
            return replace(found, location=location, index=parse_chunk_key(key.removeprefix(location.prefix)))
    return found


def _stored_arrays(
    plan: Plan, destination: Path, paths: Iterable[KeyPath]
) -> tuple[Mapping[KeyPath, Location], int, Collection[KeyPath]]:
    """Returns the locations of arrays in DST, the host bytes of the largest part that is decoded whole, and small ones.

    Raises:
      VerifyError: leaves are missing or unexpected, or differ in shape or dtype.
    """
    reader = open_reader(destination, unbox="never")
    with reader:
        refuse(structure_problems(plan, reader.abstract()))
        stored = {path: stored_path(path, plan.target.leaves[path]) for path in paths}
        places = {path: reader.location(place) for path, place in stored.items()}
        leaves = reader.abstract().tree.leaves
    refuse(differs(path, "it is not stored as chunks") for path, place in places.items() if place is None)
    largest = max((part_bytes(leaves[place]) for place in stored.values()), default=0)
    small = {path for path, place in stored.items() if leaves[place].nbytes <= SMALL_BYTES}
    # The largest first: at the end, every thread has an array to read.
    by_size = sorted(stored, key=lambda path: -leaves[stored[path]].nbytes)
    return {path: place for path in by_size if (place := places[path])}, largest, small


def part_bytes(leaf: AbstractLeaf) -> int:
    """Returns the host bytes of the part of an array that is decoded whole: a chunk of zarr, or an inner chunk."""
    assert leaf.aval is not None
    part = (leaf.storage and (leaf.storage.inner or leaf.storage.chunks)) or leaf.aval.shape
    return math.prod(part) * dtypes.item_bytes(leaf.aval.dtype)
