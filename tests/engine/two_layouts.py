"""Steps that Orbax wrote in several ways, and the code that loads an old and a new layout from them, v0 and v1."""

import hashlib
import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import v1

from migrate.engine.layouts.expand import Expansion
from migrate.engine.options import ApplyOptions
from migrate.formats.step_item import open_step_item
from tests.engine.sources import plan_for

STEP = 7
RULES = "rules: [{from: 'layers_{i}/w', to: 'blocks/w', ops: [{stack: {axis: 0, over: i}}]}]"
"""Everything is linked."""

STREAMING = "rules: [{from: 'layers_{i}/w', to: 'turned/{i}', ops: [{flip: {axis: 0}}]}]"
"""The layers are streamed, the rest is linked."""


def tree():
    rng = np.random.default_rng(0)
    layers = {f"layers_{i}": {"w": jnp.asarray(rng.normal(size=(64, 32)).astype("float32"))} for i in range(3)}
    return {**layers, "bias": jnp.arange(5.0)}


def new_tree():
    """What `RULES` makes of the tree."""
    old = tree()
    return {"blocks": {"w": jnp.stack([old[f"layers_{i}"]["w"] for i in range(3)])}, "bias": old["bias"]}


def _v0(root, **items):
    with ocp.CheckpointManager(root) as manager:
        args = ocp.args.Composite(**items) if set(items) != {"default"} else items["default"]
        manager.save(STEP, args=args, custom_metadata={"mine": 1})


def v0_default(root):
    _v0(root, default=ocp.args.StandardSave(tree()))


def v0_named(root):
    _v0(root, state=ocp.args.StandardSave(tree()), config=ocp.args.JsonSave({"n": 1}))


def v0_zarr(root):
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
    with ocp.CheckpointManager(root, item_handlers={"state": handler}) as manager:
        manager.save(STEP, args=ocp.args.Composite(state=ocp.args.PyTreeSave(tree())))


def v1_state(root):
    with v1.training.Checkpointer(root) as checkpointer:
        checkpointer.save(STEP, tree(), custom_metadata={"mine": 1})


def v1_named(root):
    with v1.training.Checkpointer(root) as checkpointer:
        checkpointer.save_checkpointables(STEP, {"model": tree()})


WRITERS = {
    "v0-default": (v0_default, "default"),
    "v0-named": (v0_named, "state"),
    "v0-zarr": (v0_zarr, "state"),
    "v1-state": (v1_state, "state"),
    "v1-named": (v1_named, "model"),
}
"""Functions that save a root with one step, and the item with the tree."""


def written(kind, folder):
    """Returns the step of a new root, and its item."""
    write, item = WRITERS[kind]
    write(folder / "run")
    return folder / "run" / str(STEP), item


def expanded(step, *, rules=RULES, item=None, name="new", how=None, **options):
    """Adds a layout to a step."""
    with open_step_item(step, item) as reader:
        expansion = Expansion(reader, name)
        return expansion.run(plan_for(reader, rules), ApplyOptions(**options), **(how or {}))


def _shapes(wanted):
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, wanted)


def _same(wanted, found):
    jax.tree.map(np.testing.assert_array_equal, wanted, found)


def loads(step, item, wanted):
    """Restores an item of a step with both APIs, as training code does, and compares it with a tree."""
    root, number = step.parent, int(step.name)
    shapes = _shapes(wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = sorted(child.name for child in step.iterdir() if child.is_dir())
        with ocp.CheckpointManager(root, item_names=names) as manager:
            assert [number] == manager.all_steps()
            restored = manager.restore(number, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(shapes)}))
            _same(wanted, restored[item])
        if item == "default":
            with ocp.CheckpointManager(root) as manager:
                _same(wanted, manager.restore(number, args=ocp.args.StandardRestore(shapes)))
        with v1.training.Checkpointer(root) as checkpointer:
            assert [number] == [one.step for one in checkpointer.checkpoints]
            assert item in checkpointer.checkpointables_metadata(number).metadata
            _same(wanted, checkpointer.load_checkpointables(number, {item: shapes})[item])


def loads_without_arguments(step):
    """Returns the items of `CheckpointManager.restore` without arguments; None where Orbax refuses it."""
    with ocp.CheckpointManager(step.parent) as manager:
        try:
            found = manager.restore(int(step.name))
        except ValueError:
            return None
    return sorted(found.keys())


def digests_of_files(folder):
    """Returns a digest of the content, and the inode, of every file below a directory."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_ino)
        for path in files
    }


def blocks_of(folder):
    """Returns the bytes on disk below a directory, each inode once."""
    places = [folder, *folder.rglob("*")]
    return 512 * sum({os.lstat(path).st_ino: os.lstat(path).st_blocks for path in places}.values())
