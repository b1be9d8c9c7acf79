"""A finished DST is recognized by what it records; anything else about it or the source is another matter."""

import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from migrate.engine.workspace.earlier_result import earlier_result
from migrate.errors import RefusedError
from tests.engine.sources import apply_plan, opened, plan_for, save

TREE = {**jax.device_put({"a": np.ones((4, 4), np.float32), "b": np.zeros(3, np.float32)}), "step": 7}
RULES = "rules: ['a -> c']"


@pytest.fixture
def source(tmp_path):
    return save(tmp_path / "old", TREE)


@pytest.fixture
def target(source, tmp_path):
    applied(source, tmp_path / "new")
    return tmp_path / "new"


def applied(source, target, rules=RULES, **options):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, rules), reader, target, **options)


def files(directory):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["new", "new.safetensors"])
def test_the_same_plan_is_done_and_writes_nothing(source, tmp_path, name):
    first = applied(source, tmp_path / name)
    inode = (tmp_path / name).stat().st_ino
    again = applied(source, tmp_path / name)
    assert (False, True) == (first.already_done, again.already_done)
    assert (first.plan_digest, first.structure_hash) == (again.plan_digest, again.structure_hash)
    assert ("none", 0, 0, 3) == (again.verified, again.verified_leaves, again.bytes_written, again.leaves)
    assert inode == (tmp_path / name).stat().st_ino


def test_with_overwrite_it_is_written_again(source, target):
    before = files(target)
    assert not applied(source, target, overwrite=True).already_done
    assert before != files(target)


@pytest.mark.parametrize(
    ("emptied", "options"),
    [
        (False, {"rules": "rules: ['a -> d']"}),
        (False, {"compression": "none"}),
        (True, {}),
    ],
    ids=["another plan", "another compression", "an empty directory"],
)
def test_anything_else_at_dst_is_refused(source, target, emptied, options):
    if emptied:
        shutil.rmtree(target)
        target.mkdir()
    with pytest.raises(RefusedError) as refusal:
        applied(source, target, **options)
    assert ["M501"] == [d.code for d in refusal.value.diagnostics]


def test_another_source_of_the_same_structure_is_refused(target, tmp_path):
    other = save(tmp_path / "other", {**TREE, "a": 2 * jnp.ones((4, 4))})
    with pytest.raises(RefusedError):
        applied(other, target)


def test_a_source_that_was_touched_since_is_refused(source, target):
    os.utime(source / "_METADATA", (1, 1))
    with pytest.raises(RefusedError):
        applied(source, target)


def test_a_result_of_another_structure_than_recorded_is_refused(source, target):
    metadata = target / "_METADATA"
    metadata.write_text(metadata.read_text().replace("'b'", "'bb'").replace('"b"', '"bb"'))
    with pytest.raises(RefusedError):
        applied(source, target)


def test_a_result_that_was_migrated_once_more_belongs_to_the_other_plan(source, target, tmp_path):
    applied(target, tmp_path / "newer", "rules: ['c -> d', 'b -> e']")
    shutil.rmtree(target)
    (tmp_path / "newer").rename(target)
    with pytest.raises(RefusedError):
        applied(source, target)


def test_a_root_whose_latest_step_is_the_result_is_not_the_result(source, tmp_path):
    applied(source, tmp_path / "root" / "3")
    with opened(source) as reader:
        plan = plan_for(reader, RULES)
        assert earlier_result(plan, reader, tmp_path / "root" / "3", lambda _: True)
        assert earlier_result(plan, reader, tmp_path / "root", lambda _: True) is None
        assert earlier_result(plan, reader, tmp_path / "absent", lambda _: True) is None
