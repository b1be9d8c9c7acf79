"""Orbax's JSON beside the arrays: the tree (`_METADATA`), shardings, PRNG implementations, strings, custom metadata.

Every one of these files is optional in some versions of Orbax, and each has had several forms.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migrate.formats.digest_record import RECORD_KEY
from migrate.formats.files import MAX_DEPTH, children, damaged, is_dir, is_file, read_json_object
from migrate.sharding import from_orbax_json
from migrate.tree import Container, KeyPath, Sharding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CHECKPOINT_FILE = "_CHECKPOINT_METADATA"
"""The file of a step, or of an item saved alone, with its handlers, times and custom metadata."""

_SEQUENCE = 1
_STRINGS = "_strings.json"


@dataclass(frozen=True, slots=True)
class DeclaredLeaf:
    """One leaf of `_METADATA`."""

    path: KeyPath
    value_type: str
    skipped: bool


@dataclass(frozen=True)
class TreeMetadata:
    """The content of `_METADATA`."""

    leaves: tuple[DeclaredLeaf, ...]
    containers: Mapping[KeyPath, Container]
    flags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fill_missing(self) -> bool:
        """Whether a chunk that is not stored means zeros; since Orbax 0.10.1 every chunk is stored."""
        return self.flags.get("store_array_data_equal_to_fill_value") is not True


def parameter_name(path: KeyPath) -> str:
    """Returns the name under which Orbax stores a leaf's array."""
    return ".".join(path)


def read_tree(folder: Path) -> TreeMetadata | None:
    """Returns the content of `_METADATA`, or None where there is none.

    Raises:
      CheckpointError: it is damaged or a git-LFS pointer.
    """
    file = folder / "_METADATA"
    if not is_file(file):
        return None
    content = read_json_object(file)
    try:
        return _parse_tree(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise damaged(file, f"it does not describe a tree ({error})") from error


def _parse_tree(content: dict[str, Any]) -> TreeMetadata:
    leaves: dict[KeyPath, DeclaredLeaf] = {}
    children: dict[KeyPath, set[tuple[str, int]]] = {}
    for entry in content["tree_metadata"].values():
        keys = [(str(key["key"]), int(key["key_type"])) for key in entry["key_metadata"]]
        if len(keys) > MAX_DEPTH:
            raise ValueError(f"a key path has {len(keys):,} levels; {MAX_DEPTH} at most are read")
        path = tuple(name for name, _ in keys)
        value = entry["value_metadata"]
        if path in leaves:
            raise ValueError(f"`{'/'.join(path)}` occurs twice")
        leaves[path] = DeclaredLeaf(path, str(value["value_type"]), value.get("skip_deserialize") is True)
        for depth, key in enumerate(keys):
            children.setdefault(path[:depth], set()).add(key)
    _refuse_inner_leaves(leaves)
    flags = {name: value for name, value in content.items() if name != "tree_metadata"}
    lists: dict[KeyPath, Container] = {node: "list" for node, keys in children.items() if _is_list(keys)}
    return TreeMetadata(tuple(leaves.values()), lists, flags)


def _is_list(children: set[tuple[str, int]]) -> bool:
    """Whether a node's keys are the indices of a list; an `nnx.List` that was saved as a pytree also has named keys.

    Orbax records a type with each key: 1 is an index, 2 a name.
    """
    return children == {(str(index), _SEQUENCE) for index in range(len(children))}


def _refuse_inner_leaves(leaves: Mapping[KeyPath, DeclaredLeaf]) -> None:
    for path in leaves:
        for depth in range(len(path)):
            if path[:depth] in leaves:
                raise ValueError(f"`{'/'.join(path[:depth])}` is both a leaf and a node")


def read_shardings(folder: Path, names: Iterable[str]) -> dict[str, Sharding]:
    """Returns the named shardings by parameter name; single devices and unknown kinds are left out.

    Names are base64 in the file; Orbax 0.4.0 wrote them without encoding.
    """
    file = folder / "_sharding"
    if not is_file(file):
        return {}
    content = read_json_object(file)
    found = {}
    for name in names:
        encoded = base64.urlsafe_b64encode(name.encode(errors="surrogatepass")).decode()
        sharding = from_orbax_json(content.get(encoded, content.get(name)))
        if sharding is not None:
            found[name] = sharding
    return found


def read_key_impls(folder: Path) -> dict[str, str]:
    """Returns JAX's implementation names of typed PRNG keys, by parameter name.

    Raises:
      CheckpointError: a file is damaged; without it a key would silently become plain integers.
    """
    directory = folder / "array_metadatas"
    found: dict[str, str] = {}
    for file in children(directory) if is_dir(directory) else []:
        content = read_json_object(file)
        try:
            for entry in content["array_metadatas"]:
                array = entry["array_metadata"]
                impl = (array.get("ext_metadata") or {}).get("random_key_impl")
                found.update({str(array["param_name"]): str(impl)} if impl else {})
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged(file, f"it does not describe arrays ({error})") from error
    return found


def read_strings(folder: Path) -> dict[str, str]:
    """Returns the values of string leaves by parameter name; Orbax 0.3 wrote one file for each parameter."""
    files = [folder / _STRINGS, *(child / _STRINGS for child in children(folder) if is_dir(child))]
    found = [read_json_object(file) for file in files if is_file(file)]
    return {name: text for strings in found for name, text in strings.items() if isinstance(text, str)}


def read_custom_metadata(folder: Path, tree: TreeMetadata | None = None) -> dict[str, Any]:
    """Returns the custom metadata of a step or item; `_METADATA` takes precedence over `_CHECKPOINT_METADATA`.

    The reverse is true of migrate's own record, which `migrate stamp` completes in `_CHECKPOINT_METADATA` only.
    """
    file = folder / CHECKPOINT_FILE
    outer = as_metadata(custom_metadata(read_json_object(file)) if is_file(file) else None)
    inner = as_metadata(tree.flags.get("custom_metadata") if tree else None)
    return {**outer, **inner, **{key: outer[key] for key in (RECORD_KEY,) if key in outer}}


def read_handlers(folder: Path) -> dict[str, str]:
    """Returns the classes that saved a step's items, by item name; "" is the directory itself (since Orbax 0.11.1)."""
    file = folder / CHECKPOINT_FILE
    handlers = read_json_object(file).get("item_handlers") if is_file(file) else None
    named = handlers if isinstance(handlers, dict) else {"": handlers}
    return {name: handler for name, handler in named.items() if isinstance(handler, str)}


def custom_metadata(content: Mapping[str, Any]) -> object:
    """Returns the user's part of a metadata file; it was first named `custom` (Orbax 0.10 to 0.11.9)."""
    return content.get("custom_metadata", content.get("custom"))


def as_metadata(custom: object) -> dict[str, Any]:
    """Returns custom metadata as a mapping; other values are put under the key `custom_metadata`."""
    if isinstance(custom, dict):
        return custom
    return {} if custom is None else {"custom_metadata": custom}
