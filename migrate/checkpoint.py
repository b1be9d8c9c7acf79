"""An open checkpoint: its tree at once, its values one leaf at a time."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from migrate.errors import CheckpointError, nearest
from migrate.notebook import ShownInNotebook
from migrate.tree import AbstractTree, KeyPath, format_path, parse_path

if TYPE_CHECKING:
    from migrate.formats.base import Value
    from migrate.formats.reader import AbstractCheckpoint, Reader

StrPath = str | os.PathLike[str]


class Checkpoint(ShownInNotebook):
    """An open checkpoint: its tree is known, its values are read one leaf at a time. A context manager.

    Attributes:
      reader: reads it.
      abstract: everything about it but its values.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.abstract: AbstractCheckpoint = reader.abstract()

    @property
    def tree(self) -> AbstractTree:
        """The abstract tree that rules see; it is read without any array byte."""
        return self.abstract.tree

    def require_complete(self) -> None:
        """Refuses a checkpoint of which a file lacks bytes in which leaves are stored.

        Raises:
          CheckpointError: the diagnostics are `abstract.problems`, which name the files and the leaves.
        """
        if self.abstract.problems:
            raise CheckpointError(*self.abstract.problems)

    def read(self, path: str | KeyPath) -> Value:
        """Returns one leaf's value, by its key path: `"params/Dense_0/kernel"`, or a tuple of segments.

        Raises:
          KeyError: there is no such leaf; the message names the nearest.
          CheckpointError: the files contradict their metadata.
        """
        key_path = parse_path(path) if isinstance(path, str) else tuple(path)
        if key_path not in self.tree.leaves:
            raise KeyError(_no_such_leaf(key_path, self.tree))
        return self.reader.read(key_path)

    def read_all(self) -> dict[KeyPath, Value]:
        """Returns every leaf's value by key path, several at a time; arrays of a mapped file are views of it."""
        return self.reader.read_all()

    def close(self) -> None:
        """Releases files; nothing is read afterwards."""
        self.reader.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _no_such_leaf(path: KeyPath, tree: AbstractTree) -> str:
    name = format_path(path)
    found = nearest(name, map(format_path, tree.leaves))
    return f"no leaf `{name}`" + (f"; did you mean `{found}`?" if found else "")


def open_checkpoint(
    path: StrPath,
    step: int | Literal["latest"] | None = None,
    item: str | None = None,
    unbox: Literal["auto", "never"] = "auto",
    *,
    follow_links: bool = False,
    template: str | None = None,
    separator: str | None = None,
) -> Checkpoint:
    """Opens a checkpoint of any format and era; reads no array byte and uses no device.

    Args:
      path: a file, an item, a step, or a root with steps.
      step: which step of a root (default: the latest).
      item: which pytree of a step (default: all of them).
      unbox: whether the level that Flax's boxes add on disk is removed from key paths (`auto`) or kept (`never`).
      follow_links: whether links below `path` may lead out of it, as in storage that is built of links (default: no).
      template: the callable, as `module:callable`, of a model that names the arrays of a file without names, as of
        Equinox, if its leaves have their shapes in order; other checkpoints do not need it, and it is not called.
      separator: where flat names (of safetensors, `.npz`, flat msgpack, bare databases) are split into key paths, or ""
        for nowhere (default: the separator under which they form a tree).

    Raises:
      CheckpointError: it cannot be read, or the template cannot be called; the diagnostics name the cause and the
        remedy.
    """
    from migrate.formats.detect import open_reader

    reader = open_reader(path, step, item, unbox, follow_links=follow_links, separator=separator)
    try:
        return Checkpoint(_named(reader, template) if template else reader)
    except BaseException:
        reader.close()
        raise


def _named(reader: Reader, spec: str) -> Reader:
    """Returns a reader of a nameless checkpoint under the names of a model; any other reader unchanged."""
    from migrate.formats.named import is_nameless, mismatch, named, unnamed

    if not is_nameless(reader.abstract()):
        return reader
    from migrate.rules.recorded_tree import require_callable
    from migrate.template.leaf_order import leaf_order

    require_callable(spec, f"the names of the arrays of {reader.abstract().path} are those of")
    order = leaf_order(spec)
    why = mismatch(reader.abstract(), order.leaves) if order else "it has NNX modules, whose order is their own"
    if order is None or why is not None:
        return unnamed(reader, spec, why or "")
    return named(reader, spec, order.leaves, order.containers)


def list_steps(path: StrPath) -> tuple[int, ...]:
    """Returns the finished steps below a root, in rising order; none where the path is one checkpoint.

    Raises:
      CheckpointError: there is no checkpoint.
    """
    from migrate.formats import detect

    return detect.list_steps(path)
