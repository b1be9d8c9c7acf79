"""Msgpack files with several objects one after another.

EasyLM writes one pair for each leaf: its key path as a list, and the bytes of `flax.serialization.to_bytes`. Such a
stream is indexed like a single tree, by the offsets of its arrays. Any other stream is refused with what it holds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from migrate.codes import NoCheckpoint
from migrate.errors import CheckpointError
from migrate.formats.files import damaged
from migrate.formats.flax.msgpack_index import ArrayBytes, Node, RawBytes, Scanner, Size
from migrate.tree import KeyPath, format_path

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.formats.file_view import FileView

_DESCRIBED = 100
"""The most objects of a stream that are counted for a message."""
_SPLIT = """\
import msgpack
with open({path!r}, "rb") as stream:
    for n, part in enumerate(msgpack.Unpacker(stream, strict_map_key=False, max_buffer_size=0)):
        with open({path!r} + f"-{{n}}.msgpack", "wb") as file:
            file.write(msgpack.packb(part))
"""


class IndexedFile(NamedTuple):
    """The tree of a msgpack file, and whether it is stored as a stream of pairs."""

    tree: Node
    is_stream: bool


def index_file(data: FileView | bytes, path: Path) -> IndexedFile:
    """Returns the tree of a file that is one msgpack object or a stream of pairs of a key path and bytes.

    Raises:
      CheckpointError: it is damaged (`DamagedFile`; the message has the offset), or a stream of other objects
        (`NoCheckpoint`).
    """
    scanner = Scanner(data, 0, len(data), path, Size(len(data)))
    first = scanner.node(0)
    whole = scanner.position == len(data)
    key = _key_of(first)
    if key is None or (whole and not _holds_object(first[1], scanner)):
        if not whole:
            raise _other_objects(scanner, [first])
        return IndexedFile(first, is_stream=False)
    pairs = [(key, _value(first, scanner))]
    while scanner.position < len(data):
        start = scanner.position
        pair = scanner.node(0)
        if (key := _key_of(pair)) is None:
            scanner.position = start
            raise _other_objects(scanner, [first] * len(pairs))
        pairs.append((key, _value(pair, scanner)))
    return IndexedFile(_nested(pairs, path), is_stream=True)


def _key_of(node: Node) -> KeyPath | None:
    """Returns the key path of a pair; None for any other object."""
    if not isinstance(node, list) or len(node) != 2 or not isinstance(node[1], RawBytes):
        return None
    key = [node[0]] if isinstance(node[0], str) else node[0]
    if not isinstance(key, list) or not all(isinstance(part, str) or type(part) is int for part in key):
        return None
    return tuple(map(str, key))


def _value(pair: Node, outer: Scanner) -> Node:
    content: RawBytes = pair[1]
    inner = outer.inner(content.offset, content.offset + content.nbytes)
    node = inner.node(0)
    if inner.position != inner.end:
        raise inner.damaged("the bytes of a pair hold more than one object")
    return node


def _holds_object(content: RawBytes, outer: Scanner) -> bool:
    try:
        _value([None, content], outer)
    except CheckpointError:
        return False
    return True


def _nested(pairs: list[tuple[KeyPath, Node]], path: Path) -> Node:
    keys = sorted(key for key, _ in pairs)
    for first, second in pairwise(keys):
        if second[: len(first)] == first:
            relation = "occurs twice" if first == second else f"is a leaf, and `{format_path(second)}` is below it"
            raise damaged(path, f"the key `{format_path(first)}` {relation}", paths=(format_path(first),))
    if keys == [()]:
        return pairs[0][1]
    tree: dict[str, Node] = {}
    for key, node in pairs:
        parent = tree
        for segment in key[:-1]:
            parent = parent.setdefault(segment, {})
        parent[key[-1]] = node
    return tree


def _other_objects(scanner: Scanner, found: list[Node]) -> CheckpointError:
    """Returns the error for what follows the objects that were found: damage, or other objects."""
    end, total = scanner.position, len(scanner.data)
    rest = f"the {total - end:,} bytes after byte {end:,}"
    if not any(scanner.data[end : end + 4096]):
        return damaged(scanner.path, f"its tree ends at byte {end:,} of {total:,}, and zeros follow")
    objects = list(found)
    try:
        while scanner.position < total and len(objects) < _DESCRIBED:
            objects.append(scanner.node(0))
    except CheckpointError:
        return damaged(scanner.path, f"its tree ends at byte {end:,} of {total:,}, and {rest} are not msgpack")
    follower = objects[len(found)]
    if follower is None or isinstance(follower, bool | int | float):
        return damaged(scanner.path, f"its tree ends at byte {end:,} of {total:,}, and {_kind(follower)} follows")
    more = " or more" if scanner.position < total else ""
    message = (
        f"`{scanner.path}` is a stream of {len(objects)}{more} msgpack objects, not one tree: another object follows "
        f"the first; {_kind(found[-1])} ends at byte {end:,} of {total:,}, then {_kind(follower)} begins"
    )
    snippet = _SPLIT.format(path=str(scanner.path)).splitlines()
    return CheckpointError(NoCheckpoint.at(message, help="write each object to a file of its own:", snippet=snippet))


def _kind(node: Node) -> str:
    if _key_of(node) is not None:
        return f"a pair of the key `{format_path(_key_of(node) or ())}` and bytes"
    if isinstance(node, dict):
        names = ", ".join(f"`{name}`" for name in list(node)[:3])
        return f"a mapping of {len(node)} entries ({names}{', …' if len(node) > 3 else ''})"
    if isinstance(node, list | tuple):
        return f"a list of {len(node)} values"
    if isinstance(node, ArrayBytes):
        return f"an array {node.dtype}[{','.join(map(str, node.shape))}]"
    if isinstance(node, RawBytes):
        return f"{node.nbytes} raw bytes"
    return "None" if node is None else f"the {'text' if isinstance(node, str) else 'number'} `{str(node)[:40]}`"
