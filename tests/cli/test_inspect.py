import json


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
    assert "error[M507]: cannot write the report no/such/folder/page.html: No such file or directory" in result.stderr


def test_the_answer_can_be_kept_as_html(run, here):
    assert 0 == run("inspect", "old.msgpack", "--report", "page.html").exit_code
    assert "Dense_{0..2}" in (here / "page.html").read_text()
