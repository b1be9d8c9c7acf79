"""Shardings: the leaf's own, else the annotation on the mesh, else replicated or on one device."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from migrate.engine.loading.recipient import recipient_of_object
from migrate.engine.loading.shardings import Placement, current_mesh, local_windows, mesh_of
from migrate.errors import UsageError

HERE = SingleDeviceSharding(jax.devices()[0])


@pytest.fixture
def mesh():
    return jax.make_mesh((1, 1), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


class Annotated(nnx.Module):
    """One kernel with an annotation, and one without."""

    def __init__(self):
        self.split = nnx.Param(jnp.zeros((4, 8)), sharding_names=("model", None))
        self.plain = nnx.Param(jnp.zeros(3))


def chosen(into, placement):
    recipient = recipient_of_object(into, "into", "state")
    return {"/".join(path): sharding for path, sharding in placement.shardings(recipient).items()}


def annotated():
    with nnx.use_eager_sharding(False):
        return nnx.eval_shape(Annotated)


def test_an_annotation_is_taken_on_the_given_mesh_and_other_arrays_are_replicated(mesh):
    found = chosen(annotated(), Placement(mesh))
    assert NamedSharding(mesh, PartitionSpec("model", None)) == found["split"]
    assert NamedSharding(mesh, PartitionSpec()) == found["plain"]


def test_the_mesh_of_the_context_serves_where_none_is_given(mesh):
    with jax.set_mesh(mesh):
        placement = Placement.of(None)
        assert mesh == current_mesh() == placement.current
    assert NamedSharding(mesh, PartitionSpec("model", None)) == chosen(annotated(), placement)["split"]


def test_without_a_mesh_everything_is_on_one_device():
    assert current_mesh() is None
    assert {HERE} == set(chosen(annotated(), Placement.of(None)).values())


def test_a_sharding_of_its_own_comes_first(mesh):
    own = NamedSharding(mesh, PartitionSpec(None, "data"))
    into = {"a": jax.ShapeDtypeStruct((4, 4), jnp.float32, sharding=own), "b": jax.device_put(jnp.zeros(2), HERE)}
    assert {"a": own, "b": HERE} == chosen(into, Placement(None, mesh))


def test_a_given_mesh_moves_arrays_that_are_on_one_device(mesh):
    found = chosen({"b": jax.device_put(jnp.zeros(2), HERE)}, Placement(mesh))
    assert {"b": NamedSharding(mesh, PartitionSpec())} == found


def test_an_abstract_mesh_is_replaced_by_the_mesh_over_devices(mesh):
    with jax.set_mesh(mesh):
        model = nnx.eval_shape(Annotated)
    found = chosen(model, Placement(mesh))["split"]
    assert (mesh, PartitionSpec("model", None)) == (found.mesh, found.spec)


def test_a_mesh_without_the_axis_of_an_annotation_is_an_error_that_names_the_leaf():
    other = jax.make_mesh((1,), ("x",), axis_types=(AxisType.Auto,))
    with pytest.raises(UsageError) as error:
        chosen(annotated(), Placement(other))
    (found,) = error.value.diagnostics
    assert ("M307", ("split",)) == (found.code, found.paths)
    assert "(4, 8)" in found.message


def test_leaves_that_do_not_become_jax_arrays_have_none(mesh):
    import numpy as np

    assert {} == chosen({"a": np.zeros(2), "b": 3, "c": "text"}, Placement(mesh))


def test_a_mesh_is_read_from_text_and_fills_in_an_open_axis():
    for text in ("data=1,model=-1", (("data", 1), ("model", 1))):
        mesh = mesh_of(text)
        assert ({"data": 1, "model": 1}, (AxisType.Auto,) * 2) == (dict(mesh.shape), mesh.axis_types)
    assert mesh_of(None) is None
    assert mesh is mesh_of(mesh)


@pytest.mark.parametrize("text", ["data=2,model=4", "data=3,model=-1"])
def test_a_mesh_of_more_devices_than_there_are_is_an_error(text):
    with pytest.raises(UsageError, match=r"the mesh `data=.*needs .* devices, and there are 1"):
        mesh_of(text)


def test_windows_are_those_of_the_devices(mesh):
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    assert {((0, 4), (0, 2)): jax.devices()[:1]} == local_windows(sharding, (4, 2))
    assert {(): jax.devices()[:1]} == local_windows(HERE, ())
    assert {((0, 0),): jax.devices()[:1]} == local_windows(HERE, (0,))
