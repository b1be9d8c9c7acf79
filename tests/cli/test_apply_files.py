"""`migrate apply … out.safetensors` and `out.msgpack`: what is said, and what makes no sense."""

import json

import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import params


def test_the_plan_says_what_dst_becomes(run, here, golden):
    result = run("apply", "rules.yaml", "old.msgpack", "new.safetensors", "--dry-run")
    assert 0 == result.exit_code
    golden("cli/apply_safetensors.txt", result.stdout)
    assert not (here / "new.safetensors").exists()


def test_a_file_of_the_new_model_is_loaded_by_the_library(run):
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "new.safetensors").exit_code
    loaded = load_file("new.safetensors")
    assert {f"layers.{i}.{name}" for i in range(3) for name in ("bias", "kernel")} == loaded.keys()
    kernel = params()["params"]["Dense_1"]["kernel"]
    assert (kernel == loaded["layers.1.kernel"]).all()


def test_a_file_is_not_migrated_twice(run):
    run("apply", "rules.yaml", "old.msgpack", "new.msgpack")
    result = run("apply", "rules.yaml", "new.msgpack", "again")
    assert 1 == result.exit_code
    assert "M502" in result.stderr


@pytest.mark.parametrize(
    ("destination", "options", "words"),
    [
        ("new.npz", [], "`.npz` files are not written"),
        ("new.safetensors", ["--mesh", "data=2"], "is a single file, which records no mesh"),
        ("new.safetensors", ["--compression", "zstd:3"], "a safetensors file is not compressed"),
        ("new.msgpack", ["--step", "all"], "is a single file, which holds one step"),
    ],
)
def test_what_makes_no_sense_for_a_file_is_said(run, here, destination, options, words):
    result = run("apply", "rules.yaml", "old.msgpack", destination, *options)
    assert 2 == result.exit_code
    assert words in result.stderr
    assert not (here / destination).exists()


def test_the_receipt_for_programs(run):
    payload = json.loads(run("apply", "rules.yaml", "old.msgpack", "new.safetensors", "--json").stdout)
    assert (6, 6) == (payload["receipt"]["leaves"], payload["receipt"]["verified_leaves"])
    assert {"stream"} == {task["mode"] for task in payload["tasks"]}
