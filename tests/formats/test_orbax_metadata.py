import json

import pytest

from migrate.formats import orbax_metadata
from migrate.tree import Sharding

NAMED = {"sharding_type": "NamedSharding", "shape": [2, -1], "axis_names": ["data", "model"]}


def spec(*entries, **changes):
    return json.dumps({**NAMED, "partition_spec": entries, **changes})


def sharding_of(folder, content, name="a"):
    (folder / "_sharding").write_text(json.dumps(content))
    return orbax_metadata.read_shardings(folder, [name]).get(name)


@pytest.mark.parametrize("key", ["YQ==", "a"])
def test_a_sharding_is_found_under_its_encoded_and_its_raw_name(tmp_path, key):
    expected = Sharding((("data", 2), ("model", -1)), (("data",), None, ("data", "model")))
    assert expected == sharding_of(tmp_path, {key: spec("data", None, ["data", "model"])})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        5,
        None,
        "[]",
        json.dumps({"sharding_type": "SingleDeviceSharding", "device_str": "cuda:0"}),
        spec(axis_names=["data"]),
        spec(shape="many"),
    ],
)
def test_what_is_no_named_sharding_is_left_out(tmp_path, text):
    assert None is sharding_of(tmp_path, {"a": text})


@pytest.mark.parametrize(
    ("custom", "expected"),
    [({"a": 1}, {"a": 1}), (None, {}), ([1], {"custom_metadata": [1]}), ("x", {"custom_metadata": "x"})],
)
def test_custom_metadata_is_a_mapping_whatever_was_saved(tmp_path, custom, expected):
    (tmp_path / "_CHECKPOINT_METADATA").write_text(json.dumps({"custom_metadata": custom}))
    assert expected == orbax_metadata.read_custom_metadata(tmp_path)


@pytest.mark.parametrize(
    ("flags", "files", "expected"),
    [
        ({}, ["checkpoint"], "0.4.3 to 0.5.20"),
        ({}, [], "0.4.3 or later"),
        ({"store_array_data_equal_to_fill_value": True}, [], "0.10.1 or later"),
        ({"custom_metadata": None}, [], "0.11.1 or later"),
        ({"custom_metadata": None, "use_ocdbt": True}, [], "0.11.31 or later"),
        ({"use_ocdbt": True}, ["commit_success.txt"], "0.12.3 or later"),
    ],
)
def test_the_era_follows_from_files_and_fields(tmp_path, flags, files, expected):
    for file in files:
        (tmp_path / file).touch()
    (tmp_path / "_METADATA").write_text(json.dumps({"tree_metadata": {}, **flags}))
    assert f"orbax-checkpoint {expected}" == orbax_metadata.describe_era(tmp_path, orbax_metadata.read_tree(tmp_path))


def test_the_era_without_a_tree_is_older(tmp_path):
    assert "orbax-checkpoint before 0.4.3" == orbax_metadata.describe_era(tmp_path, None)
    for name in ("checkpoint", "manifest.ocdbt"):
        (tmp_path / name).touch()
    assert "orbax-checkpoint 0.4.0 to 0.4.2" == orbax_metadata.describe_era(tmp_path, None)
