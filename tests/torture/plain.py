"""The values of a checkpoint by TensorStore, safetensors, msgpack and NumPy alone; nothing of migrate is used."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np


def values(path):
    """Returns name → (dtype, shape, digest of the bytes) for every array of a checkpoint that one library reads."""
    path = Path(path)
    if path.is_dir():
        return {name: form(value) for name, value in stored_arrays(path).items()}
    return {name: form(value) for name, value in file_values(path).items()}


def form(value):
    """A value as something that is equal where every bit is."""
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return (array.dtype.name, array.shape, hashlib.sha256(array.tobytes()).hexdigest())
    return (type(value).__name__, repr(value))


def stored_arrays(path):
    """Returns every array of a directory in zarr or OCDBT, by its name in the store."""
    import tensorstore as ts

    found = {}
    for item in sorted({file.parent for file in path.rglob("manifest.ocdbt")}):
        if "ocdbt.process_" in item.name:
            continue
        store = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{item}/"}}
        keys, context = _in_memory(ts.KvStore.open(store).result())
        found |= _read(keys, {"driver": "memory"}, f"{item.relative_to(path)}:", context)
    keys = [str(file.relative_to(path)) for file in path.rglob("*") if file.name in (".zarray", "zarr.json")]
    return found | _read(keys, {"driver": "file", "path": f"{path}/"}, "")


def _in_memory(store):
    """Copies a database to memory, where an array is opened in a time that does not grow; returns keys and context."""
    import tensorstore as ts

    context = ts.Context()
    copy = ts.KvStore.open({"driver": "memory"}, context=context).result()
    names = store.list().result()
    for first in range(0, len(names), 1000):
        for name, read in [(name, store.read(name)) for name in names[first : first + 1000]]:
            copy.write(name, read.result().value).result()
    return [name.decode() for name in names], context


def _read(keys, store, prefix, context=None):
    import tensorstore as ts

    found = {}
    for key in keys:
        name, _, last = key.rpartition("/")
        driver = {".zarray": "zarr", "zarr.json": "zarr3"}.get(last)
        if driver:
            below = {**store, "path": f"{store.get('path', '')}{name}/"}
            array = ts.open({"driver": driver, "kvstore": below}, open=True, context=context).result()
            found[prefix + name] = array.read().result()
    return found


def file_values(path):
    """Returns the leaves of a single file, by name."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    import msgpack

    return _flat(_merged(msgpack.unpackb(path.read_bytes(), ext_hook=_extension, raw=False)))


def _extension(code, data):
    """Decodes Flax's extension types of msgpack; importing Flax would take longer than most trials."""
    import ml_dtypes
    import msgpack

    if code == 2:
        return complex(*msgpack.unpackb(data))
    if code not in (1, 3):
        return msgpack.ExtType(code, data)
    shape, name, content = msgpack.unpackb(data, raw=True)
    dtype = ml_dtypes.bfloat16 if name == b"bfloat16" else np.dtype(name.decode())
    array = np.frombuffer(content, dtype).reshape(shape)
    return array if code == 1 else array[()]


def _merged(tree):
    """Joins the arrays that Flax wrote in parts."""
    if not isinstance(tree, dict):
        return tree
    if "__msgpack_chunked_array__" not in tree:
        return {name: _merged(value) for name, value in tree.items()}
    shape, chunks = ([tree[part][str(number)] for number in range(len(tree[part]))] for part in ("shape", "chunks"))
    return np.concatenate(chunks).reshape(shape)


def every_value(path):
    """Returns two mappings of all numbers of a checkpoint, by name and as a multiset of forms.

    Names have their levels joined with `/`, whatever the format joins them with. Numbers without dimensions are
    compared by value, because formats store them as arrays or as Python numbers.
    """
    stored = [stored_arrays(path)] if path.is_dir() else []
    beside = [path]
    if path.is_dir():  # older directories keep a tree, and some of its arrays, in a file of Flax's format
        beside = [] if (path / "_METADATA").exists() else [f for f in path.glob("checkpoint*") if f.is_file()]
    by_name = {}
    for found in (*stored, *map(file_values, beside)):
        numbers = {re.sub("[./:]+", "/", name).strip("/"): number(value) for name, value in found.items()}
        by_name |= {name: number for name, number in numbers.items() if number is not None}
    return by_name, Counter(by_name.values())


def number(value):
    """A number as something that is equal where every bit is; None for anything else."""
    if not isinstance(value, np.ndarray | np.generic | int | float | complex):
        return None
    array = np.asarray(value)
    return form(array) if array.ndim else ("scalar", array.astype("complex128").tobytes())


def _flat(tree, prefix=""):
    if not isinstance(tree, dict | list | tuple):
        return {prefix: tree}
    found = {}
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found |= _flat(value, f"{prefix}/{name}" if prefix else str(name))
    return found


def sidecars(path):
    """Returns the trees that a directory's `_METADATA` files record, by name; not the record of the migration."""
    found = {}
    for file in sorted(Path(path).rglob("_METADATA")):
        content = json.loads(file.read_bytes())
        content.pop("custom_metadata", None)
        found[str(file.relative_to(path))] = content
    return found
