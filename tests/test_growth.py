"""A process that migrates many checkpoints keeps nothing of them."""

import json
import subprocess
import sys

import pytest

from tests.engine.sources import MIXED_RULES, mixed, save

MIGRATE_REPEATEDLY = """
import ctypes, gc, json, os, shutil, sys
import migrate

class Usage(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Usage

def kept():
    gc.collect()
    usage = library.mallinfo2()
    nbytes = usage.uordblks + usage.hblkhd
    return sys.getallocatedblocks(), nbytes, *(len(os.listdir(f"/proc/self/{name}")) for name in ("task", "fd"))

source, rules, target, *counts = sys.argv[1:]
seen = []
for count in map(int, counts):
    for _ in range(count):
        with migrate.open_checkpoint(source) as checkpoint:
            migrate.apply(migrate.plan(checkpoint, migrate.load_rules(rules)), checkpoint, target)
        shutil.rmtree(target) if os.path.isdir(target) else os.unlink(target)
    seen.append(kept())
growth = [[later - before for before, later in zip(*pair)] for pair in zip(seen, seen[1:])]
print(json.dumps([min(column) for column in zip(*growth)]))
"""
"""Migrates several times and prints the least growth of blocks of Python, bytes of malloc, threads and descriptors from
one time to the next: what is kept of every migration grows each time, what is allocated once does not. The resident
size would show the fragments of the allocators as well."""
FIRST, MORE = 20, 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallinfo2 is a function of glibc")
@pytest.mark.parametrize("name", ["new", "new.safetensors"])
@pytest.mark.matrix
def test_a_process_keeps_no_memory_and_no_files_of_thirty_migrations(tmp_path, name):
    source = save(tmp_path / "old", mixed())
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"migrate: 1\n{MIXED_RULES}")
    words = [sys.executable, "-W", "ignore", "-c", MIGRATE_REPEATEDLY, source, rules, tmp_path / name, FIRST]
    done = subprocess.run([str(word) for word in [*words, *[MORE] * 3]], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    blocks, nbytes, threads, files = json.loads(done.stdout.splitlines()[-1])
    assert blocks < 60 * MORE
    assert nbytes < 8_000 * MORE
    assert (0, 0) == (threads, files)
