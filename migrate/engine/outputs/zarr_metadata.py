"""The zarr metadata of new arrays, in the form that TensorStore takes when it creates them."""

from __future__ import annotations

from typing import Any

from migrate.engine.staged_array import StagedArray


def array_metadata(staged: StagedArray, codec: str, *, zarr3: bool) -> dict[str, Any]:
    """Returns the zarr metadata of an array.

    Args:
      staged: the array's record.
      codec: `NAME:LEVEL` or `none`.
      zarr3: the version of zarr: 3 or 2.
    """
    return _zarr3_metadata(staged, codec) if zarr3 else _zarr2_metadata(staged, codec)


def _compressor(codec: str) -> tuple[str, int] | None:
    """Returns the name and level of `NAME:LEVEL`; None for `none`."""
    name, _, level = codec.partition(":")
    return None if name == "none" else (name, int(level or 1))


def _zarr2_metadata(staged: StagedArray, codec: str) -> dict[str, Any]:
    compressor = _compressor(codec)
    fields = None if compressor is None else dict(zip(("id", "level"), compressor, strict=True))
    chunks = [max(size, 1) for size in staged.chunk_shape]
    return {"shape": staged.shape, "chunks": chunks, "compressor": fields}


def _zarr3_metadata(staged: StagedArray, codec: str) -> dict[str, Any]:
    compressor = _compressor(codec)
    shard = [max(size, 1) for size in staged.write_shape]
    chunk = [max(size, 1) for size in staged.chunk_shape]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    inner = [little]
    if compressor is not None:
        inner.append({"name": compressor[0], "configuration": {"level": compressor[1]}})
    sharding = {"chunk_shape": chunk, "codecs": inner, "index_codecs": [little, {"name": "crc32c"}]}
    return {
        "shape": staged.shape,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }
