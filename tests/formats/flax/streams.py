"""Streams of pairs as EasyLM's `StreamingCheckpointer` writes them."""

import msgpack
from flax import serialization


def write_stream(path, flat):
    """Writes one pair of a key path and the bytes of `flax.serialization.to_bytes` for each leaf."""
    packer = msgpack.Packer()
    with open(path, "wb") as file:
        for key, value in flat.items():
            file.write(packer.pack((key, serialization.to_bytes(value))))
    return path
