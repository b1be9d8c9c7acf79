"""The checkpoints of Orbax's own compatibility tests: complete ones are read, incomplete ones are refused."""

from pathlib import Path

import orbax.checkpoint.experimental.v1 as ocp1
import pytest

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader
from tests.matrix import sampled

GOLDEN = Path(ocp1.__file__).parent / "_src/testing/compatibility/checkpoints"
LOST = ("missing_pytree_data_dir_d", "missing_pytree_data_file_manifest.ocdbt")
EMPTY_FILES = "dummy_checkpointable_added"
NO_TREE = "deleted_checkpointable"

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="this version of Orbax comes without them")


def checkpoints():
    """The topmost directories that hold a step or an item."""
    marks = {"_METADATA", "_sharding", "_CHECKPOINT_METADATA", "orbax.checkpoint", "state"}
    found = {path.parent for path in GOLDEN.rglob("*") if path.name in marks}
    return sorted(path for path in found if not found & set(path.parents)) if GOLDEN.is_dir() else []


def is_special(path):
    return path.name in (*LOST, EMPTY_FILES, NO_TREE)


def name_of(path):
    return str(path.relative_to(GOLDEN))


CASES = [
    *sampled(filter(is_special, checkpoints()), 1, name_of),
    *sampled((path for path in checkpoints() if not is_special(path)), 5, name_of),
]


@pytest.mark.parametrize("path", CASES)
def test_it_reads_whole_or_is_refused_with_the_reason(path):
    if path.name in LOST:
        with pytest.raises(CheckpointError) as caught:
            open_reader(path)
        assert ["M403"] == [found.code for found in caught.value.diagnostics]
    elif path.name == EMPTY_FILES:
        with pytest.raises(CheckpointError, match="not JSON"):
            open_reader(path)
        assert open_reader(path, item="state").abstract().tree.leaves
    elif path.name == NO_TREE:
        assert ({}, ["metadata"]) == (
            open_reader(path).abstract().tree.leaves,
            list(open_reader(path).abstract().extras),
        )
    else:
        check_reader(lambda: open_reader(path))
        with open_reader(path) as reader:
            assert 2 == len(reader.read_all())
