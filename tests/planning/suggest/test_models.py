"""Models of every kind from Linen to NNX: a suggestion is right, or marked as unproved."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import migrate
from migrate.template import restore_target
from tests.matrix import sampled
from tests.oracle.cases import CASES as FIXTURES
from tests.planning.suggest.models.eras import CASES as ERA_CASES
from tests.planning.suggest.models.eras import unpack
from tests.planning.suggest.score import CASES, filled, outputs, score, truth_plan, values_of

pytestmark = pytest.mark.usefixtures("highest_precision")
NAMES = [case.name for case in CASES]


def _name(case):
    return case.name


@pytest.mark.sample(3)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_nothing_is_wrong_without_a_mark_and_nothing_is_left_over(case, opened):
    checkpoint, _, truth, suggestion = opened(case)
    found = score(suggestion, truth, checkpoint)
    assert ((), 0) == (found.wrong, found.unplaced)
    assert ((), ()) == (suggestion.unplaced_sources, suggestion.unplaced_targets)
    assert suggestion.plan.applicable


UNLUCKY = ("gpt_square", "gpt_fused_by_heads")
"""Cases whose unproved suggestions are wrong as written."""


@pytest.mark.parametrize(
    "case", sampled([case for case in CASES if case.name not in UNLUCKY], 10, lambda case: case.name)
)
def test_a_suggestion_without_any_edit_migrates_the_model(case, opened, sources, tmp_path):
    checkpoint, _, truth, suggestion = opened(case)
    (tmp_path / "rules.yaml").write_text(suggestion.text)
    plan = migrate.plan(checkpoint, tmp_path / "rules.yaml", allow_code=True)
    migrate.apply(plan, checkpoint, tmp_path / "new")
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(tmp_path / "new", restore_target(case.template))
    model = nnx.merge(nnx.graphdef(nnx.eval_shape(lambda: filled(case.template, {}))), state)
    computes_the_same(model, case, sources)
    written = {tuple(map(str, path)): variable.get_value() for path, variable in nnx.to_flat_state(state)}
    assert all(np.array_equal(value, written[path]) for path, value in values_of(truth, checkpoint).items())


@pytest.mark.parametrize("name", UNLUCKY)
@pytest.mark.matrix
def test_the_truth_computes_what_the_linen_model_does(name, opened, sources):
    case = CASES[NAMES.index(name)]
    checkpoint, _, truth, _ = opened(case)
    computes_the_same(filled(case.template, values_of(truth, checkpoint)), case, sources)


def computes_the_same(model, case, sources):
    _, variables, inputs = sources(case)
    expected = jax.jit(case.linen.apply)(variables, *inputs)
    np.testing.assert_allclose(np.asarray(outputs(model, *inputs)), np.asarray(expected), rtol=1e-5, atol=1e-5)


def test_a_suggestion_that_is_wrong_says_so_and_lists_what_is_right(opened):
    """The outer of two square layers is Dense_0, so that neither shapes nor numbers identify it."""
    case = CASES[NAMES.index("gpt_square")]
    checkpoint, _, truth, suggestion = opened(case)
    assert 12 == score(suggestion, truth, checkpoint).alternative
    assert "# unproved: Dense_0 and Dense_1 have the same shape; only their order supports this" in suggestion.text
    assert "  #   or: params/h_{i}/mlp/Dense_0/** -> blocks/{i}/ffn/down/**" in suggestion.text


def test_another_order_of_fused_heads_is_among_the_ways(opened):
    case = CASES[NAMES.index("gpt_fused_by_heads")]
    checkpoint, _, truth, suggestion = opened(case)
    assert 6 == score(suggestion, truth, checkpoint).alternative


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    return tmp_path_factory.mktemp("eras")


@pytest.mark.parametrize("case", sampled(ERA_CASES, 8, _name))
def test_models_that_older_flax_saved_become_todays(case, unpacked, tmp_path):
    folder = unpack(case.era, unpacked) / case.folder
    template = migrate.abstract_template(case.template)
    with migrate.open_checkpoint(folder / "ckpt") as checkpoint:
        truth = truth_plan(case, checkpoint, template)
        suggestion = migrate.suggest(checkpoint, template)
        found = score(suggestion, truth, checkpoint)
        assert ((), 0, 0) == (found.wrong, found.unplaced, found.alternative)
        assert suggestion.plan.applicable
        values = values_of(suggestion.plan, checkpoint)
        if case.era == "0.10":  # the other eras hold the same values
            migrate.apply(suggestion.plan, checkpoint, tmp_path / "new")
            with migrate.open_checkpoint(tmp_path / "new") as written:
                assert all(np.array_equal(value, written.read(path)) for path, value in values.items())
    if case.era == "0.10":
        with np.load(folder / "golden.npz") as golden:
            inputs = [golden[name] for name in sorted(golden.files) if name.startswith("in_")]
            actual = outputs(filled(case.template, values), *inputs)
            np.testing.assert_allclose(np.asarray(actual), golden["out"], rtol=1e-4, atol=1e-5)


@pytest.mark.sample(5)
@pytest.mark.parametrize("case", FIXTURES, ids=lambda case: case.name)
def test_the_fixtures_and_real_checkpoints_get_what_a_person_wrote(case):
    if case.real and not case.checkpoint.exists():
        pytest.skip("the real checkpoints are not on this machine")
    rules = migrate.load_rules(case.rules)
    with migrate.open_checkpoint(case.checkpoint) as checkpoint:
        template = migrate.abstract_template(rules.target.template)
        truth = migrate.plan(checkpoint, rules, template)
        suggestion = migrate.suggest(checkpoint, template)
        assert _tasks(truth) == _tasks(suggestion.plan)
        assert ("items" not in case.name) == suggestion.plan.applicable  # nothing says what its step was
        found = score(suggestion, truth, checkpoint)
    assert ((), 0, 0) == (found.wrong, found.unplaced, found.alternative)


def _tasks(plan):
    return {task.targets: task.sources for task in plan.tasks}


@pytest.mark.parametrize("name", ["cnn_blocks", "resnet_stages", "gpt_fused", "gpt_scan_axis_1", "gru", "lstm_fused"])
def test_the_rule_file_is_worth_reading(name, opened, golden):
    _, _, _, suggestion = opened(CASES[NAMES.index(name)])
    golden(f"suggest/{name}.yaml", suggestion.text)
