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
    from collections.abc import Iterable, Iterator, Mapping
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


class SharedObjects:
    """Makes the objects of a JSON file; equal ones that describe keys or values are one dict, which is not changed.

    `_METADATA` repeats a few of them for every leaf, in five dicts, which would take ten times the bytes of the file.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Returns the object of names and values."""
        if not pairs or pairs[0][0] not in ("key", "value_type"):
            return dict(pairs)
        text = repr(pairs)  # 1, 1.0 and True are equal, their texts are not
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = dict(pairs)
        return found


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
    content = read_json_object(file, SharedObjects())
    try:
        return _parse_tree(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise damaged(file, f"it does not describe a tree ({error})") from error


def _parse_tree(content: dict[str, Any]) -> TreeMetadata:
    leaves: dict[KeyPath, DeclaredLeaf] = {}
    indices: dict[KeyPath, set[str]] = {}
    for entry in content["tree_metadata"].values():
        keys = [(str(key["key"]), int(key["key_type"])) for key in entry["key_metadata"]]
        if len(keys) > MAX_DEPTH:
            raise ValueError(f"a key path has {len(keys):,} levels; {MAX_DEPTH} at most are read")
        path = tuple(name for name, _ in keys)
        value = entry["value_metadata"]
        if path in leaves:
            raise ValueError(f"`{'/'.join(path)}` occurs twice")
        leaves[path] = DeclaredLeaf(path, str(value["value_type"]), value.get("skip_deserialize") is True)
        for depth, (name, kind) in enumerate(keys):
            if kind == _SEQUENCE:
                indices.setdefault(path[:depth], set()).add(name)
    _refuse_inner_leaves(leaves)
    flags = {name: value for name, value in content.items() if name != "tree_metadata"}
    return TreeMetadata(tuple(leaves.values()), dict.fromkeys(_lists(indices, content), "list"), flags)


def _lists(indices: Mapping[KeyPath, set[str]], content: dict[str, Any]) -> Iterator[KeyPath]:
    """Yields the nodes whose keys are the indices of a list; an `nnx.List` that was saved as a pytree has names too.

    Orbax records a type with each key: 1 is an index, 2 a name.

    Args:
      indices: the indices among the keys of each node that has any.
      content: the content of the file.
    """
    named: set[KeyPath] = set()
    for entry in content["tree_metadata"].values() if indices else ():
        keys = entry["key_metadata"]
        path = tuple(str(key["key"]) for key in keys)
        named.update(path[:depth] for depth, key in enumerate(keys) if int(key["key_type"]) != _SEQUENCE)
    for node, names in indices.items():
        if node not in named and names == {str(index) for index in range(len(names))}:
            yield node


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
        content = read_json_object(file, _without_plain_arrays)
        try:
            for entry in content["array_metadatas"]:
                array = entry["array_metadata"]
                impl = (array.get("ext_metadata") or {}).get("random_key_impl")
                found.update({str(array["param_name"]): str(impl)} if impl else {})
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged(file, f"it does not describe arrays ({error})") from error
    return found


_PLAIN_ARRAY: dict[str, Any] = {"ext_metadata": None}
_PLAIN_ENTRY = {"array_metadata": _PLAIN_ARRAY}


def _without_plain_arrays(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of `array_metadatas`; one object stands for all arrays that are no PRNG keys."""
    if pairs == [("array_metadata", _PLAIN_ARRAY)]:
        return _PLAIN_ENTRY
    return _PLAIN_ARRAY if pairs and pairs[-1] == ("ext_metadata", None) else dict(pairs)


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
