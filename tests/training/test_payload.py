"""The items of a state."""

import socket
import subprocess
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import migrate
from migrate.errors import UsageError
from migrate.training.payload import payload_of


class Loader:
    def get_state(self):
        return b'{"position": 3}'


def kinds(state, *, named=False):
    return {name: item.kind for name, item in payload_of(state, 1, named=named).items()}


@pytest.mark.parametrize("state", [{"a": 1}, [1, 2], np.ones(2), nnx.Rngs(0), {"m": nnx.Rngs(0)}, {1: 2}])
def test_a_pytree_or_module_is_one_item(state):
    assert {"": "pytree", "step": "json"} == kinds(state)


def test_a_dict_is_items_if_a_value_is_no_pytree_or_the_checkpointer_names_items():
    assert {"a": "pytree", "d": "json", "step": "json"} == kinds({"a": 1, "d": Loader()})
    assert {"a": "pytree", "step": "json"} == kinds({"a": 1}, named=True)
    assert {"a": "own", "step": "json"} == kinds({"a": ocp.args.JsonSave(1)})


def test_the_state_of_an_iterator_may_be_text_in_bytes():
    assert '{"position": 3}' == payload_of({"d": Loader()}, 1, named=False)["d"].value


def test_the_item_of_the_step_may_be_given():
    assert 7 == payload_of({"d": Loader(), "step": np.int32(7)}, 7, named=False)["step"].value


def test_a_variable_that_two_items_share_is_saved_once():
    layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    items = payload_of({"a": layer, "b": {"again": layer}, "d": Loader()}, 1, named=False)
    assert {"kernel", "bias"} == set(items["a"].value)
    assert {"a", "d", "step"} == set(items)


def test_names_of_items_are_names_of_directories():
    for name in ("a/b", "", ".a", 3):
        with pytest.raises(UsageError, match="is not the name of an item"):
            payload_of({"d": Loader(), name: 1}, 1, named=False)


SCRIPT = """
import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import numpy as np
import orbax.checkpoint as ocp
import migrate

address, number, root, differ = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "differ"
jax.distributed.initialize(address, 2, number)


class Batches:
    def get_state(self):
        return {"position": 3, "process": number if differ else 0}


with ocp.CheckpointManager(root) as manager:
    try:
        print("saved", migrate.save(manager, 1, {"model": {"w": np.ones(2)}, "data": Batches()}, {}))
    except migrate.UsageError as error:
        print("refused", error.diagnostics[0].code, error)
"""


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("states", "said"), [("equal", "saved True"), ("differ", "refused M736 `data`, whose state differs")]
)
def test_the_state_of_an_iterator_has_to_be_equal_in_two_processes(states, said, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    root = tmp_path / "root"
    root.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, address]
    started = [
        subprocess.Popen([*command, str(number), str(root), states], stdout=subprocess.PIPE, text=True)
        for number in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=600)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert all(said in output for output in outputs), outputs
    if states == "differ":
        assert [] == list(root.iterdir())
    else:
        with migrate.open_checkpoint(root) as checkpoint:
            assert {"step": 1, "data": {"position": 3, "process": 0}} == checkpoint.abstract.extras
