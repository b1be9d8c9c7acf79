"""An extra leading axis in every leaf: replicas of `pmap`, or seeds that become a list of models."""

import numpy as np
from flax import serialization

import migrate
from tests.planning.suggest.trees import rules_of, suggested

ONE = {"params/Dense_0/kernel": (3, 4), "params/Dense_1/kernel": (4, 2), "opt_state/0/mu/Dense_0/kernel": (3, 4)}
ONE |= {"opt_state/0/mu/Dense_1/kernel": (4, 2), "opt_state/0/count": (), "step": ()}
NEW = {"model/up/kernel": (3, 4), "model/down/kernel": (4, 2), "optimizer/opt_state/0/mu/up/kernel": (3, 4)}
NEW |= {"optimizer/opt_state/0/mu/down/kernel": (4, 2), "optimizer/opt_state/0/count": (), "optimizer/step": ()}


def test_replicas_lose_their_axis_counts_included():
    suggestion = suggested({path: (4, *shape) for path, shape in ONE.items()}, NEW)
    assert suggestion.plan.applicable
    assert ((), ()) == (suggestion.unplaced_sources, suggestion.unplaced_targets)
    assert '- {from: "step", to: "optimizer/step", ops: [{unreplicate: {axis: 0}}]}' in rules_of(suggestion)
    assert "# Every leaf has a leading axis of size 4" in suggestion.text


def test_without_a_common_axis_nothing_is_removed():
    mixed = {path: (3 + i, *shape) for i, (path, shape) in enumerate(ONE.items())}
    assert "unreplicate" not in suggested(mixed, NEW).text
    assert "unreplicate" not in suggested(ONE, NEW).text


def test_a_layer_whose_arrays_share_their_first_size_is_no_replica():
    leaves = {"a/kernel": (4, 3), "a/bias": (4,)}
    assert "unreplicate" not in suggested({f"params/{p}": s for p, s in leaves.items()}, leaves).text


def test_replicas_that_differ_are_refused_with_a_help_that_can_be_pasted(tmp_path):
    values = {"params": {"kernel": np.stack([np.full((3, 4), seed, np.float32) for seed in (1, 1, 2)])}}
    (tmp_path / "old.msgpack").write_bytes(serialization.msgpack_serialize(values))
    rules = "migrate: 1\nrules:\n  - {from: params/kernel, to: kernel, ops: [OPS]}\n"
    (tmp_path / "rules.yaml").write_text(rules.replace("OPS", "{unreplicate: {axis: 0}}"))
    with migrate.open_checkpoint(tmp_path / "old.msgpack") as checkpoint:
        plan = migrate.plan(checkpoint, tmp_path / "rules.yaml")
        try:
            migrate.apply(plan, checkpoint, tmp_path / "new")
        except migrate.MigrateError as error:
            (finding,) = error.diagnostics
        assert "parts 0 and 2 along axis 0 differ" in finding.message
        ops = finding.help.split(" keeps")[0].strip("`")
        (tmp_path / "rules.yaml").write_text(rules.replace("OPS", ops))
        migrate.apply(migrate.plan(checkpoint, tmp_path / "rules.yaml"), checkpoint, tmp_path / "new")
    with migrate.open_checkpoint(tmp_path / "new") as written:
        assert (np.ones((3, 4)) == written.read(("kernel",))).all()


def test_seeds_become_a_list_of_models_counts_included():
    """Each model of the list has its own layers; the seeds are unstacked."""
    old = {f"params/{layer}/kernel": (3, *shape) for layer, shape in (("up", (5, 6)), ("down", (6, 2)))}
    new = {f"models/{i}/{path.split('/', 1)[1]}": shape[1:] for i in range(3) for path, shape in old.items()}
    suggestion = suggested(old, new)
    assert suggestion.plan.applicable
    assert "unstack: {axis: 0, over: i}" in suggestion.text
