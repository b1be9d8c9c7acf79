import base64
import json

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import UsageError
from migrate.sharding import PORTABLE, from_orbax_json, parse_mesh, spec_from_partition, to_orbax_json
from migrate.tree import Sharding

names = st.sampled_from(["data", "model", "expert", "seq"])
meshes = st.dictionaries(names, st.integers(1, 64) | st.just(-1), min_size=1, max_size=4).filter(
    lambda axes: list(axes.values()).count(-1) < 2
)
entries = st.none() | st.lists(names, min_size=1, max_size=2).map(tuple)


@given(meshes)
def test_a_mesh_is_what_was_written(axes):
    assert tuple(axes.items()) == parse_mesh(",".join(f"{name}={size}" for name, size in axes.items()))


def test_spaces_in_a_mesh_mean_nothing():
    assert (("data", 2), ("model", -1)) == parse_mesh(" data = 2, model=-1 ")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["is not a mesh"]),
        ("data", ["the size of mesh axis `data` is ``"]),
        ("=2", ["has no axis name before `=2`"]),
        ("data=2,", ["is not a mesh"]),
        ("data=0", ["is `0`, not a positive integer"]),
        ("data=-2", ["is `-2`, not a positive integer"]),
        ("data=1.5,model=x", ["`data` is `1.5`", "`model` is `x`"]),
        ("data=²", ["is `²`, not a positive integer"]),
        ("data=2,data=4", ["the axis `data` twice"]),
        ("a=-1,b=-1", ["more than one axis of size -1"]),
        ("a=-1,a=-1", ["the axis `a` twice", "more than one axis of size -1"]),
    ],
)
def test_everything_that_is_wrong_with_a_mesh_is_told(text, messages):
    with pytest.raises(UsageError) as caught:
        parse_mesh(text)
    assert ["M307"] * len(messages) == [diagnostic.code for diagnostic in caught.value.diagnostics]
    for message, diagnostic in zip(messages, caught.value.diagnostics, strict=True):
        assert message in diagnostic.message


@given(meshes, st.lists(entries, max_size=4))
def test_a_sharding_survives_orbax_json(axes, spec):
    sharding = Sharding(tuple(axes.items()), spec_from_partition(spec))
    assert sharding == from_orbax_json(to_orbax_json(sharding))


def test_no_sharding_is_written_as_the_portable_one():
    expected = {"sharding_type": "NamedSharding", "shape": [-1], "axis_names": ["devices"], "partition_spec": []}
    assert expected == json.loads(to_orbax_json(PORTABLE))
    assert to_orbax_json(PORTABLE) == to_orbax_json(None)


def test_a_sharding_without_a_mesh_is_not_written():
    with pytest.raises(ValueError, match="no mesh"):
        to_orbax_json(Sharding((), (("model",),)))


@pytest.mark.parametrize(
    "text",
    [
        None,
        3,
        "",
        "{",
        "[]",
        "null",
        '{"sharding_type": "SingleDeviceSharding", "device_str": "TFRT_CPU_0"}',
        '{"sharding_type": "NamedSharding"}',
        '{"sharding_type": "NamedSharding", "shape": [1, 2], "axis_names": ["a"], "partition_spec": []}',
        '{"sharding_type": "NamedSharding", "shape": ["x"], "axis_names": ["a"], "partition_spec": []}',
        '{"sharding_type": "NamedSharding", "shape": [1], "axis_names": ["a"], "partition_spec": 3}',
        "[" * 100_000,
    ],
)
def test_what_cannot_be_understood_is_no_sharding(text):
    assert from_orbax_json(text) is None


def test_unconstrained_dimensions_ask_for_nothing():
    spec = jax.sharding.PartitionSpec("data", jax.sharding.PartitionSpec.UNCONSTRAINED, ("a", "b"), None)
    assert (("data",), None, ("a", "b")) == spec_from_partition(spec)


def test_the_json_is_what_orbax_writes_and_reads(tmp_path):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))
    named = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, ("data", "model")))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", {"a": jax.device_put(np.ones((2, 4)), named)})
    key = base64.urlsafe_b64encode(b"a").decode()
    file = tmp_path / "saved" / "_sharding"
    expected = Sharding((("data", 1), ("model", 1)), (None, ("data", "model")))
    assert expected == from_orbax_json(json.loads(file.read_text())[key])
    file.write_text(json.dumps({key: to_orbax_json(Sharding((("data", -1), ("model", 1)), expected.spec))}))
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "saved")["a"]
    assert named.spec == restored.sharding.spec
