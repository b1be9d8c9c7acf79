"""The reader contract (`migrate.formats.reader`): a third-party reader is applied, whatever it can locate."""

import numpy as np
import pytest

import migrate
from migrate.checkpoint import Checkpoint
from migrate.engine.options import MINIMUM_RAM, ApplyOptions
from migrate.engine.run import apply
from migrate.formats.detect import open_reader
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.testing.readers import check_reader
from migrate.tree import Storage
from tests.formats.tiny import TinyItem, TinyReader, write_tiny

CHUNKS = Storage("zarr2", (4, 4), "zstd:1", encoding="e", database=True)
"""What only an array in an OCDBT database has."""

RENAME = "migrate: 1\nrules: ['params/w -> params/v']\n"


@pytest.fixture
def file(tmp_path):
    return write_tiny(tmp_path / "old.tiny", np.arange(16, dtype=np.float32).reshape(4, 4))


def planned(reader, rules=RENAME):
    return make_plan(reader.abstract(), parse_rules(rules, "rules.yaml"), None)


def test_a_reader_that_defines_only_what_is_abstract_locates_nothing(file):
    reader = TinyReader(file)
    assert (None, None) == (reader.location(("params", "w")), reader.extents(("params", "w")))
    assert [file] == list(reader.files())


def test_the_files_of_a_reader_of_a_directory_are_all_below_it(file, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "more").write_bytes(b"")
    reader = TinyReader(file)
    reader._abstract = reader._abstract.__class__(tmp_path, "tiny", reader._abstract.items)
    assert {file, tmp_path / "below" / "more"} == set(reader.files())


@pytest.mark.parametrize("storage", [None, Storage("tiny"), CHUNKS])
def test_a_plan_links_nothing_that_the_reader_cannot_locate(file, storage):
    assert ["stream"] == [task.mode for task in planned(TinyReader(file, storage)).tasks]


@pytest.mark.parametrize("located", [False, True])
@pytest.mark.parametrize("extents", [False, True])
def test_a_reader_of_a_third_party_is_applied(file, tmp_path, located, extents):
    reader = TinyReader(file, CHUNKS, located=located, extents=extents)
    plan = planned(reader)
    receipt = apply(plan, reader, tmp_path / "new", options=ApplyOptions(max_ram=MINIMUM_RAM))
    assert 0 == receipt.linked
    with open_reader(tmp_path / "new") as new:
        value = new.read(("params", "v"))
    assert value.dtype == np.float32
    assert np.arange(16).reshape(4, 4).tolist() == value.tolist()


def test_chunks_that_a_reader_claims_to_locate_and_does_not_are_streamed(file, tmp_path):
    reader = TinyReader(file, CHUNKS, located=True)
    plan = planned(reader)
    assert ["relink"] == [task.mode for task in plan.tasks]
    assert 0 == apply(plan, reader, tmp_path / "new").linked


def test_what_the_reader_does_not_locate_is_still_resumed(file, tmp_path):
    reader = TinyReader(file, CHUNKS, located=True)
    plan = planned(reader)
    stop = iter([False, True])
    with pytest.raises(migrate.StoppedError):
        apply(plan, reader, tmp_path / "new", stopped=lambda: next(stop, True))
    checkpoint = Checkpoint(reader)
    assert 1 == migrate.apply(plan, checkpoint, tmp_path / "new", resume="only").resumed


@pytest.mark.matrix
def test_a_large_array_is_read_in_parts_where_its_bytes_are_located(tmp_path):
    array = np.random.default_rng(0).standard_normal((4096, 6144)).astype(np.float32)
    file = write_tiny(tmp_path / "large.tiny", array)
    rules = "migrate: 1\nrules: [{from: params/w, to: params/v, ops: [{transpose: [1, 0]}]}]\n"
    for extents, reads in ((True, 0), (False, 1)):
        reader = TinyReader(file, extents=extents)
        apply(planned(reader, rules), reader, tmp_path / f"new_{extents}", options=ApplyOptions(max_ram=MINIMUM_RAM))
        assert reads == reader.reads
        with open_reader(tmp_path / f"new_{extents}") as new:
            assert np.array_equal(array.T, new.read(("params", "v")))


def test_a_third_party_s_reader_keeps_every_law(file):
    check_reader(lambda: TinyReader(file, CHUNKS))
    check_reader(lambda: TinyReader(file, CHUNKS, extents=True))


def test_an_item_locates_nothing_by_default(file):
    item = TinyItem(file)
    assert (None, None) == (item.location(("params", "w")), item.extents(("params", "w")))
