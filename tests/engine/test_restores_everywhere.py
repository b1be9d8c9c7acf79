"""The output is portable: every way that Orbax restores, on 1, 3 and 8 devices, gives the same values.

Covers `outputs.orbax` from end to end.
"""

import dataclasses
import json
import subprocess
import sys

import jax
import orbax.checkpoint as ocp
import pytest

from migrate.engine import run
from tests.engine import restore_matrix
from tests.engine.sources import every_kind, opened, plan_for, save

WAYS = 13


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An item and a manager root with the same content, and what was in the source."""
    work = tmp_path_factory.mktemp("portable")
    save(work / "old", every_kind())
    with opened(work / "old") as reader:
        plan = plan_for(reader)
        run.apply(plan, reader, work / "item")
        run.apply(dataclasses.replace(plan, as_step=True), reader, work / "root" / "0")
    return work


def restored(work, devices):
    places = str(work / "item"), str(work / "root")
    if devices == jax.device_count():
        return restore_matrix.restored(*places)
    command = [sys.executable, restore_matrix.__file__, str(devices), *places]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def reference(written):
    """What Orbax restores from the source itself, on one device."""
    with ocp.StandardCheckpointer() as checkpointer:
        return restore_matrix.digests(checkpointer.restore(written / "old"))


@pytest.mark.sample(2)
@pytest.mark.parametrize("devices", [1, 3, 8])
def test_every_way_of_restoring_gives_the_sources_values(written, reference, devices):
    ways = restored(written, devices)
    assert WAYS == len(ways)
    for way, digests in ways.items():
        assert reference == digests, way
