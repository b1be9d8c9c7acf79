import logging

import pytest

from migrate.cli.options import SizeType, chosen_step

APPLY = ("apply", "rules.yaml", "old.msgpack", "new", "-n")


@pytest.mark.parametrize("size", ["1MiB", "many", "2g", "-1", "63.9MiB"])
def test_sizes_that_are_none_or_too_small_are_usage_errors(run, size):
    result = run(*APPLY, "--max-ram", size)
    assert 2 == result.exit_code
    assert "--max-ram" in result.stderr


@pytest.mark.parametrize("size", ["64MiB", "67108864", "2GB", "0.5GiB", "1 TiB"])
def test_sizes_have_units_or_are_bytes(run, size):
    assert 0 == run(*APPLY, "--max-ram", size).exit_code


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--jobs", "0"),
        ("--compression", "gzip"),
        ("--compression", "zstd:-6"),
        ("--compression", "zstd:"),
        ("--link", "x"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(run, option, value):
    result = run(*APPLY, option, value)
    assert 2 == result.exit_code
    assert option in result.stderr


@pytest.mark.parametrize(
    ("size", "problem"), [("many", "not a size"), ("1MiB", "1MiB is too small; the minimum is 64MiB")]
)
def test_a_wrong_size_is_explained(run, size, problem):
    assert problem in run(*APPLY, "--max-ram", size).stderr


@pytest.mark.parametrize(
    ("size", "nbytes"), [("64MiB", 64 << 20), ("0.5GiB", 1 << 29), ("1 TiB", 1 << 40), ("2GB", 2_000_000_000)]
)
def test_binary_and_decimal_units_are_told_apart(size, nbytes):
    assert nbytes == SizeType(64 << 20).convert(size, None, None)


def test_a_step_is_a_number_or_latest(run):
    result = run("inspect", "old.msgpack", "--step", "newest")
    assert 2 == result.exit_code
    assert "`newest` is neither a number nor `latest`" in result.stderr


def test_several_steps_are_a_choice_of_apply_only(run):
    assert "neither a number nor `latest`\n" in run("inspect", "old.msgpack", "--step", "all").stderr
    refused = run(*APPLY, "--step", "newest")
    assert 2 == refused.exit_code
    assert "`newest` is not a number, a list such as `100,200`, `latest`, `all`, `every:N`" in refused.stderr


@pytest.mark.parametrize(("step", "expected"), [(None, None), (3, 3), ("latest", "latest")])
def test_the_step_of_one_checkpoint(step, expected):
    assert expected == chosen_step(step)


def test_warnings_of_libraries_are_hidden(run, monkeypatch):
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler())
    assert 0 == run("inspect", "old.msgpack").exit_code
    assert logging.ERROR == logging.lastResort.level
