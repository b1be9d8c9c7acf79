"""A file that is filled in any order; covers `outputs.file_layout` as well."""

import numpy as np
import pytest

from migrate.engine.outputs.file_layout import FileLayout, FileRegion
from migrate.engine.outputs.file_store import FileStore, file_of, recall, remember
from migrate.engine.streaming.array_bytes import digest, raw_bytes
from migrate.tree import AbstractArray, AbstractLeaf

LEAF = AbstractLeaf("array", AbstractArray((4, 2), "float32"))
ARRAY = np.arange(8, dtype="float32").reshape(4, 2)


def raw(leaf, array):
    return raw_bytes(array)


@pytest.fixture
def layout():
    return FileLayout.of([b"head", FileRegion(("a",), 32), b"tail"])


def test_a_layout_gives_every_part_its_offset(layout):
    assert ({0: b"head", 36: b"tail"}, {"file": 40}) == (layout.fixed, layout.sizes)
    assert [(4, 32)] == [(place.offset, place.nbytes) for place in layout.ranges["a",]]


def test_regions_of_one_leaf_are_filled_one_after_another(tmp_path):
    layout = FileLayout.of([b"<", FileRegion(("a",), 3), b"|", FileRegion(("a",), 2), b">"])
    remember(tmp_path, {}, layout.sizes)
    with FileStore(tmp_path, layout, raw) as store:
        for start, content in ((4, b"e"), (0, b"ab"), (2, b"cd")):
            store.put(layout.ranges["a",], start, memoryview(content))
        store.finish(layout.fixed)
    assert b"<abc|de>" == file_of(tmp_path).read_bytes()


def test_a_whole_array_and_the_same_in_tiles_are_the_same_bytes(tmp_path, layout):
    contents, told = [], []
    for name in ("whole", "tiled"):
        remember(tmp_path / name, {}, layout.sizes)
        with FileStore(tmp_path / name, layout, raw) as store:
            if name == "whole":
                store.write(("a",), LEAF, ARRAY, codec=None, done=told.append)
            else:
                tiles = store.tiled(("a",), LEAF, (1, 2), None, told.append)
                for row in range(4):
                    tiles.write((row, 0), ARRAY[row : row + 1])
                tiles.finish(digest(ARRAY))
            store.finish(layout.fixed)
        contents.append(file_of(tmp_path / name).read_bytes())
    assert [b"head" + ARRAY.tobytes() + b"tail"] * 2 == contents
    assert [digest(ARRAY)] * 2 == [staged.digest for staged in told]


def test_nobody_is_told_of_arrays_of_a_failed_run(tmp_path, layout):
    told = []
    remember(tmp_path, {}, layout.sizes)

    def fail():
        with FileStore(tmp_path, layout, raw) as store:
            store.write(("a",), LEAF, ARRAY, codec=None, done=told.append)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [] == told


def test_a_note_is_recalled_only_while_its_file_is_the_one_that_was_created(tmp_path):
    assert recall(tmp_path) is None
    remember(tmp_path, {"metadata": {}}, {"file": 5})
    assert {"metadata": {}, "sizes": {"file": 5}} == recall(tmp_path)
    (tmp_path / "published").hardlink_to(file_of(tmp_path))
    assert recall(tmp_path) is None
    (tmp_path / "published").unlink()
    file_of(tmp_path).write_bytes(b"1234")
    assert recall(tmp_path) is None


def test_offsets_count_on_from_one_file_to_the_next(tmp_path):
    parts = {"one": [b"<", FileRegion(("a",), 2)], "two": [FileRegion(("b",), 3), b">"], "three": [b"end"]}
    layout = FileLayout.joined(parts)
    assert {"one": 3, "two": 4, "three": 3} == layout.sizes
    remember(tmp_path, {}, layout.sizes)
    with FileStore(tmp_path, layout, raw) as store:
        store.put(layout.ranges["b",], 0, memoryview(b"bcd"))
        store.put(layout.ranges["a",], 0, memoryview(b"ab"))
        store.finish(layout.fixed)
    assert [b"<ab", b"bcd>", b"end"] == [file_of(tmp_path, name).read_bytes() for name in parts]
