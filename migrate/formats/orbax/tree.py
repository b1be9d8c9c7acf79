"""The leaves of an Orbax item, and where the value of each one is stored.

Three records describe an item, and each is missing in some era: `_METADATA` (kinds and containers, from 0.4.3), the
msgpack `checkpoint` file (values, or placeholders for arrays beside it, up to 0.5.20) and the names of the arrays. This
module combines them without opening any array. Where only the names are available, the tree is inferred from them, with
a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrate.codes import MissingPart, ReaderAssumption
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.files import COPY_WHOLE, damaged, is_dir, is_file, lost_values
from migrate.formats.flat_names import collisions, separator_of, split_names
from migrate.formats.flax.msgpack import PLACEHOLDERS, MappedMsgpack, SavedSpec
from migrate.formats.item_kinds import BARE
from migrate.formats.orbax.metadata import DeclaredLeaf, TreeMetadata, parameter_name
from migrate.formats.zarr.key_places import PROCESS
from migrate.tree import AbstractLeaf, Container, KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

_BARE = (BARE,)
TRACES = ("_sharding", "_CHECKPOINT_METADATA", "_strings.json", "array_metadatas", "commit_success.txt")
"""What Orbax stores beside arrays; its names are joined with dots."""
ARRAY_HANDLER = "ArrayCheckpointHandler"
"""The class that saves a single array, under the name `checkpoint`."""
_EMPTY = {
    "None": AbstractLeaf("none"),
    "Dict": AbstractLeaf("empty"),
    "List": AbstractLeaf("empty", container="list"),
    "Tuple": AbstractLeaf("empty", container="tuple"),
    "NamedTuple": AbstractLeaf("empty", container="tuple"),
}


@dataclass(frozen=True, slots=True)
class StoredArray:
    """The value is an array in the store, under a parameter's name.

    Attributes:
      name: the parameter's name.
      scalar: whether the value was a Python number.
      words: whether a uint16 array holds the bits of bfloat16, as T5X stored them.
    """

    name: str
    scalar: bool = False
    words: bool = False


@dataclass(frozen=True, slots=True)
class Inline:
    """The value is in the msgpack file."""

    scalar: bool = False


@dataclass(frozen=True, slots=True)
class InlineText:
    """The value is this string."""

    value: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is no value: None or an empty container."""

    leaf: AbstractLeaf


ValueSource = StoredArray | Inline | InlineText | Nothing


@dataclass(frozen=True)
class Outline:
    """Every leaf with the source of its value, and the kinds of inner nodes."""

    sources: Mapping[KeyPath, ValueSource]
    containers: Mapping[KeyPath, Container] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    separator: str | None = None


@dataclass(frozen=True)
class Records:
    """Everything that is recorded about the tree of one item.

    Attributes:
      folder: the item's directory.
      declared: the content of `_METADATA`.
      values: the msgpack file.
      strings: the values of string leaves, by parameter name.
      names: lists the names of the arrays; called only where there is no other record.
      handler: the class that saved the item, where it is recorded.
      t5x: whether T5X's own checkpointer wrote the item.
      separator: the separator of the names of arrays without another record; None to find it.
    """

    folder: Path
    declared: TreeMetadata | None
    values: MappedMsgpack | None
    strings: Mapping[str, str]
    names: Callable[[], list[str]]
    handler: str | None = None
    t5x: bool = False
    separator: str | None = None


def outline(records: Records) -> Outline:
    """Combines the records of a tree.

    Raises:
      CheckpointError: a leaf is declared and its value is not stored.
    """
    found = _tree(records)
    return _bare(found, records) if list(found.sources) == [_BARE] and records.values is None else found


def _bare(found: Outline, records: Records) -> Outline:
    """Returns the tree of a single array that `ArrayCheckpointHandler` saved under the name `checkpoint`.

    Where the handler is not recorded, an item with `_METADATA` and a database was a tree with one key.
    """
    source = found.sources[_BARE]
    by_other = records.handler is not None and not records.handler.endswith(ARRAY_HANDLER)
    in_database = records.declared is not None and not is_dir(records.folder / _BARE[0])
    if by_other or not isinstance(source, StoredArray) or (records.handler is None and in_database):
        return found
    message = (
        f"`{records.folder}` holds one array, `checkpoint`: saved alone, or the only key of a tree; read as saved alone"
    )
    unsure = records.handler is None and records.declared is not None
    return Outline({(): source}, notes=(ReaderAssumption.at(message),) if unsure else ())


def _tree(records: Records) -> Outline:
    if records.declared is None and records.values is None:
        return _infer(records)
    sources = _from_values(records)
    containers = dict(records.values.containers) if records.values else {}
    if records.declared is not None:
        _refuse_undeclared(records.folder, sources, {leaf.path for leaf in records.declared.leaves})
        declared = {
            leaf.path: _from_declared(leaf, sources.get(leaf.path), records) for leaf in records.declared.leaves
        }
        _refuse_lost(records.folder, [path for path, source in declared.items() if source is None])
        sources.update({path: source for path, source in declared.items() if source is not None})
        containers.update(records.declared.containers)
    return Outline(sources, containers, notes=tuple(_collisions(records.folder, sources)))


