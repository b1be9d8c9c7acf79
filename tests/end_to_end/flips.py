"""Byte flips in checkpoints that migrate wrote: `verify` has to find each that changes a value that others read.

`python -m tests.end_to_end.flips [COUNT]` tries COUNT flips (default: 1,000) over all kinds of checkpoint and prints a
line of JSON for each kind. It is a process of its own because a failed restore of Orbax leaves coroutines behind that
complain when they are collected.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from safetensors import safe_open

import migrate
from migrate.errors import MigrateError
from migrate.formats.digest_record import FILE

KINDS = {
    "zarr2": (False, "zstd:1", "new"),
    "zarr2, not compressed": (False, "none", "new"),
    "zarr3": (True, "zstd:1", "new"),
    "zarr3, not compressed": (True, "none", "new"),
    "zarr2, linked and stamped": (False, None, "new"),
    "safetensors": (False, None, "new.safetensors"),
}
"""By name: whether the source is zarr 3, the compression, DST's name."""

RULES = """migrate: 1
rules:
  - "a/** -> moved/**"
"""
TENSORS_ONLY = "  - drop: text\n  - drop: key\n"


def tree():
    """Arrays of several dtypes and chunks, numbers, keys, strings, lists and leaves without data."""
    rng = np.random.default_rng(0)
    return {
        "a": {"kernel": jnp.asarray(rng.normal(size=(24, 16)), jnp.float32), "bias": jnp.ones(7, jnp.bfloat16)},
        "list": [jnp.arange(5), {"zeros": jnp.zeros((40, 8))}],
        "key": jax.random.split(jax.random.key(1), 3),
        "text": "hello",
        "step": 7,
        "rate": 0.5,
        "none": None,
        "empty": {},
        "wide": np.array([2**40, -1]),
    }


def written(folder, kind):
    """Returns a checkpoint that migrate wrote in `folder`."""
    zarr3, compression, name = KINDS[kind]
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(folder / "old", args=ocp.args.PyTreeSave(tree()))
    single = name.endswith(".safetensors")
    (folder / "rules.yaml").write_text(RULES + (TENSORS_ONLY if single else ""))
    with migrate.open_checkpoint(folder / "old") as source:
        link = "auto" if compression is None else "never"
        plan = migrate.plan(source, folder / "rules.yaml", link=link, destination=folder / name)
        migrate.apply(plan, source, folder / name, compression=compression)
    if kind.endswith("stamped"):
        migrate.stamp(folder / name, digests=True)
    return folder / name


def offsets(checkpoint, count, seed):
    """Yields files with an offset and a mask: in every file some, the others by size."""
    files = sorted(path for path in [checkpoint, *checkpoint.rglob("*")] if path.is_file() and path.stat().st_size)
    chance = random.Random(seed)
    for number in range(count):
        sizes = [path.stat().st_size for path in files]
        file = files[number % len(files)] if number % 2 else chance.choices(files, sizes)[0]
        yield file, chance.randrange(file.stat().st_size), chance.choice((1, 2, 4, 8, 16, 32, 64, 128, 255, 3))


def plain_values(checkpoint):
    """Returns every value as plain Orbax or the safetensors library reads it, comparable bit by bit."""
    if checkpoint.is_file():
        with safe_open(checkpoint, "np") as file:
            return {name: _bits(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - not a mapping
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        restored = checkpointer.restore(checkpoint)
    flat, _ = jax.tree_util.tree_flatten_with_path(restored, is_leaf=lambda leaf: leaf is None)
    return {jax.tree_util.keystr(path): _bits(leaf) for path, leaf in flat}


def _bits(value):
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return (str(value.dtype), np.asarray(jax.random.key_data(value)).tobytes())
    if isinstance(value, str) or value is None:
        return value
    array = np.asarray(value)
    return (array.dtype.name, array.shape, array.tobytes())


def outcome(checkpoint, before):
    """`refused` by `verify`; or what others read: `equal` values, `wrong` values, or an error (`unreadable`)."""
    try:
        migrate.verify(checkpoint)
    except MigrateError:
        return "refused"
    try:
        after = plain_values(checkpoint)
    except Exception:  # noqa: BLE001 - whatever a reader raises, it gives no wrong value
        return "unreadable"
    return "equal" if after == before else "wrong"


def flip(file, offset, mask):
    """Flips bits of one byte in place; the same call undoes it."""
    with file.open("r+b") as opened:
        opened.seek(offset)
        (byte,) = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([byte ^ mask]))


def try_flips(checkpoint, count, seed=0):
    """Returns the outcomes of `count` flips, one at a time, and the flips that `verify` missed."""
    before, counts, missed = plain_values(checkpoint), Counter(), []
    for file, offset, mask in offsets(checkpoint, count, seed):
        flip(file, offset, mask)
        found = outcome(checkpoint, before)
        flip(file, offset, mask)
        counts[found] += 1
        if found == "wrong":
            missed.append((file.relative_to(checkpoint.parent), offset, mask))
    return counts, missed


def all_flips(count=1_000, seed=0):
    """Yields each kind of checkpoint with the outcomes of its share of `count` flips, and those that were missed."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory(prefix="migrate-flips-") as folder:
            checkpoint = written(Path(folder), kind)
            yield kind, *try_flips(checkpoint, -(-count // len(KINDS)), seed)


def flips_without_digests(count=60):
    """Returns the outcomes of `count` flips in a checkpoint whose digests were deleted."""
    with tempfile.TemporaryDirectory(prefix="migrate-flips-") as folder:
        checkpoint = written(Path(folder), "zarr2, not compressed")
        (checkpoint / FILE).unlink()
        for about in (checkpoint / "_CHECKPOINT_METADATA", checkpoint / "_METADATA"):
            content = json.loads(about.read_text())  # it records that there are digests, so that their loss is reported
            del content["custom_metadata"]["migrate"]["digests"]
            about.write_text(json.dumps(content))
        return try_flips(checkpoint, count)[0]


if __name__ == "__main__":
    for name, outcomes, lost in all_flips(*map(int, sys.argv[1:2])):
        missed = [[str(file), offset, mask] for file, offset, mask in lost]
        print(json.dumps({"kind": name, "outcomes": outcomes, "missed": missed}), flush=True)
    print(json.dumps({"kind": "without digests", "outcomes": flips_without_digests(), "missed": []}))
