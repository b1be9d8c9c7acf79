"""Which leaves an Orbax item has, and where the value of each one is.

Three records describe an item, and each is missing in some era: `_METADATA` (kinds and containers, from 0.4.3), the
msgpack `checkpoint` file (values, or placeholders for arrays beside it, up to 0.5.20) and the names of the arrays. They
are brought together here without looking at any array; where only the names are left, the tree is inferred from them
and a note says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrate.codes import MissingPart, ReaderAssumption
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.files import COPY_WHOLE, is_dir, is_file, lost_values
from migrate.formats.flax.msgpack import PLACEHOLDERS, MsgpackFile, SavedSpec
from migrate.formats.orbax.metadata import Declared, TreeMetadata, parameter_name
from migrate.tree import AbstractLeaf, Container, KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_BARE = ("checkpoint",)
ARRAY_HANDLER = "ArrayCheckpointHandler"
"""The class that saves one array, which it calls `checkpoint`."""
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

    `words` where T5X may have stored bfloat16 as uint16, for which no model of its has a use.
    """

    name: str
    scalar: bool = False
    words: bool = False


@dataclass(frozen=True, slots=True)
class Inline:
    """The value is in the msgpack file."""

    scalar: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """The value is a string, and here it is."""

    value: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is no value: None or an empty container."""

    leaf: AbstractLeaf


Source = StoredArray | Inline | Text | Nothing


@dataclass(frozen=True)
class Outline:
    """Every leaf with its source, and the kinds of the nodes above."""

    sources: Mapping[KeyPath, Source]
    containers: Mapping[KeyPath, Container] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Records:
    """What is on disk about one item.

    Attributes:
      names: lists the arrays, and is asked only when nothing else is there.
      handler: the class that saved the item, where that is known.
      t5x: whether T5X's own checkpointer wrote it.
    """

    folder: Path
    declared: TreeMetadata | None
    values: MsgpackFile | None
    strings: Mapping[str, str]
    names: Callable[[], list[str]]
    handler: str | None = None
    t5x: bool = False


def outline(records: Records) -> Outline:
    """Bring the records together.

    Raises:
      CheckpointError: a leaf is declared and its value is nowhere.
    """
    found = _tree(records)
    return _bare(found, records) if list(found.sources) == [_BARE] and records.values is None else found


def _bare(found: Outline, records: Records) -> Outline:
    """What `ArrayCheckpointHandler` saved: one array, which it called `checkpoint`, and which is no part of a tree.

    Where the files do not say who wrote them, one with `_METADATA` and a database was a tree with one key.
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
        declared = {
            leaf.path: _from_declared(leaf, sources.get(leaf.path), records) for leaf in records.declared.leaves
        }
        _refuse_lost(records.folder, [path for path, source in declared.items() if source is None])
        sources.update({path: source for path, source in declared.items() if source is not None})
        containers.update(records.declared.containers)
    return Outline(sources, containers, notes=tuple(_collisions(records.folder, sources)))


def _collisions(folder: Path, sources: Mapping[KeyPath, Source]) -> Iterator[Diagnostic]:
    """Warnings for leaves that share one array on disk, because their keys join to the same name."""
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


def _from_values(records: Records) -> dict[KeyPath, Source]:
    nodes = records.values.nodes if records.values else {}
    return {path: _from_node(path, node, records) for path, node in nodes.items()}


def _from_node(path: KeyPath, node: object, records: Records) -> Source:
    name = _placeholder(path, node, records.folder)
    if name is None:
        return Inline()
    if isinstance(node, SavedSpec):
        return StoredArray(name, words=node.dtype == "bfloat16" or records.t5x)
    return Text(records.strings[name]) if name in records.strings else StoredArray(name)


def _placeholder(path: KeyPath, node: object, folder: Path) -> str | None:
    """The parameter that an entry of the msgpack file stands for.

    A placeholder says so itself; orbax 0.0.14 to 0.0.18 wrote the bare name, and before them a specification.
    """
    if isinstance(node, SavedSpec):
        return node.folder
    if not isinstance(node, str):
        return None
    for prefix in PLACEHOLDERS:
        if node.startswith(prefix):
            return node.removeprefix(prefix)
    return node if node == parameter_name(path) and is_file(folder / node / ".zarray") else None


def _from_declared(leaf: Declared, found: Source | None, records: Records) -> Source | None:
    """The source of a declared leaf; None where its value is lost."""
    name = parameter_name(leaf.path)
    if leaf.value_type == "string" and not isinstance(found, Inline):
        return Text(records.strings[name]) if name in records.strings else None
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
    sources: dict[KeyPath, Source] = {tuple(name.split(".")): StoredArray(name) for name in records.names()}
    sources.update({tuple(name.split(".")): Text(value) for name, value in records.strings.items()})
    if not sources:
        raise CheckpointError(MissingPart.at(f"`{records.folder}` holds no `_METADATA` and no arrays", help=COPY_WHOLE))
    message = (
        f"`{records.folder}` has no record of its tree; it is inferred from the arrays' names, so a key with a dot "
        "reads as two keys, and lists, empty containers and Python numbers cannot be told apart"
    )
    return Outline(sources, notes=(ReaderAssumption.at(message),))
