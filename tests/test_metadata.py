import json
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import CheckpointError, UsageError
from migrate.metadata import (
    KEY,
    Metadata,
    Migration,
    already_applied,
    installed_versions,
    kept_items,
    merge,
    now,
    with_items,
)

MIGRATION = Migration("to-nnx", "sha256:aa", "sha256:bb", "sha256:cc", "2026-01-02T03:04:05+00:00")
FULL = Metadata(
    model="vit",
    version=2,
    structure_hash="sha256:dd",
    source_structure_hash="sha256:bb",
    code="0123abcd",
    versions={"jax": "0.10.2"},
    step=7,
    hyperparameters={"width": 3, "names": ["a", None], "rate": 0.5},
    graph_digest="sha256:ee",
    code_digests={"net.model": "sha256:ff"},
    transforms=("scale", "scale_by_adam"),
    checkpointer="CheckpointManager",
    history=(MIGRATION,),
)

texts = st.text(max_size=5)
records = st.builds(
    Metadata,
    model=st.none() | texts,
    version=st.none() | st.integers() | texts,
    structure_hash=st.none() | texts,
    source_structure_hash=st.none() | texts,
    code=st.none() | texts,
    versions=st.dictionaries(texts, texts, max_size=3),
    step=st.none() | st.integers(),
    hyperparameters=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3),
    graph_digest=st.none() | texts,
    code_digests=st.dictionaries(texts, texts, max_size=3),
    transforms=st.lists(texts, max_size=3).map(tuple),
    checkpointer=st.none() | texts,
    history=st.lists(st.builds(Migration, texts, texts, texts, texts, texts), max_size=3).map(tuple),
)


def through_json(custom):
    return json.loads(json.dumps(custom))


@given(records)
def test_a_record_survives_json(record):
    assert record == Metadata.from_json(through_json(merge({}, record)))


def test_a_checkpoint_without_a_record_has_none():
    assert Metadata.from_json({}) is None
    assert Metadata.from_json({"epoch": 3}) is None


def test_fields_that_nobody_set_are_none():
    assert Metadata() == Metadata.from_json({KEY: {}})
    assert Metadata() == Metadata.from_json({KEY: {"step": None, "history": None}})


def test_fields_of_newer_versions_are_not_read_and_not_lost():
    custom = {KEY: {**FULL.to_json(), "signature": "xyz", "history": [{**FULL.to_json()["history"][0], "by": "me"}]}}
    assert FULL == Metadata.from_json(custom)
    assert "xyz" == merge(custom, FULL)[KEY]["signature"]


def test_everything_else_in_the_custom_metadata_stays():
    custom = {"epoch": 3, "config": {"a": [1]}}
    merged = merge(custom, FULL)
    assert custom == {name: value for name, value in merged.items() if name != KEY}
    assert {"epoch": 3, "config": {"a": [1]}} == custom


def test_what_a_new_record_says_replaces_what_the_old_one_said():
    merged = merge(merge({}, FULL), Metadata(model="vit", step=None))
    assert Metadata(model="vit") == Metadata.from_json(merged)


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        ("text", ["is a string, not a mapping"]),
        (None, ["is null, not a mapping"]),
        ({"model": 3}, ["an integer for `model`"]),
        ({"step": True}, ["a boolean for `step`"]),
        ({"step": 1.5, "version": []}, ["a list for `version`", "a number for `step`"]),
        ({"versions": {"jax": 1}}, ["an integer for `versions/jax`"]),
        ({"code_digests": {"net": None}, "leaves": {"a": 1}}, ["for `leaves/a`", "null for `code_digests/net`"]),
        ({"transforms": ["scale", 1]}, ["an integer for `transforms/1`"]),
        ({"history": {}}, ["a mapping for `history`"]),
        (
            {"history": [{"rules": "x"}]},
            ["`rules_digest`, `source_structure_hash`, `plan_digest`, `date` in `history/0`"],
        ),
        ({"history": ["x"]}, ["`rules`, `rules_digest`"]),
    ],
)
def test_every_field_of_a_wrong_type_is_an_error(blob, words):
    with pytest.raises(CheckpointError) as caught:
        Metadata.from_json({KEY: blob})
    assert ["M404"] * len(words) == [diagnostic.code for diagnostic in caught.value.diagnostics]
    for word, diagnostic in zip(words, caught.value.diagnostics, strict=True):
        assert word in diagnostic.message


