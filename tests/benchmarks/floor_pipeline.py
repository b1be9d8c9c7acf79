"""The least that a transpose of every matrix costs: decode, transpose, hash, encode, sync, read back and hash.

Each of two threads takes one matrix after the other. Nothing is planned, budgeted, journaled or published.

python -m tests.benchmarks.floor_pipeline SRC DST
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorstore as ts

from migrate.engine.linking.open_stores import OPTIONS
from migrate.engine.streaming.array_bytes import Digest, contiguous, digest_of
from migrate.formats.zarr.references import references

THREADS = 2
BATCH_BYTES = 32 << 20


def spec(folder, name, **more):
    """An array of a database."""
    kvstore = {"driver": "ocdbt", "base": f"file://{folder}/", "path": f"{name}/", **more}
    return {"driver": "zarr", "kvstore": kvstore, "recheck_cached_data": False, "recheck_cached_metadata": False}


class Batches:
    """Transactions of some arrays each, committed by the thread that fills one."""

    def __init__(self):
        self._lock = threading.Lock()
        self._transaction, self._writes, self._nbytes = ts.Transaction(), [], 0

    def add(self, begin, nbytes):
        """Calls `begin` with a transaction; commits it once it is full."""
        with self._lock:
            self._writes.append(begin(self._transaction))
            self._nbytes += nbytes
            if self._nbytes < BATCH_BYTES:
                return
            full = self._transaction, self._writes
            self._transaction, self._writes, self._nbytes = ts.Transaction(), [], 0
        self._commit(*full)

    def flush(self):
        """Commits the rest."""
        self._commit(self._transaction, self._writes)

    @staticmethod
    def _commit(transaction, writes):
        for write in writes:
            write.result()
        transaction.commit_async().result()


def main(source, target):
    """Transposes every matrix of a database into a new one."""
    Path(target).mkdir()
    names = [key.removesuffix("/.zarray") for key in references(Path(source)) if key.endswith("/.zarray")]
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": THREADS}})
    digests, batches = {}, Batches()

    def turn(name):
        old = ts.open(spec(source, name), open=True, read=True, context=context).result()
        if old.ndim != 2:
            return
        turned = contiguous(old.read().result().T)
        digests[name] = str(digest_of(turned))
        metadata = {"shape": turned.shape, "chunks": turned.shape, "compressor": {"id": "zstd", "level": 1}}
        new = {**spec(target, name, config=OPTIONS), "metadata": metadata, "dtype": turned.dtype.name}

        def begin(transaction):
            made = ts.open(new, create=True, context=context, transaction=transaction).result()
            return made.write(turned, can_reference_source_data_indefinitely=True)

        batches.add(begin, turned.nbytes)

    def check(name):
        new = ts.open(spec(target, name), open=True, read=True, context=context).result()
        found = Digest(blocks=False)
        found.update(new.read().result())
        assert digests[name] == str(found)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(turn, names))
        batches.flush()
        list(pool.map(check, list(digests)))


if __name__ == "__main__":
    main(*sys.argv[1:])
