"""Several sources are read as one checkpoint."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from migrate.engine.probing.source_tree import whole_tree
from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.joined import JoinedReader, reopened
from migrate.source_names import source_start
from migrate.testing.readers import LAWS
from tests.bundled.migrating import save

MAIN = {"a": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, "n": [np.ones(2, np.int32), np.zeros(3)]}
NAMED = {"a.w": np.full((2, 3), 7, np.float32), "b": np.arange(4, dtype=np.int64)}


@pytest.fixture
def places(tmp_path):
    save_file(NAMED, tmp_path / "named.safetensors")
    return save(tmp_path / "main", MAIN), tmp_path / "named.safetensors"


def joined(places, name="lora"):
    main, named = map(open_reader, places)
    return JoinedReader(main, {name: named})


@pytest.mark.parametrize("law", LAWS[:-1], ids=lambda law: law.__name__)
def test_a_joined_reader_keeps_the_laws(places, law):
    law(lambda: joined(places))


def test_each_leaf_is_read_from_its_own_source(places):
    with joined(places) as reader:
        tree = reader.abstract().tree
        assert [("a", "w"), ("lora:", "a", "w"), ("lora:", "b"), ("n", "0"), ("n", "1")] == list(tree.leaves)
        assert "list" == tree.container(("n",))
        reader.read_ahead(tree.leaves)
        np.testing.assert_array_equal(MAIN["a"]["w"], reader.read(("a", "w")))
        np.testing.assert_array_equal(NAMED["a.w"], reader.read((*source_start("lora"), "a", "w")))
        assert reader.location(("a", "w")) is not None
        assert reader.location(("lora:", "a", "w")) is None
        assert places[1] == reader.extents(("lora:", "a", "w"))[0].file
        with pytest.raises(KeyError):
            reader.read(("other:", "b"))


def test_the_main_source_is_the_one_that_is_described(places):
    with joined(places) as reader, open_reader(places[0]) as main:
        assert (main.abstract().path, main.abstract().format) == (reader.abstract().path, reader.abstract().format)
        parts = reader.abstract().checkpoints
        assert [(), ("lora:",)] == list(parts)
        assert main.abstract().structure_hash == parts[()].structure_hash != reader.abstract().structure_hash


def test_findings_about_a_named_source_have_its_name(tmp_path, places):
    (places[1]).write_bytes(places[1].read_bytes())
    (tmp_path / "folder").mkdir()
    places[1].rename(tmp_path / "folder" / "model.safetensors")
    (tmp_path / "folder" / "notes.txt").write_text("x")
    with joined((places[0], tmp_path / "folder")) as reader:
        assert any(note.message.startswith("source `lora`: ignored") for note in reader.abstract().notes)


def test_another_process_opens_the_same_sources(places):
    with joined(places) as reader, reopened(reader.opening) as again:
        assert reader.abstract().structure_hash == again.abstract().structure_hash
        np.testing.assert_array_equal(NAMED["b"], again.read(("lora:", "b")))
    with open_reader(places[0]) as main, reopened(main.opening) as alone:
        assert not alone.abstract().sources


def test_a_key_path_of_the_main_source_that_begins_with_the_name_is_refused(tmp_path, places):
    save_file({"lora:w/x": np.ones(1)}, tmp_path / "colon.safetensors")
    with pytest.raises(CheckpointError) as caught:
        joined((tmp_path / "colon.safetensors", places[1]))
    assert ["M634"] == [one.code for one in caught.value.diagnostics]
    assert joined((tmp_path / "colon.safetensors", places[1]), "other").abstract().sources


def test_a_probe_gets_the_trees_of_all_sources(places):
    with joined(places) as reader:
        tree = whole_tree(reader)
    assert {"a", "n", "lora:"} == set(tree)
    np.testing.assert_array_equal(NAMED["a.w"], tree["lora:"]["a"]["w"])
    assert isinstance(tree["n"], list)
