"""The laws of the reader contract (`migrate.formats.reader`), as functions that a test of any format can run.

    from migrate.testing.readers import check_reader

    def test_my_format_keeps_the_laws(tmp_path):
        check_reader(lambda: open_reader(write_my_format(tmp_path)))

Each law takes a function that opens the checkpoint again, and fails with an `AssertionError` that names the leaf. The
last one migrates the checkpoint into a temporary directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorstore as ts

from migrate import api, dtypes
from migrate.checkpoint import Checkpoint
from migrate.engine.linking.open_stores import open_array, reading_context
from migrate.engine.options import MINIMUM_RAM
from migrate.errors import CheckpointError
from migrate.formats.base import Extent, Location, Value
from migrate.formats.reader import Reader
from migrate.rules.loader import parse_rules
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, format_path, parse_path

Open = Callable[[], Reader]

_CHUNK_READS = "/tensorstore/cache/chunk_cache/reads"
_NO_SUCH_LEAF = ("no", "such", "leaf", "in any checkpoint")
_MIGRATED_BYTES = 256 << 20
_MIGRATED_LEAVES = 100
_WIDER = {"bfloat16": "float32", "float16": "float32", "float32": "float64", "int32": "int64"}
"""For some dtypes, one that holds all of their values."""


def check_reader(opened: Open) -> None:
    """Runs every law."""
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
    """A value has the kind, shape and dtype that `abstract()` announced; opaque leaves are refused."""
    with opened() as reader:
        for path, leaf in reader.abstract().tree.leaves.items():
            if not leaf.is_readable:
                _assert_refused(reader, path)
                continue
            why = _mismatch(leaf, reader.read(path))
            assert not why, f"{format_path(path)}: {why}"


def paths_form_a_tree(opened: Open) -> None:
    """Key paths print and parse back, and no leaf is below another."""
    with opened() as reader:
        leaves = reader.abstract().tree.leaves
        for path in leaves:
            assert path == () or path == ("",) or parse_path(format_path(path)) == path, format_path(path)
            assert not any(path[:depth] in leaves for depth in range(len(path))), format_path(path)


def containers_have_children(opened: Open) -> None:
    """Every container is above a leaf, and the children of a list are its indices."""
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
    """Concurrent reads return the values of sequential ones."""
    with opened() as reader:
        paths = [path for path, leaf in reader.abstract().tree.leaves.items() if _has_value(leaf)]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(reader.read, paths))
        for path, value in zip(paths, together, strict=True):
            assert same_value(reader.read(path), value), format_path(path)
        readable = [path for path, leaf in reader.abstract().tree.leaves.items() if leaf.is_readable]
        assert list(reader.read_all()) == readable
        assert all(same_value(reader.read(path), value) for path, value in reader.read_all().items())


def closing_twice_is_harmless(opened: Open) -> None:
    """`close` may be called again, and values that were read outlive it."""
    reader = opened()
    values = {path: reader.read(path) for path, leaf in reader.abstract().tree.leaves.items() if _has_value(leaf)}
    copies = {path: np.array(value) for path, value in values.items()}
    reader.close()
    reader.close()
    for path, value in values.items():
        assert same_value(copies[path], np.asarray(value)), format_path(path)


def files_exist(opened: Open) -> None:
    """`files()` lists files, each once."""
    with opened() as reader:
        files = [Path(file) for file in reader.files()]
    lost = [str(file) for file in files if not file.is_file()]
    assert not lost, f"files() lists what is not a file: {lost}"
    assert len(set(files)) == len(files), "files() lists a file twice"


def located_bytes_are_those_that_are_read(opened: Open) -> None:
    """The bytes at `location` and `extents` are the elements that `read` returns."""
    with opened() as reader:
        checkpoint = reader.abstract()
        for path, leaf in checkpoint.tree.leaves.items():
            location, extents = reader.location(path), reader.extents(path)
            linkable = leaf.kind == "array" and leaf.storage is not None and leaf.storage.encoding is not None
            promised = checkpoint.locates_chunks and linkable
            assert location or not promised, f"{format_path(path)}: the checkpoint locates chunks, but not those"
            for name, found in (("location", location), ("extents", extents)):
                if found:
                    value = np.asarray(reader.read(path))
                    assert _stored_bytes(found) == value.tobytes(), f"{format_path(path)}: another value by `{name}`"


def a_migration_writes_what_is_read(opened: Open) -> None:
    """`apply` on the smallest budget writes every leaf under a new key path; arrays are transposed or cast as well.

    Of a large checkpoint only some leaves are migrated.
    """
    with Checkpoint(opened()) as checkpoint, TemporaryDirectory() as folder:
        chosen = _migrated(checkpoint.tree)
        expected = {f"leaf_{n}": (path, *_step_of(checkpoint.tree.leaves[path])) for n, path in enumerate(chosen)}
        if not expected:
            return
        moves = [
            {"from": format_path(path), "to": f"moved/{name}", "ops": [op] if op else []}
            for name, (path, op, _) in expected.items()
        ]
        drops = [{"drop": format_path(path)} for path in checkpoint.tree.leaves if path not in chosen]
        content = json.dumps({"migrate": 1, "follow": "off", "rules": [*moves, *drops]})
        plan = api.plan(checkpoint, parse_rules(content, "rules.yaml"))
        assert plan.applicable, f"it cannot be migrated: {plan.diagnostics[0].message}"
        api.apply(plan, checkpoint, Path(folder, "new"), max_ram=MINIMUM_RAM)
        with api.open_checkpoint(Path(folder, "new")) as written:
            for name, (path, _, change) in expected.items():
                made, meant = written.read(("moved", name)), change(checkpoint.read(path))
                assert same_value(made, meant), f"{format_path(path)} becomes {_form(made)} instead of {_form(meant)}"


LAWS: tuple[Callable[[Open], None], ...] = (
    abstract_reads_no_chunk,
    abstract_is_the_same_twice,
    every_leaf_reads_with_its_aval,
    paths_form_a_tree,
    containers_have_children,
    an_unknown_leaf_is_a_key_error,
    threads_read_what_one_reads,
    closing_twice_is_harmless,
    files_exist,
    located_bytes_are_those_that_are_read,
    a_migration_writes_what_is_read,
)


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal in type, dtype, shape and every bit; NaNs and signed zeros count as their bits."""
    if isinstance(one, np.ndarray | np.generic) or isinstance(other, np.ndarray | np.generic):
        left, right = np.asarray(one), np.asarray(other)
        same_form = left.dtype == right.dtype and left.shape == right.shape
        return bool(same_form and left.tobytes() == right.tobytes())
    return type(one) is type(other) and repr(one) == repr(other)


