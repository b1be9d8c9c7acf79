"""The names that arrays of plain zarr cannot have: each is a directory of the item, beside Orbax's own files."""

from __future__ import annotations

from collections.abc import Iterator

from migrate.codes import UnrepresentableLeaf
from migrate.engine.items import ItemPlan
from migrate.errors import Diagnostic
from migrate.formats import digest_record
from migrate.tree import KeyPath, format_path

_OWN = (
    "checkpoint", "_METADATA", "_sharding", "_strings.json", "_CHECKPOINT_METADATA", "array_metadatas",
    "commit_success.txt", digest_record.FILE,
)  # fmt: skip
_LONGEST = 255 - len(".__lock")


def unusable_names(item: ItemPlan) -> Iterator[Diagnostic]:
    """Finds arrays whose names are no directories, or directories inside that of another array."""
    names = {item.stored_name(path): path for path, leaf in item.tree.leaves.items() if leaf.is_numeric}
    for name, path in names.items():
        why = "" if item.kind.bare else _why_unusable(name, names)
        if why:
            shown = format_path(item.prefix + path)
            message = f"plain zarr cannot store `{shown}` under the name `{name}`: {why}"
            yield UnrepresentableLeaf.at(message, paths=[shown], help="rename it, or leave `zarr` out of `layout:`")


def _why_unusable(name: str, names: dict[str, KeyPath]) -> str:
    parts = name.split("/")
    if name and any(part in ("", ".", "..") or "\0" in part for part in parts):
        return "it is not the name of a directory"
    if any(len(part.encode()) > _LONGEST or part.endswith(".__lock") for part in parts):
        return "the name of its directory is too long, or ends as temporary files do"
    if parts[0] in _OWN:
        return "Orbax has a file of this name"
    above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
    outer = next((one for one in above if one in names), None)
    return f"its directory would be inside that of `{outer}`" if outer is not None else ""
