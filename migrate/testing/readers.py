"""What every reader promises, as functions that a test of any format can run.

    from migrate.testing.readers import check_reader

    def test_my_format_keeps_the_laws(tmp_path):
        check_reader(lambda: open_reader(write_my_format(tmp_path)))

Each law takes a function that opens the checkpoint anew, and fails with an `AssertionError` that names the leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorstore as ts

from migrate import dtypes
from migrate.formats.base import Value
from migrate.formats.reader import Reader
from migrate.tree import AbstractLeaf, format_path, parse_path

Open = Callable[[], Reader]

_CHUNK_READS = "/tensorstore/cache/chunk_cache/reads"
_NO_SUCH_LEAF = ("no", "such", "leaf", "in any checkpoint")


def check_reader(opened: Open) -> None:
    """Run every law."""
    for law in LAWS:
        law(opened)


def abstract_reads_no_chunk(opened: Open) -> None:
    """Opening and `abstract()` decode no array chunk."""
    before = _chunk_reads()
    with opened() as reader:
        reader.abstract()
    assert before == _chunk_reads(), "abstract() read array chunks"


def abstract_is_the_same_twice(opened: Open) -> None:
    """Two readers of one checkpoint agree, and so do two calls of one."""
    with opened() as first, opened() as second:
        assert first.abstract() == first.abstract() == second.abstract()


def every_leaf_reads_with_its_aval(opened: Open) -> None:
    """A value has the kind, shape and dtype that `abstract()` announced."""
    with opened() as reader:
        for path, leaf in reader.abstract().tree.leaves.items():
            why = _mismatch(leaf, reader.read(path))
            assert not why, f"{format_path(path)}: {why}"


def paths_form_a_tree(opened: Open) -> None:
    """Key paths print and parse back, and no leaf lies below another."""
    with opened() as reader:
        leaves = reader.abstract().tree.leaves
        for path in leaves:
            assert path == () or path == ("",) or parse_path(format_path(path)) == path, format_path(path)
            assert not any(path[:depth] in leaves for depth in range(len(path))), format_path(path)


def containers_have_children(opened: Open) -> None:
    """Every container lies above a leaf, and the children of a list are its indices."""
    with opened() as reader:
        tree = reader.abstract().tree
        for node, kind in tree.containers.items():
            keys = {path[len(node)] for path in tree.leaves if path[: len(node)] == node and len(path) > len(node)}
            assert keys, f"{format_path(node)} is a {kind} without children"
            assert kind == "dict" or keys == {str(index) for index in range(len(keys))}, format_path(node)


def an_unknown_leaf_is_a_key_error(opened: Open) -> None:
    """`read` of a path that is not in the tree raises `KeyError`."""
    with opened() as reader:
        try:
            reader.read(_NO_SUCH_LEAF)
        except KeyError:
            return
    raise AssertionError("reading an unknown leaf did not raise KeyError")


def threads_read_what_one_reads(opened: Open) -> None:
    """Concurrent reads give the values of sequential ones."""
    with opened() as reader:
        paths = [path for path, leaf in reader.abstract().tree.leaves.items() if leaf.has_data]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(reader.read, paths))
        for path, value in zip(paths, together, strict=True):
            assert same_value(reader.read(path), value), format_path(path)
        assert list(reader.read_all()) == list(reader.abstract().tree.leaves)
        assert all(same_value(reader.read(path), value) for path, value in reader.read_all().items())


def closing_twice_is_harmless(opened: Open) -> None:
    """`close` may be called again, and values that were read outlive it."""
    reader = opened()
    values = {path: reader.read(path) for path, leaf in reader.abstract().tree.leaves.items() if leaf.has_data}
    copies = {path: np.array(value) for path, value in values.items()}
    reader.close()
    reader.close()
    for path, value in values.items():
        assert same_value(copies[path], np.asarray(value)), format_path(path)


LAWS: tuple[Callable[[Open], None], ...] = (
    abstract_reads_no_chunk,
    abstract_is_the_same_twice,
    every_leaf_reads_with_its_aval,
    paths_form_a_tree,
    containers_have_children,
    an_unknown_leaf_is_a_key_error,
    threads_read_what_one_reads,
    closing_twice_is_harmless,
)


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal in type, dtype, shape and every bit; NaNs and signed zeros count as their bits."""
    if isinstance(one, np.ndarray | np.generic) or isinstance(other, np.ndarray | np.generic):
        left, right = np.asarray(one), np.asarray(other)
        same_form = left.dtype == right.dtype and left.shape == right.shape
        return bool(same_form and left.tobytes() == right.tobytes())
    return type(one) is type(other) and repr(one) == repr(other)


def _mismatch(leaf: AbstractLeaf, value: Value) -> str | None:
    if leaf.kind in ("none", "empty"):
        return None if value is None else f"{leaf} reads as {value!r}"
    if leaf.kind == "string":
        return None if isinstance(value, str) else f"a string reads as {type(value).__name__}"
    return _array_mismatch(leaf, value)


def _array_mismatch(leaf: AbstractLeaf, value: Value) -> str | None:
    assert leaf.aval is not None, "an array or scalar without an abstract array"
    if leaf.kind == "scalar" and not isinstance(value, bool | int | float | complex | np.generic):
        return f"a scalar reads as {type(value).__name__}"
    if leaf.kind == "array" and not isinstance(value, np.ndarray):
        return f"an array reads as {type(value).__name__}"
    array = np.asarray(value)
    found = f"{dtypes.from_numpy(array.dtype)}{list(array.shape)}"
    announced = f"{leaf.aval.dtype}{list(leaf.aval.shape)}"
    return None if found == announced else f"{announced} reads as {found}"


def _chunk_reads() -> int:
    metrics: list[dict[str, Any]] = ts.experimental_collect_matching_metrics(_CHUNK_READS)
    return sum(int(entry["value"]) for metric in metrics for entry in metric["values"])
