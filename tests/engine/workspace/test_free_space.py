"""The place of DST: what can be told before a run, on real file systems that are small or read-only."""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from migrate.engine.workspace.directory import workspace_path
from migrate.engine.workspace.free_space import compressibility, existing_parent, needed_bytes, staged_bytes, unwritable
from tests.engine.sources import opened, plan_for, save

ROOT = Path(__file__).parents[3]
FLIPPED = "rules: [{from: '**', to: '**', ops: [{flip: {axis: 0}}]}]"
NBYTES = 4 << 20


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint of 4 MiB that cannot be compressed."""
    noise = np.random.default_rng(0).integers(0, 2**31, NBYTES // 4, np.int32)
    return save(tmp_path_factory.mktemp("source") / "old", {"a": jnp.asarray(noise)})


@pytest.fixture(scope="module")
def zeros(tmp_path_factory):
    return save(tmp_path_factory.mktemp("zeros") / "old", {"a": jnp.zeros(NBYTES // 4)})


def needed(source, place, rules=FLIPPED, *, encoded=True):
    with opened(source) as reader:
        return needed_bytes(plan_for(reader, rules), reader, place, encoded=encoded)


def test_streamed_arrays_need_what_they_need_compressed_as_in_the_source(source, zeros, tmp_path):
    assert 0.8 * NBYTES < needed(source, tmp_path / "new") <= NBYTES
    assert needed(zeros, tmp_path / "new") < NBYTES / 20
    assert NBYTES == needed(zeros, tmp_path / "new", encoded=False)


def test_linked_arrays_need_nothing_on_the_file_system_of_the_source_and_their_size_on_another(source, tmp_path):
    assert 0 == needed(source, source.parent / "new", "rules: []")
    assert 0.8 * NBYTES < needed(source, Path("/dev/shm/new"), "rules: []") <= NBYTES


def test_padding_and_zeros_need_nothing_where_they_are_compressed(source, tmp_path):
    padded = "rules: [{from: a, to: a, ops: [{pad: {widths: [[0, 9000000]]}}]}]"
    assert needed(source, tmp_path / "new", padded) <= NBYTES
    assert needed(source, tmp_path / "new", padded, encoded=False) == NBYTES + 4 * 9000000


def test_holes_of_a_sparse_source_count_as_nothing(tmp_path):
    with (tmp_path / "sparse.npz").open("wb") as file:
        np.savez(file, a=np.zeros(4, "f4"))
    with opened(tmp_path / "sparse.npz") as reader:
        assert compressibility(plan_for(reader), reader) == 1.0
    assert compressibility_of(tmp_path) < 0.01


def compressibility_of(folder):
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.zeros(NBYTES, "u1")}, folder / "x.safetensors")
    size = (folder / "x.safetensors").stat().st_size
    with (folder / "x.safetensors").open("r+b") as file:
        file.truncate(size - NBYTES)
        file.truncate(size)
    with opened(folder / "x.safetensors") as reader:
        return compressibility(plan_for(reader), reader)


def test_what_an_earlier_run_staged_is_not_needed_again(source, tmp_path):
    with opened(source) as reader:
        plan = plan_for(reader)
    assert 0 == staged_bytes(plan, tmp_path / "new")
    work = workspace_path(tmp_path / "new", plan.digest)
    (work / "staged").mkdir(parents=True)
    (work / "staged" / "data").write_bytes(bytes(1 << 20))
    assert 1 << 20 == staged_bytes(plan, tmp_path / "new")


def test_missing_directories_above_dst_are_no_problem(tmp_path):
    assert [] == list(unwritable(tmp_path / "a" / "b" / "new"))
    assert tmp_path == existing_parent(tmp_path / "a" / "b" / "new")


def test_names_may_be_as_long_as_the_working_directory_allows(tmp_path):
    (found,) = unwritable(tmp_path / ("n" * 234))
    assert "choose a name of at most 233 bytes" == found.help
    assert [] == list(unwritable(tmp_path / ("n" * 233)))


def test_the_place_of_the_working_directory_counts_where_it_is_not_that_of_dst(tmp_path):
    (tmp_path / "root" / "7").mkdir(parents=True)
    beside = tmp_path / "root" / "7.new"
    assert [] == list(unwritable(tmp_path / "root" / "7" / "new", beside))
    (found,) = unwritable(tmp_path / "root" / "7" / "new", tmp_path / "root" / ("n" * 234))
    assert "the name is too long for the working directory" in found.message
    (tmp_path / "file").write_text("")
    (found,) = unwritable(tmp_path / "root" / "7" / "new", tmp_path / "file" / "7.new")
    assert "is not a directory" in found.message


MOUNTED = """
import json, subprocess, sys
from pathlib import Path
from migrate.errors import MigrateError
from tests.engine.sources import apply_plan, opened, plan_for
from migrate.engine.options import ApplyOptions
from migrate.engine.preflight import check

def run(source, place, options, rules):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    where = Path(place) / "below" / "new"
    found = []
    for how in (lambda *it: check(*it[:2], where, ApplyOptions()), lambda *it: apply_plan(*it[:2], where)):
        with opened(source) as reader:
            try:
                how(plan_for(reader, rules), reader)
                found.append([])
            except MigrateError as error:
                found.append([[d.code, d.message] for d in error.diagnostics])
    return [found, sorted(map(str, Path(place).iterdir()))]

source, *cases = sys.argv[1:]
for case in cases:
    print(json.dumps(run(source, *json.loads(case))))
"""
"""Preflight and `apply` in a mount namespace of their own, onto file systems with these options."""


def can_mount():
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0


REFUSED = [
    ("size=2m", FLIPPED, "M521", "needs at least 3.6 MiB, and its file system has 2 MiB free"),
    ("size=2m", "rules: []", "M521", "needs at least 3.6 MiB, and its file system has 2 MiB free"),
    ("nr_inodes=4", FLIPPED, "M521", "needs at least 8 inodes, and its file system has 3 free"),
    ("ro", FLIPPED, "M520", "is on a read-only file system"),
]


@pytest.fixture(scope="module")
def on_file_systems(source, tmp_path_factory):
    """The diagnostics of the check and of `apply`, and the files that both left, by mount options and rules."""
    keys = [*(case[:2] for case in REFUSED), ("size=6m", FLIPPED)]
    cases = [json.dumps([str(tmp_path_factory.mktemp("mounted")), *key]) for key in keys]
    command = ["unshare", "-Urm", sys.executable, "-W", "ignore", "-c", MOUNTED, source, *cases]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return dict(zip(keys, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace")
@pytest.mark.parametrize(("options", "rules", "code", "message"), REFUSED)
def test_a_file_system_without_room_is_refused_before_anything_is_written(
    on_file_systems, options, rules, code, message
):
    (checked, applied), files = on_file_systems[options, rules]
    assert checked == applied
    ((found, text),) = checked
    assert (code, True, []) == (found, message.replace("2 MiB", "2.0 MiB") in text, files), text


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace")
def test_a_file_system_with_just_enough_room_is_not_refused(on_file_systems):
    assert [[], []] == on_file_systems["size=6m", FLIPPED][0]
