"""Steps of a root: what `--step` selects, and that `--keep` retains what a `CheckpointManager` retains."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from migrate.errors import CheckpointError, UsageError
from migrate.formats.root import Root, RootStep
from migrate.planning.root_steps import choose_steps, parse_selector


def root(numbers, metrics=None):
    metrics = metrics or {}
    steps = tuple(RootStep(number, str(number), metrics.get(number)) for number in sorted(numbers))
    return Root(Path("old"), steps, ())


def chosen(text, numbers, metrics=None, **retention):
    return [step.number for step in choose_steps(root(numbers, metrics), parse_selector(text), **retention).chosen]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", [0, 100, 150, 200]),
        ("latest", [200]),
        ("100", [100]),
        ("200, 0", [0, 200]),
        ("every:100", [0, 100, 200]),
        ("every:150", [0, 150]),
    ],
)
def test_a_selector_selects(text, expected):
    assert expected == chosen(text, [0, 100, 150, 200])


@pytest.mark.parametrize(
    "text",
    ["", "newest", "9" * 5000, "every:" + "9" * 5000, "every:0", "every:x", "best:", "1;2", "1,,2", "every", "best"],
)
def test_any_other_text_is_refused_with_the_forms(text):
    with pytest.raises(UsageError, match="`every:N` or `best:METRIC`"):
        parse_selector(text)


LOSSES = {1: {"loss": 3.0, "n": {"acc": 1}}, 2: {"loss": 1.0}, 3: {"loss": 2.0}, 4: {"loss": float("nan")}, 5: None}


@pytest.mark.parametrize(
    ("text", "keep", "expected"),
    [
        ("best:loss", None, [2]),
        ("best:loss:max", None, [1]),
        ("best:loss", 2, [2, 3]),
        ("best:loss", 9, [1, 2, 3]),
        ("best:n/acc", None, [1]),
    ],
)
def test_the_best_steps_are_those_with_the_best_numbers(text, keep, expected):
    assert expected == chosen(text, LOSSES, LOSSES, keep=keep)


@pytest.mark.parametrize(
    ("metric", "direction"), [("loss", "min"), ("eval/loss", "min"), ("val_acc", "max"), ("test-Accuracy", "max")]
)
def test_the_name_of_a_common_metric_tells_its_direction(metric, direction):
    assert direction == parse_selector(f"best:{metric}").direction


@pytest.mark.parametrize("metric", ["neg_loss", "lossless", "speed", "loss_scale", "0"])
def test_the_direction_of_any_other_metric_has_to_be_told(metric):
    with pytest.raises(UsageError, match="largest or the smallest") as refused:
        parse_selector(f"best:{metric}")
    assert f"`--step best:{metric}:max`" in refused.value.diagnostics[0].help
    assert "max" == parse_selector(f"best:{metric}:max").direction


def test_numbers_of_any_size_are_compared():
    metrics = {1: {"n": 10**400}, 2: {"n": float("inf")}, 3: {"n": True}, 4: {"n": "9"}, 5: {"n": None}}
    assert [2] == chosen("best:n:max", metrics, metrics)
    assert [1] == chosen("best:n:min", metrics, metrics)


def test_a_metric_that_no_step_has_is_refused_with_those_that_they_have():
    with pytest.raises(CheckpointError, match=r"no step of `old` has a number `lss` in its metrics") as refused:
        chosen("best:lss:min", LOSSES, LOSSES)
    assert "did you mean `loss`?; the steps have `loss`, `n/acc`" == refused.value.diagnostics[0].help


def test_a_selector_that_matches_nothing_is_refused_with_the_steps():
    with pytest.raises(CheckpointError, match=r"`--step every:7` matches no step of `old`, which has 1, 2, 3"):
        chosen("every:7", [1, 2, 3])


def test_a_period_without_a_number_to_keep_is_refused():
    with pytest.raises(UsageError, match="has no effect"):
        chosen("all", [1, 2], keep_period=2)


def test_skipped_steps_do_not_count():
    assert [2, 3] == chosen("all", [1, 2, 3, 4], keep=2, skipped=[4])


def test_every_step_of_the_root_is_accounted_for():
    found = choose_steps(root([1, 2, 3, 4, 6]), parse_selector("every:2"), 1)
    assert [[6], [2, 4], [1, 3]] == [
        [step.number for step in part] for part in (found.chosen, found.dropped, found.unselected)
    ]


class Info:
    def __init__(self, step, metrics):
        self.step, self.metrics, self.time = step, metrics, None


def retained(policy, infos):
    """The steps that are left after each was saved in turn, as `CheckpointManager` deletes after every save."""
    left = []
    for info in infos:
        left.append(info)
        kept = policy.should_preserve(left, context=policies.PreservationContext())
        left = [one for one, is_kept in zip(left, kept, strict=True) if is_kept]
    return [info.step for info in left]


@given(
    numbers=st.sets(st.integers(0, 60), min_size=1, max_size=12),
    keep=st.integers(1, 6),
    period=st.none() | st.integers(1, 12),
)
def test_the_latest_steps_are_those_that_orbax_keeps(numbers, keep, period):
    parts = [policies.LatestN(keep), *([policies.EveryNSteps(period)] if period else [])]
    expected = retained(policies.AnyPreservationPolicy(parts), [Info(number, None) for number in sorted(numbers)])
    assert expected == chosen("all", numbers, keep=keep, keep_period=period)


@given(
    values=st.dictionaries(st.integers(0, 60), st.integers(-3, 3), min_size=1, max_size=12),
    keep=st.integers(1, 6),
    period=st.none() | st.integers(1, 12),
    direction=st.sampled_from(["min", "max"]),
)
def test_the_best_steps_are_those_that_orbax_keeps(values, keep, period, direction):
    best = policies.BestN(get_metric_fn=lambda metrics: metrics["m"], reverse=direction == "min", n=keep)
    parts = [best, *([policies.EveryNSteps(period)] if period else [])]
    metrics = {number: {"m": value} for number, value in values.items()}
    expected = retained(
        policies.AnyPreservationPolicy(parts), [Info(number, metrics[number]) for number in sorted(values)]
    )
    assert expected == chosen(f"best:m:{direction}", values, metrics, keep=keep, keep_period=period)
