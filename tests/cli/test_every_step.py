"""`--step all`: a whole `CheckpointManager` root, step by step, into another root that Orbax reads."""

import jax.numpy as jnp
import orbax.checkpoint as ocp
from click.testing import CliRunner

from migrate.cli.main import migrate


def test_every_step_of_a_root_becomes_a_step_of_the_new_root(tmp_path):
    with ocp.CheckpointManager(tmp_path / "old") as manager:
        for step in (2, 10):
            manager.save(step, args=ocp.args.StandardSave({"params": {"w": jnp.full(3, float(step))}}))
    (tmp_path / "rules.yaml").write_text('migrate: 1\nrules: ["params/** -> model/**"]\n')
    places = [str(tmp_path / name) for name in ("rules.yaml", "old", "new")]
    result = CliRunner().invoke(migrate, ["apply", *places, "--step", "all"])
    assert 0 == result.exit_code, result.output
    with ocp.CheckpointManager(tmp_path / "new") as manager:
        assert [2, 10] == sorted(manager.all_steps())
        assert [10.0, 2.0] == [float(manager.restore(step)["model"]["w"][0]) for step in (10, 2)]
    verified = CliRunner().invoke(
        migrate, ["verify", str(tmp_path / "new" / "10"), "--source", places[1], "--step", "10", "--rules", places[0]]
    )
    assert 0 == verified.exit_code, verified.output
