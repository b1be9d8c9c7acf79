import json

import pytest

from migrate.formats.orbax import metadata as orbax_metadata
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


@pytest.mark.parametrize("key", ["custom_metadata", "custom"])
def test_custom_metadata_is_found_under_its_present_and_its_first_name(tmp_path, key):
    (tmp_path / "_CHECKPOINT_METADATA").write_text(json.dumps({key: {"a": 1}}))
    assert {"a": 1} == orbax_metadata.read_custom_metadata(tmp_path)


@pytest.mark.parametrize(
    ("custom", "expected"),
    [({"a": 1}, {"a": 1}), (None, {}), ([1], {"custom_metadata": [1]}), ("x", {"custom_metadata": "x"})],
)
def test_custom_metadata_is_a_mapping_whatever_was_saved(tmp_path, custom, expected):
    (tmp_path / "_CHECKPOINT_METADATA").write_text(json.dumps({"custom_metadata": custom}))
    assert expected == orbax_metadata.read_custom_metadata(tmp_path)
