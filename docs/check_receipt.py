"""Checks the values of a checkpoint against the digests that it records, without migrate.

    python check_receipt.py CHECKPOINT [THREADS]

CHECKPOINT is a directory with `migrate_digests.json`, or a `.safetensors` file that migrate wrote; docs/receipt.md
describes the record. Prints what differs. Exit code: 0 equal, 1 something differs, 2 nothing to compare with.
Needs TensorStore; with the package xxhash, it also compares the 128-bit hash of each block, not only its CRC-32.
"""

import hashlib
import json
import math
import sys
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

try:
    from xxhash import xxh3_128
except ImportError:
    xxh3_128 = None


def sha256(value: Any) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def is_intact(record: Any) -> bool:
    """Whether each leaf has the digest of its blocks, and the root is that of all leaves."""
    rows = record["leaves"]
    leaves = all(sha256([row["type"], row["blocks"]]) == row["digest"] for row in rows if row["blocks"] is not None)
    table = [[row["path"], row["digest"], row["type"], row.get("stored")] for row in rows]
    whole = [record["version"], record["block_bytes"], record["items"], record["sequences"], table]
    return leaves and sha256(whole) == record["root"]


def read_zarr(folder: Path, form: Any, name: str, size: int) -> Iterator[Any]:
    """Yields the bytes of an array in C order, whole rows of chunks at a time."""
    import tensorstore as ts

    prefix = f"{name}/" if name else ""
    files = {"driver": "file", "path": f"{folder}/" + ("" if form["ocdbt"] else prefix)}
    store = {"driver": "ocdbt", "base": files, "path": prefix} if form["ocdbt"] else files
    driver = "zarr3" if form["zarr_format"] == 3 else "zarr"
    array = ts.open({"driver": driver, "kvstore": store}, open=True, read=True).result()
    row = max(math.prod(array.shape[1:]) * array.dtype.numpy_dtype.itemsize, 1)
    chunk = (array.chunk_layout.read_chunk.shape or [1])[0]
    step = max(2 * size // row // chunk, 1) * chunk
    for start in range(0, array.shape[0] if array.shape else 1, step):
        part = array[start : min(start + step, array.shape[0])] if array.shape else array
        yield np.ascontiguousarray(part.read().result()).reshape(-1).view(np.uint8)


def read_safetensors(path: Path, start: int, stop: int, size: int) -> Iterator[Any]:
    """Yields a range of a file."""
    with path.open("rb") as file:
        file.seek(start)
        for at in range(start, stop, size):
            yield file.read(min(size, stop - at))


def digests(pieces: Iterable[Any], size: int) -> Iterator[str]:
    """Yields the digest of each block of consecutive pieces: its CRC-32, and its XXH3-128 if xxhash is there."""
    crc, strong, filled = 0, xxh3_128 and xxh3_128(), 0
    for left in map(memoryview, pieces):
        while left:
            part, left = left[: size - filled], left[size - filled :]
            crc, filled = zlib.crc32(part, crc), filled + len(part)
            if strong:
                strong.update(part)
            if filled == size:
                yield f"{crc:08x}{strong.hexdigest() if strong else ''}"
                crc, strong, filled = 0, xxh3_128 and xxh3_128(), 0
    if filled:
        yield f"{crc:08x}{strong.hexdigest() if strong else ''}"


def check(path: Path, record: Any, row: Any, header: Any, start: int) -> str | None:
    """Returns what is wrong with an array, or None."""
    size, (item, name) = record["block_bytes"], row["stored"]
    form, known = record["items"][item], row["blocks"] if xxh3_128 else [block[:8] for block in row["blocks"]]
    try:
        places = [start + at for at in header[name]["data_offsets"]] if header else []
        pieces = read_safetensors(path, *places, size) if header else read_zarr(path / item, form, name, size)
        found = list(digests(pieces, size))
    except (ValueError, OSError, KeyError) as error:
        return f"cannot be read ({str(error)[:200]})"
    wrong = [at for at, pair in enumerate(zip(known, found, strict=False)) if pair[0] != pair[1]]
    return f"has changed: block {wrong[0]} of {len(known)}" if wrong else None if known == found else "has another size"


def main(path: Path, threads: int = 8) -> int:
    header, start, text, file = {}, 0, None, path / "migrate_digests.json"
    if path.is_file():
        with path.open("rb") as content:
            start = 8 + int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(start - 8))
        text = header.get("__metadata__", {}).get("migrate.digests")
    elif file.exists():
        text = file.read_text()
    if not text:
        return print(f"{path} records no digests") or 2
    record = json.loads(text)
    if not is_intact(record):
        return print(f"{path}: the record itself is damaged") or 1
    rows = [row for row in record["leaves"] if row["blocks"] is not None and row.get("stored")]
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda row: check(path, record, row, header, start), rows))
    for row, problem in zip(rows, answers, strict=True):
        if problem:
            print(f"{'/'.join(row['path'])} {problem}")
    unknown = sum(row["blocks"] is None for row in record["leaves"])
    print(f"{answers.count(None)} of {len(rows)} arrays have the recorded digests; {unknown} more have none")
    return int(any(answers))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
