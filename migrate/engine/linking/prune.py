"""Removes linked data files to which no new array refers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from migrate.places.objects import Objects
from migrate.places.writable_path import WritableBucketPath


def prune_files(store: Path, folders: Iterable[Path], needed: set[str]) -> int:
    """Removes the files below some folders that are not needed, and the directories that become empty.

    Args:
      store: the staging store's directory, which contains the folders.
      folders: folders with linked files.
      needed: files, relative to `store`, to which the store's database refers.

    Returns:
      The total bytes of the files that stay.
    """
    nbytes = 0
    for folder in folders:
        if isinstance(folder, WritableBucketPath):
            nbytes += _prune_objects(store, folder, needed)
            continue
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            if path.relative_to(store).as_posix() in needed:
                nbytes += path.stat().st_size
            else:
                path.unlink()
        _remove_empty(folder)
    return nbytes


def _prune_objects(store: Path, folder: WritableBucketPath, needed: set[str]) -> int:
    files = {file.relative_to(store).as_posix(): file for file in folder.files_below()}
    needless = [file.key for name, file in files.items() if name not in needed]
    if needless:
        Objects(folder.bucket).delete(needless)
        folder.refresh()
    return sum(file.stat().st_size for name, file in files.items() if name in needed)


def _remove_empty(folder: Path) -> None:
    for child in [child for child in folder.iterdir() if child.is_dir()]:
        _remove_empty(child)
    if not any(folder.iterdir()):
        folder.rmdir()
