"""Checks the values of a checkpoint against the digests that it records, without migrate.

    python check_receipt.py CHECKPOINT [THREADS]

CHECKPOINT is a directory with `migrate_digests.json`, or a `.safetensors` file that migrate wrote; docs/receipt.md
describes the record. Prints what differs. Exit code: 0 equal, 1 something differs, 2 nothing to compare with.
Needs TensorStore; with the package xxhash, it compares the 128-bit hash of each block, otherwise its CRC-32.
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
PART_BYTES = 4 << 20  # parts that stay in the caches of the processor are decoded and hashed fastest


def sha256(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return "sha256:" + hashlib.sha256(content).hexdigest()


def is_intact(record: Any) -> bool:
    """Whether each leaf has the digest of its blocks, and the root is that of the whole record."""
    rows, files = record["leaves"], record.get("files")
    table = [[row["path"], row["digest"], row["type"], row.get("stored")] for row in rows]
    whole = [record["version"], record["block_bytes"], record["items"], record["sequences"], table]
    leaves = all(sha256([row["type"], row["blocks"]]) == row["digest"] for row in rows if row["blocks"] is not None)
    return leaves and sha256([*whole, files] if files else whole) == record["root"]


def read_zarr(folder: Path, form: Any, name: str) -> Iterator[Any]:
    """Yields the bytes of an array in C order, whole rows of chunks at a time, and decodes one part ahead."""
    import tensorstore as ts

    prefix, ocdbt = f"{name}/" if name else "", form["ocdbt"]
    files = {"driver": "file", "path": f"{folder}/" + ("" if ocdbt else prefix)}
    store = {"driver": "ocdbt", "base": files, "path": prefix} if ocdbt else files
    driver = "zarr3" if form["zarr_format"] == 3 else "zarr"
    array = ts.open({"driver": driver, "kvstore": store}, open=True, read=True).result()
    array = array if array.shape else array[np.newaxis]
    row = max(math.prod(array.shape[1:]) * array.dtype.numpy_dtype.itemsize, 1)
    chunk = (array.chunk_layout.read_chunk.shape or [1])[0] or 1
    step, rows = max(PART_BYTES // row // chunk, 1) * chunk, array.shape[0]
    coming = array[: min(step, rows)].read()
    for start in range(step, rows + step, step):
        part, coming = coming, array[min(start, rows) : min(start + step, rows)].read()
        yield np.ascontiguousarray(part.result()).reshape(-1).view(np.uint8)


def read_range(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        for at in range(start, stop, PART_BYTES):
            yield file.read(min(PART_BYTES, stop - at))


def digests(pieces: Iterable[Any], size: int) -> Iterator[str]:
    """Yields one digest of each block of consecutive pieces: its XXH3-128 if xxhash is there, else its CRC-32."""
    crc, strong, filled = 0, None, 0
    for left in map(memoryview, pieces):
        while left:
            strong = strong or (xxh3_128 and xxh3_128())
            part, left = left[: size - filled], left[size - filled :]
            filled += len(part)
            if strong:
                strong.update(part)
            else:
                crc = zlib.crc32(part, crc)
            if filled == size:
                yield strong.hexdigest() if strong else f"{crc:08x}"
                crc, strong, filled = 0, None, 0
    if filled:
        yield strong.hexdigest() if strong else f"{crc:08x}"


def check(path: Path, record: Any, row: Any, header: Any, start: int) -> str | None:
    """Returns what is wrong with an array, or None."""
    item, name = row["stored"]
    known = [block[8:] if xxh3_128 else block[:8] for block in row["blocks"]]
    try:
        ends = [start + at for at in header[name]["data_offsets"]] if header else []
        pieces = read_range(path, *ends) if header else read_zarr(path / item, record["items"][item], name)
        found = list(digests(pieces, record["block_bytes"]))
    except (ValueError, OSError, KeyError) as error:
        return f"cannot be read ({str(error)[:200]})"
    wrong = [at for at, pair in enumerate(zip(known, found, strict=False)) if pair[0] != pair[1]]
    return f"has changed: block {wrong[0]} of {len(known)}" if wrong else None if known == found else "has another size"


def digest_of(file: Path) -> str:
    return sha256(file.read_bytes()) if file.is_file() else "absent"


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
    small = record.get("files", {}).items()
    lost = [name for name, known in small if digest_of(path / name) not in known.split()]
    rows = [row for row in record["leaves"] if row["blocks"] is not None and row.get("stored")]
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda row: check(path, record, row, header, start), rows))
    named = [("/".join(row["path"]), problem) for row, problem in zip(rows, answers, strict=True) if problem]
    for name, problem in [*((name, "has changed") for name in lost), *named]:
        print(f"{name} {problem}")
    unknown = sum(row["blocks"] is None for row in record["leaves"])
    print(f"{answers.count(None)} of {len(rows)} arrays have the recorded digests; {unknown} more have none")
    return int(any(answers) or bool(lost))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