def _refuse_undeclared(folder: Path, sources: Mapping[KeyPath, ValueSource], declared: Collection[KeyPath]) -> None:
    """Refuses a msgpack file that places an array where `_METADATA` has no leaf: the name in one of them is damaged.

    Raises:
      CheckpointError: the first such entry (`DamagedFile`).
    """
    for path, source in sources.items():
        if path not in declared and isinstance(source, StoredArray):
            name = format_path(path)
            reason = f"it has an array `{name}`, and `_METADATA` has no leaf of this name"
            raise damaged(folder / "checkpoint", reason, paths=(name,))


def _collisions(folder: Path, sources: Mapping[KeyPath, ValueSource]) -> Iterator[Diagnostic]:
    """Yields warnings for leaves that share one stored array, because their keys join to the same name."""
    sharing: dict[str, list[KeyPath]] = {}
    for path, source in sources.items():
        if isinstance(source, StoredArray):
            sharing.setdefault(source.name, []).append(path)
    for name, paths in sharing.items():
        if len(paths) > 1:
            names = [format_path(path) for path in paths]
            message = (
                f"`{folder}` has one array `{name}` for {len(paths)} leaves ({', '.join(names)}): the values of all "
                "but one were lost when it was written"
            )
            yield ReaderAssumption.at(message, paths=names, severity="warning")


def _from_values(records: Records) -> dict[KeyPath, ValueSource]:
    nodes = records.values.nodes if records.values else {}
    return {path: _from_node(path, node, records) for path, node in nodes.items()}


def _from_node(path: KeyPath, node: object, records: Records) -> ValueSource:
    name = _placeholder(path, node, records.folder)
    if name is None:
        return Inline()
    if isinstance(node, SavedSpec):
        return StoredArray(name, words=node.dtype == "bfloat16" or records.t5x)
    own = parameter_name(path)
    if name != own and (own in records.strings or own in records.names()):
        reason = f"the placeholder of `{'/'.join(path)}` names `{name}`, although `{own}` is stored"
        raise damaged(records.folder / "checkpoint", reason, paths=("/".join(path),))
    return InlineText(records.strings[name]) if name in records.strings else StoredArray(name)


def _placeholder(path: KeyPath, node: object, folder: Path) -> str | None:
    """Returns the parameter that an entry of the msgpack file stands for, or None.

    Placeholders have a prefix; orbax 0.0.14 to 0.0.18 wrote the bare name, earlier versions a specification.
    """
    if isinstance(node, SavedSpec):
        return node.folder
    if not isinstance(node, str):
        return None
    for prefix in PLACEHOLDERS:
        if node.startswith(prefix):
            return node.removeprefix(prefix)
        if len(node) == len(prefix) + len(parameter_name(path)) and node.endswith(parameter_name(path)):
            name = "/".join(path)
            raise damaged(folder / "checkpoint", f"the placeholder of `{name}` is `{node}`", paths=(name,))
    return node if node == parameter_name(path) and is_file(folder / node / ".zarray") else None


def _from_declared(leaf: DeclaredLeaf, found: ValueSource | None, records: Records) -> ValueSource | None:
    """Returns the source of a declared leaf's value; None where the value is lost."""
    name = parameter_name(leaf.path)
    if leaf.value_type == "string" and not isinstance(found, Inline):
        return InlineText(records.strings[name]) if name in records.strings else None
    if leaf.skipped and leaf.value_type in _EMPTY:
        return Nothing(_EMPTY[leaf.value_type])
    if isinstance(found, Inline):
        return Inline(scalar=leaf.value_type == "scalar")
    if leaf.skipped:
        return None
    return StoredArray(found.name if isinstance(found, StoredArray) else name, scalar=leaf.value_type == "scalar")


def _refuse_lost(folder: Path, paths: list[KeyPath]) -> None:
    if paths:
        raise lost_values(folder, paths)


def _infer(records: Records) -> Outline:
    found: dict[str, ValueSource] = {name: StoredArray(name) for name in records.names()}
    found.update({name: InlineText(value) for name, value in records.strings.items()})
    if not found:
        raise CheckpointError(MissingPart.at(f"`{records.folder}` holds no `_METADATA` and no arrays", help=COPY_WHOLE))
    separator = _separator(records, found)
    paths = {"": ()} if [*found] == [""] else split_names(found, separator)
    split = {".": "a key with a dot reads as two keys"}.get(separator, f"they are split at `{separator}`")
    message = (
        f"`{records.folder}` has no record of its tree; it is inferred from the arrays' names, so {split}, "
        "and lists, empty containers and Python numbers cannot be told apart"
    )
    return Outline(
        {paths[name]: source for name, source in found.items()},
        notes=(ReaderAssumption.at(message), *collisions(paths, separator)),
        separator=separator,
    )


def _is_by_orbax(folder: Path) -> bool:
    return any((folder / name).exists() for name in TRACES) or any(folder.glob(f"{PROCESS}*"))


def _separator(records: Records, names: Collection[str]) -> str:
    """Returns the separator of names: `.` where Orbax left other files, unless only `/` occurs."""
    if records.separator is not None:
        return records.separator
    return separator_of(names, first=(".",) if _is_by_orbax(records.folder) else ())
