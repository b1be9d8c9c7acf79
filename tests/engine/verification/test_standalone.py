"""A checkpoint is verified by itself: its record, a template, and every leaf."""

from dataclasses import replace

import numpy as np
import pytest

from migrate.engine.verification.standalone import check_record, check_template, check_values
from migrate.errors import CheckpointError, VerifyError
from migrate.events import LeafDone, PhaseDone, PhaseStarted
from migrate.template import abstract_template
from tests.engine.sources import apply_plan, every_kind, opened, plan_for, save
from tests.engine.verification.conftest import chunks


def written(tmp_path, tree):
    with opened(save(tmp_path / "old", tree)) as reader:
        apply_plan(plan_for(reader), reader, tmp_path / "new")
    return tmp_path / "new"


def test_a_record_is_that_of_the_tree_or_there_is_none(tmp_path):
    with opened(written(tmp_path, {"a": 1.0})) as reader:
        found = reader.abstract()
    assert found.structure_hash == check_record(found)
    with opened(tmp_path / "old") as reader:
        other = reader.abstract()
    assert check_record(other) is None
    wrong = {"migrate": {**found.metadata["migrate"], "structure_hash": "sha256:0"}}
    with pytest.raises(VerifyError, match="records structure") as failure:
        check_record(replace(found, metadata=wrong))
    assert ["M306"] == [d.code for d in failure.value.diagnostics]


def test_a_tree_that_is_not_the_templates_is_described_from_both_sides():
    small, plain = (abstract_template(f"tests.template.models:{name}") for name in ("Small", "Plain"))
    check_template(small.tree, small)
    with pytest.raises(VerifyError) as failure:
        check_template(small.tree, plain)
    assert ["is missing", "is not in the template"] == [
        d.message.rpartition("each ")[2] for d in failure.value.diagnostics
    ]


def test_every_leaf_is_read(tmp_path):
    heard = []
    with opened(save(tmp_path / "old", every_kind())) as reader:
        check_values(reader, heard.append)
        leaves = reader.abstract().tree.leaves
    told = [(e.phase, e.path) for e in heard if isinstance(e, LeafDone)]
    assert sorted(("verify", path) for path in leaves) == sorted(told)
    assert (PhaseStarted, PhaseDone) == (type(heard[0]), type(heard[-1]))


def test_a_damaged_leaf_is_found(tmp_path):
    source = save(tmp_path / "old", {"a": np.arange(1000.0), "b": np.arange(1000.0)})
    chunks(source).write("b/0", b"not zstd").result()
    with opened(source) as reader, pytest.raises(CheckpointError, match="`b`"):
        check_values(reader)


def test_an_array_that_is_not_what_the_metadata_record_is_found(tmp_path, monkeypatch):
    with opened(save(tmp_path / "old", {"a": np.arange(6.0)})) as reader:
        monkeypatch.setattr(reader, "location", lambda _: None)
        monkeypatch.setattr(reader, "read", lambda _: np.arange(5.0))
        with pytest.raises(VerifyError, match="its data are") as failure:
            check_values(reader)
    assert ["M306"] == [d.code for d in failure.value.diagnostics]
