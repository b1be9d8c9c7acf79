"""`docs/ci/release.sh`: what it writes, and the exit codes of what goes wrong."""

import shutil
import sys

import pytest
import tensorstore as ts

from tests.examples.conftest import EXAMPLE, copy, run

TEMPLATE = "versions.v5:make_state"


def release(where, *checkpoints, rules="rules", template=TEMPLATE, out="released"):
    return run(where, where.parents[1] / "ci" / "release.sh", rules, template, out, *checkpoints)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A root of version 1 with two steps."""
    root = tmp_path_factory.mktemp("untrained") / "root"
    code, output = run(EXAMPLE, sys.executable, "train.py", root, 1, 0)
    assert 0 == code, output
    shutil.copytree(root / "0", root / "1")
    return root


@pytest.fixture
def here(untrained, tmp_path):
    """The example with a root of version 1 of two steps, and a single checkpoint of it."""
    place = copy(tmp_path)
    shutil.copytree(untrained, place / "root")
    shutil.copytree(untrained / "0", place / "single")
    return place


@pytest.fixture
def unread(tmp_path):
    """The example with an empty directory in place of a checkpoint: for what is refused before any is read."""
    place = copy(tmp_path)
    (place / "single").mkdir()
    return place


@pytest.mark.matrix
def test_all_checkpoints_are_upgraded_and_a_rerun_finds_them_done(here):
    code, output = release(here, "root", "single")
    assert 0 == code, output
    assert [
        "rules: version 5",
        "root: planned",
        "single: planned",
        "root: upgraded and verified",
        "single: upgraded and verified",
    ] == output.splitlines()
    assert ["0", "1"] == sorted(one.name for one in (here / "released/root").iterdir())
    shutil.rmtree(here / "released/root/1")
    code, output = release(here, "released/single", "root")
    assert 0 == code, output
    assert ["released/single: version 5 already", "root: planned"] == output.splitlines()[1:3]
    assert ["0", "1"] == sorted(one.name for one in (here / "released/root").iterdir())
    code, output = release(here, "root")
    assert (0, "root: already done and verified") == (code, output.splitlines()[-1])


@pytest.mark.matrix
def test_nothing_is_written_for_any_checkpoint_if_one_does_not_fit(here):
    (here / "broken").mkdir()
    code, output = release(here, "single", "broken")
    assert 2 == code
    assert "failed with exit code 2: migrate upgrade rules broken released/broken" in output
    assert not (here / "released").exists()


def test_a_model_without_a_rule_file_is_no_release(unread):
    code, output = release(unread, "single", template="versions.v4:make_state")
    assert 1 == code
    assert "error[M617]" in output
    assert not (unread / "released").exists()


@pytest.mark.matrix
def test_a_value_that_changed_since_fails_the_rerun(here):
    assert 0 == release(here, "single")[0]
    store = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{here}/released/single/"}).result()
    key = next(key for key in store.list().result() if not key.endswith(b".zarray"))
    chunk = bytearray(store[key])
    chunk[len(chunk) // 2] ^= 1
    store[key] = bytes(chunk)
    code, output = release(here, "single")
    assert 1 <= code <= 2, output
    assert "failed with exit code" in output
    assert "migrate verify released/single" in output


def test_wrong_usage(unread):
    assert (2, "usage: release.sh RULES TEMPLATE OUT CHECKPOINT...\n") == run(
        unread, unread.parents[1] / "ci" / "release.sh"
    )
    code, output = release(unread, "single", "root/../single")
    assert (2, "two checkpoints would become released/single\n") == (code, output)
