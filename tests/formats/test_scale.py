"""The cost of opening a checkpoint depends on the number of its leaves, not on their sizes."""

import time
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.formats.detect import open_reader


def bytes_read():
    """The bytes that this process has read by system calls, files of Python included."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"])


@pytest.mark.parametrize("use_ocdbt", [True, False])
def test_opening_reads_metadata_alone(tmp_path, use_ocdbt):
    noise = np.random.default_rng(0).standard_normal((256, 1024)).astype(np.float32)
    with ocp.PyTreeCheckpointer(use_ocdbt=use_ocdbt) as checkpointer:
        checkpointer.save(tmp_path / "item", {f"w{index}": noise for index in range(8)})
    with open_reader(tmp_path / "item") as reader:  # imports what it needs
        reader.read(("w0",))
    before = bytes_read()
    with open_reader(tmp_path / "item") as reader:
        assert 8 * noise.nbytes == reader.abstract().tree.nbytes
        assert bytes_read() - before < 20_000
        reader.read(("w0",))
        assert bytes_read() - before > noise.nbytes // 2


def test_a_thousand_leaves_open_in_a_moment(tmp_path):
    leaf = np.zeros(2, np.float32)
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "item", {f"layer_{index}": {"w": leaf} for index in range(1000)})
    start = time.process_time()
    with open_reader(tmp_path / "item") as reader:
        assert 1000 == len(reader.abstract().tree.leaves)
    assert time.process_time() - start < 5  # a sixth of a second where nothing else runs
