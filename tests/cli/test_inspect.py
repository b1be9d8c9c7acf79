import json

import numpy as np
import orbax.checkpoint as ocp
import pytest


def test_inspect_shows_the_tree(run, golden):
    result = run("inspect", "old.msgpack")
    assert 0 == result.exit_code
    golden("cli/inspect.txt", result.stdout)


def test_inspect_for_programs(run):
    payload = json.loads(run("inspect", "old.msgpack", "--json").stdout)
    assert payload["ok"]
    assert {"format", "era", "steps", "items", "structure_hash", "metadata", "leaves"} <= payload.keys()
    assert {
        "path": "params/Dense_0/kernel",
        "kind": "array",
        "shape": [4, 4],
        "dtype": "float32",
        "nbytes": 64,
        "chunks": None,
        "sharding": None,
    } == payload["leaves"][1]


def test_all_of_a_small_checkpoint_for_programs(run, golden):
    golden("cli/inspect.json", run("inspect", "old.msgpack", "--json").stdout)


def test_depth_and_verbose_open_less_and_more(run):
    assert "params/…  7 leaves, 68 elements, 272 B" in run("inspect", "old.msgpack", "--depth", "1").stdout
    assert "float32[4]  16 B  msgpack" in run("inspect", "old.msgpack", "-v").stdout
    assert 2 == run("inspect", "old.msgpack", "--depth", "0").exit_code


def test_a_path_without_a_checkpoint_is_no_answer(run):
    result = run("inspect", "nowhere")
    assert 2 == result.exit_code
    assert "" == result.stdout
    assert "error[M401]" in result.stderr


def test_what_has_no_steps_has_no_step(run):
    assert 2 == run("inspect", "old.msgpack", "--step", "3").exit_code


def test_color_changes_no_character(run):
    plain, painted = (run("inspect", "old.msgpack", "--color", choice).stdout for choice in ("never", "always"))
    assert "\x1b[" in painted
    for code in ("1;31", "1", "2", "0"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert plain == painted


def test_a_report_that_cannot_be_written_is_no_bug_of_ours(run):
    result = run("inspect", "old.msgpack", "--report", "no/such/folder/page.html")
    assert 2 == result.exit_code
    assert "error[M507]: cannot write the report `no/such/folder/page.html`: No such file or directory" in result.stderr


def test_the_answer_can_be_kept_as_html(run, here):
    assert 0 == run("inspect", "old.msgpack", "--report", "page.html").exit_code
    assert "Dense_{0..2}" in (here / "page.html").read_text()


def damaged(folder):
    """An Orbax checkpoint whose only large data file is empty; returns the file."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(folder, {"whole": np.ones(2), "lost": np.random.default_rng(0).standard_normal(5000)})
    file = max(folder.glob("ocdbt.process_*/d/*"), key=lambda path: path.stat().st_size)
    file.write_bytes(b"")
    return file


def test_a_damaged_checkpoint_is_shown_with_its_errors(run, here):
    file = damaged(here / "damaged")
    result = run("inspect", "damaged")
    assert 2 == result.exit_code
    assert "whole  float64[2]" in result.stdout
    assert f"error[M404]: `{file.resolve()}` is empty" in result.stdout
    payload = json.loads(run("inspect", "damaged", "--json").stdout)
    assert (False, ["M404"]) == (payload["ok"], [found["code"] for found in payload["diagnostics"]])


@pytest.mark.parametrize("words", [("diff", "damaged", "damaged"), ("check", "keep.yaml", "damaged")])
def test_every_other_command_refuses_a_damaged_checkpoint(run, here, words):
    file = damaged(here / "damaged")
    (here / "keep.yaml").write_text("migrate: 1\nrules: []\n")
    result = run(*words)
    assert 2 == result.exit_code
    assert file.name in result.stderr


def test_quiet_is_one_line_with_the_format_and_the_contents(run):
    (line,) = run("inspect", "old.msgpack", "-q").stdout.splitlines()
    assert line.startswith("old.msgpack: flax msgpack, ")
    assert "float32" in line
