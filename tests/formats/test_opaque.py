"""Leaves whose data no array of JAX can hold: a rule may drop them, and whatever uses them is refused."""

import numpy as np
import pytest

from migrate import api
from migrate.errors import MigrateError
from migrate.formats.detect import open_reader
from migrate.formats.opaque import opaque_leaf, unreadable
from migrate.rules.loader import parse_rules


@pytest.fixture
def old(tmp_path):
    np.savez(tmp_path / "old.npz", **{"w": np.ones(3, np.float32), "it's {odd}": np.array(["a", "b"])})
    return tmp_path / "old.npz"


def planned(old, rules, head="migrate: 1"):
    with api.open_checkpoint(old) as checkpoint:
        return api.plan(checkpoint, parse_rules(f"{head}\nrules:\n{rules}\n", "rules.yaml"))


def test_a_dropped_leaf_does_not_keep_the_others_from_being_migrated(old, tmp_path):
    plan = planned(old, '- w -> v\n- drop: "it\'s *"')
    assert plan.applicable
    with api.open_checkpoint(old) as checkpoint:
        api.apply(plan, checkpoint, tmp_path / "new")
    with open_reader(tmp_path / "new") as reader:
        assert [("v",)] == list(reader.abstract().tree.leaves)


def test_what_the_help_proposes_cures_the_refusal(old):
    (found,) = planned(old, "- w -> v").diagnostics
    assert ("M411", "error") == (found.code, found.severity)
    assert "has the type text[2], which no array of JAX has" in found.message
    proposed = found.help.partition("`")[2].partition("` to the rules")[0]
    assert planned(old, f"- w -> v\n{proposed}").applicable


def test_a_rule_that_moves_it_is_refused_where_it_stands(old):
    (found,) = planned(old, "- '** -> new/**'").diagnostics
    assert ("M411", 3) == (found.code, found.span.line)


def test_unmatched_drop_drops_it(old):
    assert planned(old, "- w -> v", "migrate: 1\nunmatched: {source: drop}").applicable


def test_reading_it_is_refused(old):
    with api.open_checkpoint(old) as checkpoint, pytest.raises(MigrateError, match="text"):
        checkpoint.read(("it's {odd}",))


@pytest.mark.parametrize("dtype", ["float128", "<f16", "nonsense", "<x4"])
def test_a_dtype_that_may_be_damage_is_no_opaque_leaf(dtype):
    assert opaque_leaf(dtype, (1,)) is None


def test_its_text_has_kind_and_shape():
    leaf = opaque_leaf("|O", (2, 3))
    assert "Python objects[2,3]" == str(leaf)
    assert "nothing is ever unpickled" in unreadable(("a",), leaf, "old.npz").message


MODEL = """
from flax import nnx

class Model(nnx.Module):
    def __init__(self, rngs):
        self.w = nnx.Param(nnx.initializers.ones(rngs.params(), (3,)))

def make():
    return Model(nnx.Rngs(0))
"""


def test_a_suggestion_drops_it_and_passes_its_own_check(tmp_path, monkeypatch):
    np.savez(
        tmp_path / "old.npz", **{"params/w": np.ones(3, np.float32), "names": np.array(["a"]), "of/o": np.array({})}
    )
    (tmp_path / "opaque_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    with api.open_checkpoint(tmp_path / "old.npz") as checkpoint:
        suggestion = api.suggest(checkpoint, "opaque_model:make")
        assert "text or objects" in suggestion.text
        assert api.plan(checkpoint, parse_rules(suggestion.text, "rules.yaml"), "opaque_model:make").applicable


def test_a_text_without_a_place_is_listed_by_a_suggestion(tmp_path, monkeypatch):
    np.savez(tmp_path / "old.npz", **{"params/w": np.ones(3, np.float32), "name": np.array("a model")})
    (tmp_path / "opaque_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    with api.open_checkpoint(tmp_path / "old.npz") as checkpoint:
        assert (("name",),) == tuple(api.suggest(checkpoint, "opaque_model:make").unplaced_sources)


def test_verifying_a_checkpoint_skips_it(tmp_path):
    import json

    from click.testing import CliRunner

    from migrate.cli.main import migrate

    (tmp_path / "old").mkdir()
    for name, dtype in (("w", "<f4"), ("names", "|S2")):
        (tmp_path / "old" / name).mkdir()
        fields = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": dtype, "compressor": None, "order": "C"}
        text = json.dumps({**fields, "fill_value": None, "filters": None})
        (tmp_path / "old" / name / ".zarray").write_text(text)
        (tmp_path / "old" / name / "0").write_bytes(np.ones(2, "<f4").tobytes()[: 4 if name == "names" else 8])
    with open_reader(tmp_path / "old") as reader:
        assert ["byte strings[2]", "float32[2]"] == [str(leaf) for leaf in reader.abstract().tree.leaves.values()]
    result = CliRunner().invoke(migrate, ["verify", str(tmp_path / "old")])
    assert 0 == result.exit_code, result.output
