"""A DST in a bucket is unfinished from its first object to its marker."""

import pytest

from migrate.codes import UnfinishedSave
from migrate.errors import CheckpointError
from migrate.formats.detect import list_steps, open_reader
from migrate.places.unfinished import COMMITTED, UNFINISHED, is_unfinished, writing
from tests.engine.sources import mixed, save


def test_no_reader_opens_it(bucket, tmp_path):
    far = bucket.upload(save(tmp_path / "old", mixed()), "old")
    bucket.store().write(f"old/{COMMITTED}", None).result()
    bucket.store().write(f"old/{UNFINISHED}", b"").result()
    with pytest.raises(CheckpointError, match="unfinished") as caught:
        open_reader(far)
    assert UnfinishedSave.number == caught.value.diagnostics[0].code
    with writing(bucket.path / "old"):
        open_reader(far).close()
    bucket.store().write(f"old/{COMMITTED}", b"").result()
    open_reader(far).close()


def test_a_root_skips_it(bucket, tmp_path):
    for step in (1, 2):
        bucket.upload(save(tmp_path / str(step), mixed()), f"root/{step}")
    bucket.store().write(f"root/2/{COMMITTED}", None).result()
    bucket.store().write(f"root/2/{UNFINISHED}", b"").result()
    assert (1,) == list_steps(f"{bucket.url}/root")


def test_local_paths_are_never_unfinished(tmp_path):
    (tmp_path / UNFINISHED).touch()
    assert not is_unfinished(tmp_path)
