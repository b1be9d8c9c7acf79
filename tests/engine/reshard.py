"""Saves and restores a tree on eight host devices under named layouts, with plain Orbax; a process of its own.

    python tests/engine/reshard.py save FOLDER LAYOUT=zarr2|zarr3 …
    python tests/engine/reshard.py restore RESULT.json LAYOUT=PATH …

`save` writes each checkpoint into the directory LAYOUT-VERSION of FOLDER.

`restore` writes for every path the digest of each array, and what each device keeps and decodes: TensorStore reads the
window of each device alone, without a cache, and counts the bytes that it decodes.
"""

import hashlib
import json
import os
import sys

LAYOUTS = {
    "one": ("x=1", []),
    "rows": ("x=8", ["x"]),
    "columns": ("x=8", [None, "x"]),
    "2x4": ("x=2,y=4", ["x", "y"]),
    "4x2": ("x=4,y=2", ["x", "y"]),
    "uneven": ("x=3,y=2", ["x", "y"]),
    "both": ("x=2,y=4", [["y", "x"]]),
    "replicated": ("x=8", []),
}
"""The axes of each mesh, and the spec of the matrices; vectors have its first entry."""

SHAPES = {
    "a": ((768, 384), "float32"),
    "b": ((384, 1536), "bfloat16"),
    "c": ((48, 96, 96), "int32"),
    "v": ((48,), "float32"),
}


def values():
    import ml_dtypes
    import numpy as np

    rng = np.random.default_rng(0)
    dtypes = {"float32": np.float32, "int32": np.int32, "bfloat16": ml_dtypes.bfloat16}
    return {name: (rng.standard_normal(shape) * 1000).astype(dtypes[dtype]) for name, (shape, dtype) in SHAPES.items()}


def sharding(layout, rank):
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    axes, spec = LAYOUTS[layout]
    sizes = {name: int(size) for name, size in (axis.split("=") for axis in axes.split(","))}
    count = int(np.prod(list(sizes.values())))
    mesh = Mesh(np.array(jax.devices()[:count]).reshape(tuple(sizes.values())), tuple(sizes))
    entries = [tuple(entry) if isinstance(entry, list) else entry for entry in spec]
    return NamedSharding(mesh, PartitionSpec(*entries[: 1 if rank == 1 else None]))


def save(layout, path, version):
    import jax
    import orbax.checkpoint as ocp

    tree = {name: jax.device_put(value, sharding(layout, value.ndim)) for name, value in values().items()}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=version == "zarr3")) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(tree))


def restore(layout, path):
    import numpy as np
    import orbax.checkpoint as ocp

    wanted = {name: sharding(layout, len(shape)) for name, (shape, _) in SHAPES.items()}
    arguments = {name: ocp.ArrayRestoreArgs(sharding=each) for name, each in wanted.items()}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        arrays = checkpointer.restore(path, args=ocp.args.PyTreeRestore(restore_args=arguments))
    assert all(arrays[name].sharding == wanted[name] for name in SHAPES)
    return {
        "digests": {name: hashlib.sha256(np.asarray(array).tobytes()).hexdigest() for name, array in arrays.items()},
        "decoded": {name: decoded(path, name, wanted[name]) for name in SHAPES},
    }


def decoded(path, name, wanted):
    """The bytes that each device keeps and decodes, in the order of the mesh."""
    import tensorstore as ts

    from migrate.engine.linking.open_stores import open_array, reading_context
    from migrate.formats.detect import open_reader

    with open_reader(path) as reader:
        location = reader.location((name,))
    found = []
    windows = wanted.devices_indices_map(SHAPES[name][0])
    for device in wanted.mesh.devices.flat:
        array = open_array(location, reading_context(0))
        before = counted(ts)
        kept = array[windows[device]].read().result().nbytes
        found.append([kept, counted(ts) - before])
    return found


def counted(ts):
    """The bytes that TensorStore's decoders have taken from their readers."""
    found = ts.experimental_collect_matching_metrics("/tensorstore/internal/riegeli/")
    return sum(value["value"] for metric in found for value in metric["values"])


def main(verb, *arguments):
    result, *pairs = arguments
    if verb == "save":
        for layout, version in (pair.split("=") for pair in pairs):
            save(layout, os.path.join(result, f"{layout}-{version}"), version)
        return
    found = {pair: restore(*pair.split("=", 1)) for pair in pairs}
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    os.environ["JAX_PLATFORMS"] = "cpu"
    main(*sys.argv[1:])
