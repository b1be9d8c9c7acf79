"""What an earlier run staged is reused only while every file of the source is unchanged."""

import os
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.engine.workspace.resume import fingerprint
from migrate.formats.detect import open_reader
from tests.formats.sources import flax_file_with_arrays_beside, safetensors_index


def flax_step(folder):
    path, array = flax_file_with_arrays_beside(folder)
    return path.parent, array


def fingerprint_of(path):
    with open_reader(path) as reader:
        return fingerprint(reader)


@pytest.mark.parametrize("make", [safetensors_index, flax_file_with_arrays_beside, flax_step])
def test_a_file_beside_the_one_that_was_opened_is_a_part_of_the_source(tmp_path, make):
    source, beside = make(tmp_path)
    before = fingerprint_of(source)
    assert before == fingerprint_of(source)
    os.utime(beside, ns=(0, 0))
    assert before != fingerprint_of(source)


def test_files_that_are_not_read_do_not_change_the_source(tmp_path):
    source, _ = safetensors_index(tmp_path)
    before = fingerprint_of(source)
    (tmp_path / "other").write_bytes(b"")
    assert before == fingerprint_of(source)


def test_another_step_does_not_change_the_source(tmp_path):
    for step in (1, 2):
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / str(step) / "default", {"w": np.ones(2)})
    before = fingerprint_of(tmp_path)
    shutil.rmtree(tmp_path / "1")
    assert before == fingerprint_of(tmp_path)
