"""Small checkpoints for the attacks, written once by Orbax, Flax, safetensors and NumPy.

python -m tests.torture.sources FOLDER
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"


def prepare(folder):
    """Writes the checkpoints in another process, unless the directory has them; several processes may call it."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            scratch = folder.with_name(folder.name + ".part")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            subprocess.run([sys.executable, "-m", "tests.torture.sources", str(scratch)], check=True, cwd=ROOT)
            scratch.rename(folder)
    return folder


def tree(seed=0, large=True):
    """Arrays of which `MIXED` streams half, a large one and some numbers."""
    rng = np.random.default_rng(seed)
    arrays = {kind: {str(i): _normal(rng, 8, 16) for i in range(4)} for kind in ("flipped", "kept")}
    if large:
        arrays["flipped"]["4"] = _normal(rng, 256, 384)
        arrays["kept"]["4"] = _normal(rng, 64, 96)
    return {**arrays, "step": np.int32(7), "count": np.arange(5, dtype="int32")}


def _normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def flat(nested, prefix=""):
    """A tree as a mapping from names with dots to arrays."""
    found = {}
    for name, value in nested.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: np.asarray(value)}
    return found


def write_all(folder):
    """Writes every checkpoint."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import orbax.checkpoint as ocp
    from flax import serialization
    from safetensors.numpy import save_file

    def orbax(name, value, **options):
        with ocp.PyTreeCheckpointer(**options) as checkpointer:
            checkpointer.save(folder / name, jax.tree.map(jax.numpy.asarray, value))

    orbax("ocdbt", tree())
    orbax("other", tree(1))
    orbax("ocdbt_zarr3", tree(), use_zarr3=True)
    orbax("zarr", tree(), use_ocdbt=False)
    orbax("zarr3", tree(), use_ocdbt=False, use_zarr3=True)
    orbax("small", tree(large=False))
    orbax("small_zarr", tree(large=False), use_ocdbt=False)
    with ocp.CheckpointManager(folder / "manager") as manager:
        for step in (1, 2, 5):
            manager.save(step, args=ocp.args.StandardSave(jax.tree.map(jax.numpy.asarray, tree(step))))
    content = serialization.msgpack_serialize(tree())
    (folder / "file.msgpack").write_bytes(content)
    (folder / "small.msgpack").write_bytes(serialization.msgpack_serialize(tree(large=False)))
    save_file(flat(tree()), folder / "file.safetensors")
    save_file(flat(tree(large=False)), folder / "small.safetensors")
    names = {name.replace(".", "/"): value for name, value in flat(tree()).items()}
    np.savez(folder / "file.npz", **names)
    np.savez_compressed(folder / "small.npz", **names)
    np.savez(folder / "tiny.npz", a=np.arange(6.0).reshape(2, 3), b=np.ones((), "int32"))
    _copy_fixtures(folder)


def _copy_fixtures(folder):
    for case in ("linen_2022/cnn_flax_msgpack", "linen_2022/cnn_orbax_aggregate", "linen_2022/cnn_orbax_per_array"):
        shutil.copytree(FIXTURES / case / "ckpt", folder / case.replace("/", "_"), symlinks=True)
    for case in ("linen_2024/cnn_standard", "nnx_2024/cnn_pure_dict"):
        shutil.copytree(FIXTURES / case / "ckpt", folder / case.replace("/", "_"), symlinks=True)
    shutil.copytree(ROOT / "tests/formats/zarr/tensorstore_0_1_35/item", folder / "early")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]).resolve())
