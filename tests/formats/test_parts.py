"""Numbered parts of one checkpoint, and their index: what safetensors and msgpack share."""

import pytest

from migrate.errors import CheckpointError
from migrate.formats.parts import read_index, refuse_lone_part, siblings


def test_siblings_keep_the_width_of_the_numbers():
    assert ["m-001-of-3.st", "m-002-of-3.st", "m-003-of-3.st"] == siblings("m-002-of-3.st")
    assert [] == siblings("model.safetensors")
    assert [] == siblings("m-1-of-999999999.st")


def test_the_only_part_of_one_is_no_lone_part(tmp_path):
    refuse_lone_part(tmp_path / "model-00001-of-00001.safetensors")
    refuse_lone_part(tmp_path / "model.safetensors")


def test_a_lone_part_whose_others_are_there_is_opened_with_its_folder(tmp_path):
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        refuse_lone_part(tmp_path / "model-00001-of-00002.safetensors")
    (found,) = caught.value.diagnostics
    assert f"open all parts together: `{tmp_path}`" == found.help
    assert "the other part is `model-00002-of-00002.safetensors`" in found.message


@pytest.mark.parametrize("weight_map", ["null", "{}", '{"a": 1}', '{"a": "../b"}'])
def test_an_index_without_files_beside_it_is_damaged(tmp_path, weight_map):
    (tmp_path / "x.index.json").write_text(f'{{"weight_map": {weight_map}}}')
    with pytest.raises(CheckpointError, match="damaged"):
        read_index(tmp_path / "x.index.json")