def test_a_rule_file_in_the_history_was_already_applied():
    assert already_applied(FULL, "sha256:aa")
    assert not already_applied(FULL, "sha256:ff")
    assert not already_applied(Metadata(), "sha256:aa")


def test_the_versions_are_those_of_what_is_installed():
    import flax
    import jax

    versions = installed_versions()
    assert (jax.__version__, flax.__version__) == (versions["jax"], versions["flax"])
    assert {"jax", "flax", "optax", "orbax", "migrate"} >= set(versions)


def test_a_record_is_read_and_written_without_numpy_and_jax():
    script = (
        "import sys\n"
        "from migrate.metadata import Metadata, merge, installed_versions\n"
        "Metadata.from_json(merge({}, Metadata(versions=installed_versions())))\n"
        "print(sorted({'numpy', 'jax', 'flax', 'orbax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_dates_are_iso_8601_in_utc():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())


class Net:
    """A name for the record; the model itself is a pytree."""


def test_the_record_of_a_model_is_plain_json_and_describes_what_is_saved():
    import numpy as np
    from flax import nnx

    model = {"model": nnx.Linear(2, 3, rngs=nnx.Rngs(0)), "step": np.zeros((), "int32")}
    custom = Metadata.of(
        model, name="net", version=3, hyperparameters={"shape": (2, np.int64(3))}, step=np.int64(7), checkpointer=Net
    )
    assert [KEY] == list(custom)
    assert custom == through_json(custom)
    record = Metadata.from_json(custom)
    assert ("net", 3, 7, "Net") == (record.model, record.version, record.step, record.checkpointer)
    assert {"shape": [2, 3]} == record.hyperparameters
    assert {"model/kernel": "float32[2,3]", "model/bias": "float32[3]", "step": "int32[]"} == record.leaves
    assert record.structure_hash.startswith("sha256:")
    assert installed_versions() == record.versions
    assert () == record.history


def test_hyperparameters_are_read_from_the_model_unless_they_are_given():
    from flax import nnx

    model = nnx.MultiHeadAttention(2, 8, rngs=nnx.Rngs(0), decode=False)
    found = Metadata.from_json(Metadata.of(model, name="net", version="b"))
    assert {"num_heads": 2, "num_kv_heads": 2, "head_dim": 4} == found.hyperparameters
    assert {} == Metadata.from_json(Metadata.of(model, name="net", version="b", hyperparameters={})).hyperparameters


def test_a_hyperparameter_that_json_cannot_hold_is_refused_by_name():
    with pytest.raises(UsageError, match="`init` cannot be recorded"):
        Metadata.of({"a": 1.0}, name="net", version=1, hyperparameters={"width": 3, "init": object()})


def test_the_kind_of_a_checkpointer_is_its_class():
    import orbax.checkpoint as ocp
    from orbax.checkpoint import v1

    kinds = {
        "StandardCheckpointer": ocp.StandardCheckpointer,
        "v1.Checkpointer": v1.training.Checkpointer,
        "mine": "mine",
        None: None,
    }
    for kind, checkpointer in kinds.items():
        record = Metadata.from_json(Metadata.of({"a": 1.0}, name="net", version=1, checkpointer=checkpointer))
        assert kind == record.checkpointer


def test_json_items_in_custom_metadata_are_found_and_replaced():
    custom = with_items({"mine": 1}, {"config": {"n": 2}})
    assert {"mine": 1, "migrate": {"items": {"config": {"n": 2}}}} == custom
    assert {"config": {"n": 2}} == kept_items(custom)
    assert {"mine": 1} == with_items({"mine": 1}, {})
    for damaged in ({}, {"migrate": 3}, {"migrate": {"items": [1]}}):
        assert {} == kept_items(damaged)
