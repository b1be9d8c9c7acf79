"""Loads cases onto eight host devices and compares every leaf with Orbax's typed restore of the migrated copy.

    python -m tests.engine.loading.eight_devices WORK CASE...

The number of devices has to be fixed before JAX starts, so this is a process of its own. It prints one line of JSON for
each case and way: the number of leaves, and the key paths of those that differ.
"""

import json
import logging
import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # the flags have to be set first
import orbax.checkpoint as ocp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import migrate
from migrate.engine.loading import jobs
from migrate.engine.loading.recipient import recipient_of_callable, recipient_of_object
from migrate.engine.loading.shardings import Placement
from migrate.template.parts import saved_pytree, states_of
from tests.engine.loading import training
from tests.engine.loading.comparing import compared, placed, restored_pytree
from tests.oracle.cases import CASES, Case

MESHES = {"2x4": (2, 4), "8x1": (8, 1)}


def mesh_of(grid):
    return jax.make_mesh(MESHES[grid], ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def spread(leaf, mesh):
    """An abstract array that is split over as many axes of the mesh as its dimensions allow; other leaves unchanged."""
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    free, spec = list(mesh.axis_names), []
    for size in () if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf.shape:
        axis = next((name for name in free if size % mesh.shape[name] == 0), None)
        spec.append(axis)
        free = [name for name in free if name != axis]
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, PartitionSpec(*spec)))


def restored(copy, abstract):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(copy.absolute(), abstract)


def ways(case, copy):
    """Every way of loading a case, with what Orbax restores for it."""
    rules = migrate.load_rules(case.rules)
    layout = rules.target.layout or "state"
    abstract = recipient_of_callable(rules.target.template, rules.target.args, layout).pytrees[""]
    for grid in MESHES:
        mesh = mesh_of(grid)
        into = jax.tree.map(lambda leaf, mesh=mesh: spread(leaf, mesh), abstract)
        yield f"into, {grid}", restored(copy, into), migrate.load(case.checkpoint, rules, into=into)
    every = jax.tree.map(lambda leaf: placed(leaf, mesh), abstract)
    loaded = migrate.load(case.checkpoint, case.rules, mesh=mesh)
    yield "template on a mesh", restored(copy, every), saved_pytree(loaded, layout)
    alone = jax.tree.map(lambda leaf: placed(leaf, None), abstract)
    yield "template on one device", restored(copy, alone), saved_pytree(migrate.load(case.checkpoint, rules), layout)


def training_ways(case, copy):
    """A training state whose model has annotations: on the given mesh, on that of the context, into a live model."""
    for grid in MESHES:
        mesh = mesh_of(grid)
        sides = f"data={MESHES[grid][0]},model={MESHES[grid][1]}"
        expected = restored_pytree(copy, wanted(recipient_of_callable(training.MODEL, None, "state"), mesh))
        loaded = migrate.load(case.checkpoint, case.rules, training.MODEL, mesh=sides)
        assert PartitionSpec(None, "data", "model", None) == loaded["model"].blocks.q.get_value().sharding.spec
        yield f"template, {grid}", expected, states_of(loaded)
        with jax.set_mesh(mesh):
            yield f"context, {grid}", expected, states_of(migrate.load(case.checkpoint, case.rules, training.MODEL))
        live = training.make()
        kept = NamedSharding(mesh, PartitionSpec(None, ("data", "model")))
        live["model"].blocks.q.set_value(jax.device_put(live["model"].blocks.q.get_value(), kept))
        variable = live["model"].blocks.q
        expected = restored_pytree(copy, wanted(recipient_of_object(live, training.MODEL, "state"), mesh))
        filled = migrate.load(case.checkpoint, case.rules, into=live, mesh=mesh)
        assert filled["model"] is live["model"]
        assert variable is filled["model"].blocks.q
        assert kept == variable.get_value().sharding
        expected["model"]["blocks"]["gate"].set_value(live["model"].blocks.gate.get_value())
        yield f"live model, {grid}", expected, states_of(filled)


def wanted(recipient, mesh):
    """The abstract pytree of a recipient, with the shardings that a load on a mesh has."""
    shardings = Placement(mesh).shardings(recipient)
    paths = dict(zip(map(id, jax.tree.leaves(recipient.pytrees[""])), recipient.leaves, strict=True))
    return jax.tree.map(lambda leaf: _on(leaf, shardings.get(paths[id(leaf)])), recipient.pytrees[""])


def _on(leaf, sharding):
    if sharding is None:
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def main(work, names):
    logging.disable(logging.WARNING)
    training.save(Path(work))
    trained = Case("training", Path(work) / "old", Path(work) / "rules.yaml", dict, Path())
    large, usual = -1, jobs.SMALL_BYTES
    for case in (case for case in (*CASES, trained) if case.name in names):
        copy = Path(work) / case.name
        with migrate.open_checkpoint(case.checkpoint) as checkpoint:
            template = None if case is not trained else training.MODEL
            migrate.apply(migrate.plan(checkpoint, case.rules, template), checkpoint, copy)
        for jobs.SMALL_BYTES in (usual, large):  # the arrays of fixtures are small; then as if they were large
            for way, expected, actual in (training_ways if case is trained else ways)(case, copy):
                found = compared(expected, actual)
                print(json.dumps({"case": case.name, "way": way, "small": jobs.SMALL_BYTES == usual, **found}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
