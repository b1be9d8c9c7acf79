"""SIGKILL of workers and of the run itself: the result is right or nothing is published, and the same command finishes.

Covers `sharing.pools` and `sharing.submissions` from end to end.
"""

import itertools
import zlib

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.engine.sharing.killing import MOMENTS, VICTIMS, kill, run
from tests.engine.sharing.shared_runs import same, values
from tests.matrix import sampled

RULES = "migrate: 1\nrules: [{from: 'turned/{i}', to: 'flipped/{i}', ops: [{transpose: [1, 0]}]}]\n"

CASES = [
    (victim, moment, processes)
    for processes, moment, victim in itertools.product((2, 3), MOMENTS, VICTIMS)
    if (victim, processes) != ("all-but-one", 2)  # the same as one worker of two
]
CASES += [(victim, moment, 4) for moment, victim in itertools.product(MOMENTS[:6], VICTIMS)]
CASES += [(victim, f"after-{30 * number}", 2) for number, victim in itertools.product(range(1, 12), VICTIMS[:1])]


def test_there_are_about_200_kills():
    assert 180 <= len(CASES) <= 220


OUTPUTS = {"new": f"{RULES}target: {{layout: zarr}}\n", "new.safetensors": RULES, "new.msgpack": RULES}
"""The rules for outputs other than an OCDBT database."""

OTHERS = [
    (victim, moment, target)
    for moment, target in itertools.product(("begin", *(f"arrays-{n}" for n in (1, 4, 8, 12, 15)), "result"), OUTPUTS)
    for victim in VICTIMS
    if victim != "all-but-one"
]


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    rng = np.random.default_rng(1)
    arrays = {str(i): jnp.asarray(rng.normal(size=(160, 200)).astype("float32")) for i in range(16)}
    path = tmp_path_factory.mktemp("killed") / "src"
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, {"turned": arrays, "kept": jnp.ones((3, 3))})
    return path


@pytest.fixture
def folder(old, tmp_path):
    (tmp_path / "src").symlink_to(old)
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path


@pytest.fixture(scope="module")
def expected(old):
    found = values(old)
    turned = {("flipped", path[1]): array.T.copy() for path, array in found.items() if path[0] == "turned"}
    return {**turned, ("kept",): found["kept",]}


@pytest.mark.parametrize(("case"), sampled(CASES, 111, lambda case: "-".join(map(str, case))))
def test_the_result_is_right_or_nothing_is_published(case, folder, expected):
    victim, moment, processes = case
    code, output, killed = kill(folder, victim, moment, seed=zlib.crc32(repr(case).encode()), processes=processes)
    published = (folder / "new").exists()
    if victim != "coordinator" or not killed:
        assert 0 == code, output
        assert published
    if published:
        same(expected, values(folder / "new"))
    code, output = run(folder, processes)
    assert 0 == code, output
    same(expected, values(folder / "new"))
    assert ["new", "rules.yaml", "src"] == sorted(child.name for child in folder.iterdir())


@pytest.mark.parametrize("case", sampled(OTHERS, 25, lambda case: "-".join(map(str, case))))
def test_plain_zarr_and_single_files_are_right_or_not_published(case, folder, expected):
    victim, moment, target = case
    (folder / "rules.yaml").write_text(OUTPUTS[target])
    code, output, killed = kill(folder, victim, moment, seed=zlib.crc32(repr(case).encode()), target=target)
    published = (folder / target).exists()
    if victim != "coordinator" or not killed:
        assert 0 == code, output
        assert published
    if published:
        same(expected, values(folder / target))
    code, output = run(folder, target=target)
    assert 0 == code, output
    same(expected, values(folder / target))
    assert sorted([target, "rules.yaml", "src"]) == sorted(child.name for child in folder.iterdir())