def _has_value(leaf: AbstractLeaf) -> bool:
    return leaf.has_data and leaf.is_readable


def _assert_refused(reader: Reader, path: KeyPath) -> None:
    try:
        reader.read(path)
    except CheckpointError:
        return
    raise AssertionError(f"{format_path(path)}: reading an opaque leaf did not raise CheckpointError")


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


def _migrated(tree: AbstractTree) -> list[KeyPath]:
    """Returns the first leaves, up to a bound of their number and bytes."""
    chosen: list[KeyPath] = []
    room = _MIGRATED_BYTES
    for path, leaf in tree.leaves.items():
        room -= leaf.nbytes
        if not leaf.is_readable:
            continue
        if room < 0 or len(chosen) >= _MIGRATED_LEAVES:
            break
        chosen.append(path)
    return chosen


def _step_of(leaf: AbstractLeaf) -> tuple[dict[str, Any] | None, Callable[[Value], Value]]:
    """Returns an op that has this leaf streamed (None for other kinds of leaves), and the same op in NumPy."""
    if leaf.kind != "array" or leaf.aval is None or dtypes.kind(leaf.aval.dtype) == "key":
        return None, lambda value: value
    if len(leaf.aval.shape) > 1:
        return {"transpose": list(range(len(leaf.aval.shape)))[::-1]}, np.transpose
    wider = _WIDER.get(leaf.aval.dtype)
    return ({"cast": wider}, lambda value: value.astype(wider)) if wider else (None, lambda value: value)


def _stored_bytes(found: Location | tuple[Extent, ...]) -> bytes:
    if isinstance(found, Location):
        content: bytes = np.asarray(open_array(found, reading_context(0)).read().result()).tobytes()
        return content
    return b"".join(_range_of(extent) for extent in found)


def _range_of(extent: Extent) -> bytes:
    with extent.file.open("rb") as file:
        file.seek(extent.offset)
        return file.read(extent.nbytes)


def _form(value: Value) -> str:
    return f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else repr(value)


def _chunk_reads() -> int:
    metrics: list[dict[str, Any]] = ts.experimental_collect_matching_metrics(_CHUNK_READS)
    return sum(int(entry["value"]) for metric in metrics for entry in metric["values"])
