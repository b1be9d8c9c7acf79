"""Training goes on after a migration as it would have gone on without it, for every optimizer and every op.

A Linen-like training state is trained, saved by Orbax, migrated by the command line to an `nnx.Optimizer`, restored by
Orbax, and trained on with the gradients that belong to it; or the plan refuses it with the reason.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import nnx

import migrate
from migrate.cli.main import migrate as command
from migrate.rules.loader import parse_rules
from migrate.template import restore_target
from tests.end_to_end.optimizer_cases import CHANGED, CHANGES, NORMS, OPTIMIZERS, REFUSED, Tree, arrays, make, shapes_of
from tests.matrix import sampled

ROOT = Path(__file__).parent.parent.parent
SPEC = "tests.end_to_end.optimizer_cases:make"
STEPS = 5


def tolerance(optimizer, op):
    """Largest difference in a param after five more steps: none, unless elements are added up in another order.

    Nothing here is jitted, since a fused kernel may round otherwise.
    """
    reordered = optimizer in NORMS and op in ("transpose", "reshape")
    return 1e-6 if reordered else 0


def exact_changes(optimizer):
    return [op for op in CHANGED if op not in REFUSED.get(optimizer, {})]


@pytest.mark.parametrize("optimizer", sampled([*OPTIMIZERS, *CHANGES], 11))
def test_training_goes_on_as_if_nothing_had_happened(optimizer, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    changes = exact_changes(optimizer)
    training = Training(optimizer, changes)
    training.run(STEPS)
    training.save(tmp_path / "old")
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules_for(optimizer, changes))
    done = CliRunner().invoke(
        command, ["apply", "--allow-code", str(rules), str(tmp_path / "old"), str(tmp_path / "new")]
    )
    assert 0 == done.exit_code, done.output
    after = trained_on(restored(optimizer, changes, tmp_path / "new"), changes, training.seed)
    training.run(STEPS)
    for op in changes:
        expected = CHANGED[op].there({name: training.params[name] for name in CHANGED[op].source})
        actual = {name: after[name] for name in CHANGED[op].target}
        for (path, value), (_, other) in zip(leaves(expected), leaves(actual), strict=True):
            difference = np.max(np.abs(value - other), initial=0)
            assert difference <= tolerance(optimizer, op), (op, jax.tree_util.keystr(path), difference)


@pytest.mark.sample(3)
@pytest.mark.parametrize(("optimizer", "op"), [(name, op) for name, ops in REFUSED.items() for op in ops])
def test_what_has_no_exact_answer_is_refused_with_the_reason(optimizer, op, tmp_path):
    training = Training(optimizer, [op])
    training.save(tmp_path / "old")
    with migrate.open_checkpoint(tmp_path / "old") as source:
        plan = migrate.plan(source, parse_rules(rules_for(optimizer, [op]), "rules.yaml"), allow_code=True)
    errors = [d for d in plan.diagnostics if d.is_error]
    assert any(REFUSED[optimizer][op] in error.message for error in errors)
    assert {error.code for error in errors} in ({"M210"}, {"M210", "M204"})


def rules_for(optimizer, changes):
    arguments = f'{{optimizer: "{optimizer}", changes: "{" ".join(changes)}"}}'
    lines = ["migrate: 1", f'target: {{template: "{SPEC}", args: {arguments}}}', "rules:"]
    step = "- {from: step, to: optimizer/step, ops: [{cast: template}]}"
    return "\n".join([*lines, *(CHANGED[op].rules for op in changes), step]) + "\n"


class Training:
    """Training as Linen users write it: params and the optimizer's state are two pytrees."""

    def __init__(self, optimizer, changes):
        self.seed = sum(map(ord, optimizer))
        self.tx = (CHANGES[optimizer][0] if optimizer in CHANGES else OPTIMIZERS[optimizer])()
        self.params: Tree = arrays(shapes_of(changes, "source"), np.random.default_rng(self.seed))
        self.state = self.tx.init(self.params)
        self.step = 0

    def run(self, steps):
        for _ in range(steps):
            gradients = gradients_of(self.params, self.seed, self.step)
            updates, self.state = self.tx.update(gradients, self.state, self.params)
            self.params = jax.tree.map(np.asarray, optax.apply_updates(self.params, updates))
            self.step += 1

    def save(self, place):
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(place, {"params": self.params, "opt_state": self.state, "step": np.int32(self.step)})


def gradients_of(params, seed, step):
    """Gradients that depend on the params, on the seed and on the step, elementwise."""
    noise = arrays(jax.tree.map(np.shape, params), np.random.default_rng([seed, step]))
    return jax.tree.map(lambda p, n: n + np.float32(0.5) * p, params, noise)


def restored(optimizer, changes, place):
    made = make(optimizer, " ".join(changes))
    with ocp.StandardCheckpointer() as checkpointer:
        target = restore_target(SPEC, {"optimizer": optimizer, "changes": " ".join(changes)})
        state = checkpointer.restore(place, target)
    for name, part in made.items():
        nnx.update(part, state[name])
    return made


def trained_on(made, changes, seed):
    """The params after more steps with the gradients of the source, moved to where the target has them."""
    model, optimizer = made["model"], made["optimizer"]
    start = int(optimizer.step.get_value())
    for step in range(start, start + STEPS):
        params = {}
        for op in changes:
            params |= CHANGED[op].back({name: pure(model)[name] for name in CHANGED[op].target})
        gradients = gradients_of({n: params[n] for n in shapes_of(changes, "source")}, seed, step)
        state = nnx.state(model, nnx.Param)
        moved = {}
        for op in changes:
            moved |= CHANGED[op].there({name: gradients[name] for name in CHANGED[op].source})
        nnx.replace_by_pure_dict(state, jax.tree.map(jax.numpy.asarray, moved))
        optimizer.update(model, state)
    assert start == STEPS
    return pure(model)


def pure(model):
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))


def leaves(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


def test_reset_starts_an_accumulator_at_what_the_optimizer_starts_it_with(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    training = Training("adagrad", ["transpose", "rename"])
    training.run(STEPS)
    training.save(tmp_path / "old")
    rules = rules_for("adagrad", ["transpose", "rename"]).replace("[transpose]}", "[transpose], moments: reset}")
    (tmp_path / "rules.yaml").write_text(rules)
    places = [str(tmp_path / name) for name in ("rules.yaml", "old", "new")]
    done = CliRunner().invoke(command, ["apply", "--allow-code", *places])
    assert 0 == done.exit_code, done.output
    with migrate.open_checkpoint(tmp_path / "new") as checkpoint:
        slot = "optimizer/opt_state/0/sum_of_squares"
        np.testing.assert_array_equal(np.full((6, 4), 0.1, np.float32), checkpoint.read(f"{slot}/t/kernel"))
        kept = training.state[0].sum_of_squares["old"]["kernel"]
        np.testing.assert_array_equal(kept, checkpoint.read(f"{slot}/new/kernel"))


def test_the_table_of_the_docs_is_what_these_tests_show():
    assert table() in (ROOT / "docs" / "optimizers.md").read_text()


def table():
    """What every optimizer does under every op, as Markdown."""
    lines = [f"| | {' | '.join(CHANGED)} |", f"|---|{'---|' * len(CHANGED)}"]
    lines += [f"| {name} | {' | '.join(_cell(name, op) for op in CHANGED)} |" for name in [*OPTIMIZERS, *CHANGES]]
    return "\n".join(lines) + "\n"


def _cell(optimizer, op):
    if op in REFUSED.get(optimizer, {}):
        return "refused"
    return "≤ 1e-6" if tolerance(optimizer, op) else "exact"
