"""Freed memory is kept for the next chunk, or returned to the system."""

import subprocess
import sys

import pytest

from migrate.engine.streaming import allocator

FAULTS = """
import resource, sys
from migrate.engine.streaming.allocator import keep_freed_memory, return_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
size = 24 << 20
b"x" * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    b"x" * size
    if len(sys.argv) > 2:
        return_freed_memory()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*words):
    """Page faults of 20 blocks of 24 MiB in a new process."""
    done = subprocess.run([sys.executable, "-c", FAULTS, *words], capture_output=True, check=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(allocator._function("mallopt") is None, reason="the C library is another one")
def test_kept_memory_serves_the_next_block_until_it_is_returned():
    assert faults("keep") < 100
    assert faults("keep", "return") > 1000


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    allocator._function.cache_clear()
    try:
        allocator.keep_freed_memory()
        allocator.return_freed_memory()
    finally:
        allocator._function.cache_clear()
