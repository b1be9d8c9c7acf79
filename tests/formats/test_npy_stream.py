"""Equinox' files and `.npy`: arrays in order, without names.

Covers `named`, which gives them the names of a model, and `npy_header`.
"""

import io
from pathlib import Path

import numpy as np
import pytest

from migrate import api
from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.formats.npy_header import InvalidHeaderError, parse_header, read_array_header
from migrate.rules.loader import parse_rules
from migrate.testing.readers import check_reader, same_value

EQUINOX = Path(__file__).parents[2] / "fixtures" / "equinox"
NAMES = ("layers/0/weight", "layers/0/bias", "layers/2/weight", "norm/weight", "norm/bias", "scale", "steps", "rate")
MODEL = """
import jax, jax.numpy as jnp
from typing import Any, NamedTuple

class Linear(NamedTuple):
    weight: Any
    bias: Any

class Model(NamedTuple):
    layers: Any
    norm: Any
    scale: Any
    steps: Any
    rate: Any

def make(size=4):
    layers = [Linear(jnp.zeros((3, size)), jnp.zeros(3)), jax.nn.relu, Linear(jnp.zeros((2, 3)), None)]
    norm = Linear(jnp.zeros(2), jnp.zeros(2))
    return Model(layers, norm, jnp.zeros(3, jnp.bfloat16), jnp.zeros((2, 3), int), 0.5)

def new():
    old = make()
    return old._replace(layers=[old.layers[0]], steps=jnp.zeros((2, 3), "int32"))

def other():
    return make(5)

def shorter():
    return make()[:-1]

def in_nnx():
    from flax import nnx
    return nnx.Linear(4, 3, rngs=nnx.Rngs(0))
"""


@pytest.fixture(autouse=True, scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "eqx_models.py").write_text(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_reader(path)
    return caught.value.diagnostics[0]


def stored():
    """The values that Equinox wrote, in order, as NumPy loads them."""
    with open(EQUINOX / "model.eqx", "rb") as file:
        return [np.load(file) for _ in NAMES]


def test_what_equinox_wrote_keeps_the_readers_laws():
    check_reader(lambda: open_reader(EQUINOX / "model.eqx"))
    check_reader(lambda: api.open_checkpoint(EQUINOX / "model.eqx", template="eqx_models:make").reader)


def test_arrays_are_numbered_in_their_order():
    with open_reader(EQUINOX / "model.eqx") as reader:
        assert [(str(number),) for number in range(8)] == list(reader.abstract().tree.leaves)
        assert "list" == reader.abstract().tree.container(())
        for number, value in enumerate(stored()):
            if value.dtype.kind != "V":
                assert same_value(np.asarray(value), reader.read((str(number),)))
        assert [0, 1, 2] == reader.read(("5",)).astype("float32").tolist()
        assert any("read as bfloat16" in note.message for note in reader.abstract().notes)


def test_the_model_that_was_saved_names_them():
    values = np.load(EQUINOX / "values.npz")
    with api.open_checkpoint(EQUINOX / "model.eqx", template="eqx_models:make") as checkpoint:
        assert sorted(NAMES) == sorted(map("/".join, checkpoint.tree.leaves))
        for name in set(NAMES) - {"scale"}:
            assert np.array_equal(values[name], checkpoint.read(name)), name
        assert "bfloat16" == checkpoint.read("scale").dtype.name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other", "array 0 has the shape [3, 4], and the leaf `layers/0/weight` [3, 5]"),
        ("shorter", "the file has 8 arrays, and the model 7 leaves"),
        ("in_nnx", "it has NNX modules, whose order is their own"),
    ],
)
def test_a_model_whose_leaves_differ_names_nothing_and_the_warning_has_the_reason(name, why):
    with api.open_checkpoint(EQUINOX / "model.eqx", template=f"eqx_models:{name}") as checkpoint:
        assert ("0",) in checkpoint.tree.leaves
        (warning,) = [note for note in checkpoint.abstract.notes if note.severity == "warning"]
        assert why in warning.message


def test_a_checkpoint_with_names_does_not_call_the_template(tmp_path):
    np.savez(tmp_path / "old.npz", a=np.ones(1))
    with api.open_checkpoint(tmp_path / "old.npz", template="no_such_module:make") as checkpoint:
        assert [("a",)] == list(checkpoint.tree.leaves)


def test_a_file_is_migrated_under_the_names_of_the_model(tmp_path):
    rules = parse_rules("migrate: 1\nrules: [{drop: layers/2/**}, {drop: steps}]\n", "rules.yaml")
    with api.open_checkpoint(EQUINOX / "model.eqx", template="eqx_models:make") as checkpoint:
        plan = api.plan(checkpoint, rules)
        assert plan.applicable
        api.apply(plan, checkpoint, tmp_path / "new")
        expected = checkpoint.read("norm/weight")
    with open_reader(tmp_path / "new") as reader:
        assert set(NAMES) - {"layers/2/weight", "steps"} == set(map("/".join, reader.abstract().tree.leaves))
        assert same_value(expected, reader.read(("norm", "weight")))


def test_the_commands_take_the_template(tmp_path):
    from click.testing import CliRunner

    from migrate.cli.main import migrate

    arguments = [str(EQUINOX / "model.eqx"), "--template", "eqx_models:make"]
    assert "weight  float32[3,4]" in CliRunner().invoke(migrate, ["inspect", *arguments]).output
    (tmp_path / "rules.yaml").write_text("migrate: 1\nrules: [norm/weight -> norm/weight]\n")
    result = CliRunner().invoke(migrate, ["check", str(tmp_path / "rules.yaml"), *arguments])
    assert "matches nothing" not in result.output


@pytest.mark.parametrize(
    "array", [np.arange(6, dtype=">i4").reshape(2, 3), np.asfortranarray(np.ones((2, 3))), np.array(1.5)]
)
def test_a_single_array_is_a_list_of_one(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    check_reader(lambda: open_reader(tmp_path / "a.npy"))
    with open_reader(tmp_path / "a.npy") as reader:
        assert same_value(array.astype(array.dtype.newbyteorder("=")), np.asarray(reader.read(("0",))))


@pytest.mark.parametrize(
    ("content", "code", "why"),
    [
        (npy(np.ones(3))[:-1], "M404", "truncated: array 0 needs the bytes up to 152, and the file has 151"),
        (npy(np.ones(3)) + b"more", "M404", "no array begins at byte 152"),
        (npy(np.ones(3)) + npy(np.ones(2))[:20], "M404", "no array begins at byte 152"),
        (npy(np.ones(3)) + npy(np.array([{}]), allow_pickle=True), "M401", "nothing is ever unpickled"),
        (npy(np.ones(3)) + npy(np.array(["a"])), "M411", "array 1"),
        (b"\x93NUMPY\x01\x00", "M404", "no array begins at byte 0"),
    ],
)
def test_a_damaged_or_foreign_array_is_refused_with_its_position(tmp_path, content, code, why):
    found = refusal(tmp_path / "model.eqx", content)
    assert code == found.code
    assert why in found.message


@pytest.mark.parametrize("text", ["", "{}", "{'descr': '<f4', 'shape': [1], 'fortran_order': False}", "(" * 5000])
def test_a_header_that_contradicts_itself_is_refused(text):
    with pytest.raises(InvalidHeaderError):
        parse_header(text)


def test_a_header_gives_the_offset_of_the_elements():
    content = npy(np.arange(4, dtype="int16"))
    header, start = read_array_header(content)
    assert ("<i2", (4,), False) == (header.text, header.shape, header.fortran)
    assert np.arange(4, dtype="int16").tobytes() == content[start:]
