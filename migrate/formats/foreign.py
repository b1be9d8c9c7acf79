"""Files that hold arrays and are no checkpoint that can be read: what they are, and the code that exports them.

Pickles run code when they are loaded, so only their owner may load them. The refusal has the lines of Python that do
it and write a file that can be read.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.codes import NoCheckpoint
from migrate.errors import CheckpointError, Diagnostic
from migrate.formats.files import damaged, read_head

if TYPE_CHECKING:
    from pathlib import Path

_HEAD_BYTES = 512
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".pck", ".p", ".nk", ".joblib")
_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
_OTHERS = {
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"\x78\x9c": "a zlib stream",
}

_WRITE = """\
with open({target!r}, "wb") as file:
    file.write(serialization.to_bytes(tree))
"""
_PICKLE = (
    """\
import {opener}pickle
from flax import serialization
with {open}({path!r}, "rb") as file:
    tree = pickle.load(file)
"""
    + _WRITE
)
_JOBLIB = (
    """\
import joblib
from flax import serialization
tree = joblib.load({path!r})
"""
    + _WRITE
)
_OBJECTS = (
    """\
import numpy as np
from flax import serialization
tree = np.load({path!r}, allow_pickle=True)
tree = tree.item() if tree.ndim == 0 else list(tree)
"""
    + _WRITE
)
_NETKET = (
    """\
import nqxpack
from flax import serialization
tree = nqxpack.load({path!r}).variables
"""
    + _WRITE
)
_TORCH = """\
import torch
from safetensors.torch import save_file
tree = torch.load({path!r}, map_location="cpu", weights_only=True)
tree = tree.get("state_dict", tree)
save_file({{k: v.clone().contiguous() for k, v in tree.items() if torch.is_tensor(v)}}, {target!r})
"""
_TENSORFLOW = """\
import numpy as np, tensorflow as tf
reader = tf.train.load_checkpoint({path!r})
np.savez({target!r}, **{{name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}})
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a file is, and the code that exports it: a template, and the suffix of the file that it writes."""

    what: str
    code: str = ""
    suffix: str = ".msgpack"


def foreign_file(path: Path, readable: str) -> Diagnostic:
    """Returns the error for a file of no known format.

    Args:
      path: the file.
      readable: what can be read, for files that no code exports.

    Raises:
      CheckpointError: it is truncated (`DamagedFile`).
    """
    kind = _kind(path, read_head(path, _HEAD_BYTES))
    message = f"`{path}` is not a checkpoint: it is {kind.what}"
    if not kind.code:
        return NoCheckpoint.at(message, help=readable)
    target = f"{path}{kind.suffix}"
    source = str(path).removesuffix(".index") if kind.code is _TENSORFLOW else str(path)
    code = kind.code.format(path=source, target=target).splitlines()
    return NoCheckpoint.at(message, help=f"if it is your own, export it, then open `{target}`:", snippet=code)


def refuse_pickled_array(path: Path) -> CheckpointError:
    """Returns the error for a `.npy` file with an array of objects."""
    message = f"`{path}` is not a checkpoint: it is a NumPy array of pickled objects, and nothing is ever unpickled"
    code = _OBJECTS.format(path=str(path), target=f"{path}.msgpack").splitlines()
    return CheckpointError(
        NoCheckpoint.at(message, help=f"if it is your own, export it, then open `{path}.msgpack`:", snippet=code)
    )


def _kind(path: Path, head: bytes) -> _Kind:
    if not head:
        return _Kind("empty")
    if head.startswith(b"PK"):
        return _zip_kind(path)
    if _is_pickle(head, path):
        return _pickle_kind(path, head)
    for magic, module in _COMPRESSED.items():
        if head.startswith(magic):
            return _compressed_kind(path, module)
    if head[257:262] == b"ustar":
        return _Kind(f"a tar archive; unpack it with `tar -xf {path}`")
    if path.suffix == ".index" or ".data-0000" in path.name:
        return _tensorflow_kind(path)
    other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)
    if other and path.suffix in _PICKLE_SUFFIXES:
        return _Kind(f"{other}, by its name of a pickle, and nothing is ever unpickled", _JOBLIB)
    return _Kind(other or "not msgpack as Flax wrote it")


def _is_pickle(head: bytes, path: Path) -> bool:
    """Whether a file is a pickle: since protocol 2 it has a first byte of its own, before only a name tells."""
    if head[0] == 0x80:
        return head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return path.suffix in _PICKLE_SUFFIXES and head[:1] in (b"(", b"c", b"]", b"}", b"I", b"V", b"S", b"F", b"N")


def _pickle_kind(path: Path, head: bytes) -> _Kind:
    if head.startswith(_TORCH_MAGIC) or path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        return _Kind("a Python pickle of PyTorch, and nothing is ever unpickled", _TORCH, ".safetensors")
    if path.suffix == ".joblib" or b"joblib" in head:
        return _Kind("a Python pickle of joblib, and nothing is ever unpickled", _JOBLIB)
    return _Kind("a Python pickle, and nothing is ever unpickled", _with_opener("", "open"))


def _with_opener(module: str, opener: str) -> str:
    return _PICKLE.replace("{opener}", module).replace("{open}", opener)


def _compressed_kind(path: Path, module: str) -> _Kind:
    if ".joblib" in path.suffixes:
        return _Kind(f"a {module} file of joblib, a Python pickle, and nothing is ever unpickled", _JOBLIB)
    if set(path.suffixes) & {*_PICKLE_SUFFIXES, ".pbz2", ".pgz"}:
        code = _with_opener(f"{module}, ", f"{module}.open")
        return _Kind(f"a {module} file, by its name of a Python pickle, and nothing is ever unpickled", code)
    tool = {"gzip": "gunzip", "bz2": "bunzip2", "lzma": "unxz"}[module]
    return _Kind(f"a {module} file; decompress it with `{tool} -k {path}`")


def _zip_kind(path: Path) -> _Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise damaged(path, "it is truncated: a zip archive ends with its directory, and this one has none") from error
    if any(name.endswith("data.pkl") for name in names):
        return _Kind("a zip archive of PyTorch with a Python pickle; nothing is ever unpickled", _TORCH, ".safetensors")
    if path.suffix == ".nk":
        return _Kind("a zip archive of NetKet, with a description of Python objects", _NETKET)
    return _Kind("a zip archive without arrays of NumPy, Keras or PyTorch")


def _tensorflow_kind(path: Path) -> _Kind:
    if path.suffix == ".index":
        return _Kind("the index of a TensorFlow checkpoint", _TENSORFLOW, ".npz")
    return _Kind(f"a part of a TensorFlow checkpoint; name its index, `{path.name.split('.data-')[0]}.index`")
