"""The entries of a directory that are not part of one Orbax checkpoint, by the names that Orbax and zarr give files.

An Orbax item allows other files beside its own, and readers ignore them; whoever removes a checkpoint must not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrate.formats.digest_record import FILE
from migrate.formats.files import children, is_dir, is_file
from migrate.formats.orbax.item import is_item
from migrate.formats.orbax.metadata import read_handlers
from migrate.formats.orbax.step import holds_item, json_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILES = re.compile(
    r"_METADATA|_sharding|_CHECKPOINT_METADATA|_strings\.json|checkpoint|commit_success\.txt|manifest\.ocdbt"
    rf"|orbax\.checkpoint|{re.escape(FILE)}"
)
_MARKERS = re.compile(rf"_CHECKPOINT_METADATA|commit_success\.txt|orbax\.checkpoint|{re.escape(FILE)}")
_ZARR = re.compile(r"\.zarray|\.zattrs|\.zgroup|zarr\.json|_strings\.json")
_CHUNK = re.compile(r"c|(c\.)?\d+(\.\d+)*")
_PROCESS = re.compile(r"process_\d+")
_DESCRIPTOR = re.compile(r"descriptor\.pbtxt|uuid-[0-9a-f-]{36}")
_DATA = re.compile(r"[0-9a-f]{32}")


def foreign_entries(folder: Path) -> Iterator[str]:
    """Yields the entries of an item or a step that are not part of it, as paths relative to the directory."""
    found = _of_item(folder) if is_item(folder) else _of_step(folder)
    yield from (str(path.relative_to(folder)) for path in found)


def _of_step(folder: Path) -> Iterator[Path]:
    recorded = read_handlers(folder)
    for child in children(folder):
        if is_item(child):
            yield from _of_item(child)
        elif holds_item(child):
            yield from _of_step(child)
        elif child.name == "descriptor" and is_dir(child):
            yield from _others(child, _DESCRIPTOR)
        elif child.name in recorded and is_dir(child):
            continue  # an item of another kind
        elif not (_is_named(child, _MARKERS) or json_file(child) is not None):
            yield child


def _of_item(folder: Path) -> Iterator[Path]:
    for child in children(folder):
        if child.name == "array_metadatas" and is_dir(child):
            yield from _others(child, _PROCESS)
        elif child.name.startswith("ocdbt.process_") and is_dir(child):
            yield from _of_database(child)
        elif child.name == "d" and is_dir(child) and is_file(folder / "manifest.ocdbt"):
            yield from _others(child, _DATA)
        elif not _is_named(child, _FILES):
            yield from _of_parameter(child, bare=_is_array(folder))


def _of_database(folder: Path) -> Iterator[Path]:
    for child in children(folder):
        if child.name == "d" and is_dir(child):
            yield from _others(child, _DATA)
        elif child.name.startswith("ocdbt.process_") and is_dir(child):
            yield from _of_database(child)
        elif child.name != "manifest.ocdbt" or not is_file(child):
            yield child


def _of_parameter(entry: Path, *, bare: bool) -> Iterator[Path]:
    """Yields what is foreign in an entry that should be a parameter's folder; one without a name has no folder."""
    if bare and _is_part_of_array(entry):
        yield from _of_chunks(entry)
    elif is_dir(entry) and is_file(entry / "manifest.ocdbt"):
        yield from _of_database(entry)
    elif is_dir(entry):
        array = _is_array(entry)
        for child in children(entry):
            yield from _of_parameter(child, bare=array or _is_named(child, _ZARR))
    else:
        yield entry


def _of_chunks(entry: Path) -> Iterator[Path]:
    for child in children(entry) if is_dir(entry) else []:
        yield from _of_chunks(child) if _CHUNK.fullmatch(child.name) else [child]


def _is_array(folder: Path) -> bool:
    return is_file(folder / ".zarray") or is_file(folder / "zarr.json")


def _is_part_of_array(entry: Path) -> bool:
    return _is_named(entry, _ZARR) or _CHUNK.fullmatch(entry.name) is not None


def _others(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    return (child for child in children(folder) if not _is_named(child, names))


def _is_named(entry: Path, names: re.Pattern[str]) -> bool:
    return names.fullmatch(entry.name) is not None and is_file(entry)
