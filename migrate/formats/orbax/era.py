"""The versions of Orbax that can have written an item; each release that changed the files left a trace in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.formats.files import is_dir, is_file, read_json_object
from migrate.formats.flax.msgpack import SavedSpec
from migrate.formats.orbax.metadata import CHECKPOINT_FILE, parameter_name

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.formats.flax.msgpack import MappedMsgpack
    from migrate.formats.orbax.metadata import TreeMetadata
    from migrate.formats.zarr.store import ZarrStore

T5X = "t5x 2021 to 2023"
_UNRECORDED = "orbax-checkpoint, before 0.4.3 or with its metadata lost"


@dataclass(frozen=True)
class Evidence:
    """The records of one item, from which its era is derived."""

    folder: Path
    declared: TreeMetadata | None
    values: MappedMsgpack | None
    store: ZarrStore


def describe_era(evidence: Evidence) -> str:
    """Returns the versions that can have written an item; `orbax` became `orbax-checkpoint` after 0.1.7."""
    if evidence.declared is not None and evidence.values is not None:
        return _with_both(evidence, evidence.declared)
    if evidence.declared is not None:
        return f"orbax-checkpoint {_with_metadata(evidence.folder, evidence.declared)}"
    return _UNRECORDED if evidence.values is None else _with_values(evidence, evidence.values)


def _with_metadata(folder: Path, declared: TreeMetadata) -> str:
    """Returns the versions from 0.5.21 on; the latest change that left a trace decides."""
    steps = (
        (is_file(folder / "commit_success.txt"), "0.12.3 or later"),
        ("use_ocdbt" in declared.flags, "0.11.31 or later"),
        (is_dir(folder / "array_metadatas"), "0.11.9 to 0.11.30"),
        ("custom_metadata" in declared.flags, "0.11.1 to 0.11.8" if _has_jax_arrays(declared) else "0.11.1 to 0.11.30"),
        ("store_array_data_equal_to_fill_value" in declared.flags, "0.10.1 to 0.11.0"),
    )
    return next((words for found, words in steps if found), "0.5.21 to 0.10.0")


def _has_jax_arrays(declared: TreeMetadata) -> bool:
    return any(leaf.value_type == "jax.Array" for leaf in declared.leaves)


def _with_both(evidence: Evidence, declared: TreeMetadata) -> str:
    """Returns the versions that wrote the tree in JSON and in msgpack.

    These are 0.4.3 to 0.5.20, and for `StandardCheckpointer` 0.3.4 to 0.5.20.
    """
    folder, store = evidence.folder, evidence.store
    if _is_by_orbax(folder / CHECKPOINT_FILE):
        return "orbax-checkpoint 0.5.11 to 0.5.20"
    if store.is_ocdbt and not store.has_parts and (old := _old_sharding(folder, declared)) is not None:
        return f"orbax-checkpoint {old}"
    return f"orbax-checkpoint {'0.4.4' if store.has_parts else '0.4.3'} to 0.5.20"


def _is_by_orbax(file: Path) -> bool:
    """Whether Orbax wrote the file of a checkpoint's metadata; `migrate stamp` creates it with custom metadata only."""
    return is_file(file) and (not file.stat().st_size or read_json_object(file).keys() != {"custom_metadata"})


def _old_sharding(folder: Path, declared: TreeMetadata) -> str | None:
    """Returns the version by `_sharding`, which was missing at first, then had plain names, then empty entries."""
    if not _has_jax_arrays(declared):
        return None
    if not is_file(folder / "_sharding"):
        return "0.3.4 to 0.3.5"
    entries = read_json_object(folder / "_sharding")
    if any(parameter_name(leaf.path) in entries for leaf in declared.leaves):
        return "0.4.0"
    return "0.4.1 to 0.4.2" if "" in entries.values() else None


def _with_values(evidence: Evidence, values: MappedMsgpack) -> str:
    """Returns the versions up to 0.4.2, which wrote the tree in msgpack alone.

    The file holds the arrays, or entries that stand for arrays beside it, whose form changed.
    """
    texts = [node for node in values.nodes.values() if isinstance(node, str)]
    if any(isinstance(node, SavedSpec) for node in values.nodes.values()):
        return T5X if is_t5x(values) else "orbax 0.0.1 to 0.0.13"
    if any(text.startswith("AGGREGATED://") for text in texts):
        return "orbax 0.0.19 to 0.0.20"
    if not any(text.startswith("PLACEHOLDER://") for text in texts):
        bare = any(is_file(evidence.folder / text / ".zarray") for text in texts if "/" not in text and len(text) < 250)
        return "orbax 0.0.14 to 0.0.18" if bare else "orbax 0.0.1 to orbax-checkpoint 0.4.2"
    if evidence.store.is_early:
        return "orbax 0.1.7 or orbax-checkpoint 0.1.8, with tensorstore 0.1.35"
    if evidence.store.is_ocdbt:
        return f"orbax-checkpoint {'0.4.0' if is_file(evidence.folder / '_sharding') else '0.1.7'} to 0.4.2"
    return "orbax 0.1.4 to orbax-checkpoint 0.4.2" if values.containers else "orbax 0.0.21 to orbax-checkpoint 0.4.2"


def is_t5x(values: MappedMsgpack) -> bool:
    """Whether T5X itself wrote a file: it has a version beside the state, and specifications in place of arrays."""
    tops = {path[0] for path in values.nodes if path}
    return tops == {"version", "optimizer"} and any(isinstance(node, SavedSpec) for node in values.nodes.values())
