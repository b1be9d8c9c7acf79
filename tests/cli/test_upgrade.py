"""Tests of `upgrade`, and of `running`, which it shares with `apply`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import migrate

STEP = "migrate: 1\nsource: {{model: tiny, version: {0}}}\ntarget: {{model: tiny, version: {1}{2}}}\nrules:\n{3}\n"
RULES = {
    1: '  - "params/Dense_{i}/** -> dense/{i}/**"\n  - drop: params/old_head',
    2: (
        '  - {from: "dense/{i}/kernel", to: "layers/{i}/kernel", ops: [transpose]}\n'
        '  - "dense/{i}/bias -> layers/{i}/b"'
    ),
    3: '  - {from: "layers/{i}/kernel", to: "layers/{i}/w", ops: [transpose]}',
    4: '  - {from: "layers/{i}/w", to: "stack/w", ops: [{stack: {over: i}}]}',
}


def write(version, rules, target="", name=None):
    Path("steps").mkdir(exist_ok=True)
    text = STEP.format(version, version + 1, target, rules)
    Path("steps", name or f"{version + 1:04}.yaml").write_text(text)


@pytest.fixture
def steps(here):
    """`steps`: rule files from version 1 to 5."""
    for version, rules in RULES.items():
        write(version, rules)
    return "steps"


def values(path):
    with migrate.open_checkpoint(path) as checkpoint:
        return {"/".join(name): np.asarray(checkpoint.read(name)) for name in checkpoint.tree.leaves}


def same(one, other):
    first, second = values(one), values(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert (value.dtype, value.tobytes()) == (second[name].dtype, second[name].tobytes()), name


def record(path):
    with migrate.open_checkpoint(path) as checkpoint:
        return migrate.Metadata.from_json(checkpoint.abstract.metadata)


def test_an_upgrade_writes_the_same_bits_as_its_steps(run, steps):
    assert 0 == run("upgrade", steps, "old.msgpack", "new", "--from", "1").exit_code
    source = "old.msgpack"
    for version in range(2, 6):
        assert 0 == run("apply", f"{steps}/{version:04}.yaml", source, f"v{version}").exit_code
        source = f"v{version}"

    same("v5", "new")
    upgraded, stepwise = record("new"), record("v5")
    assert (5, "tiny", 4) == (upgraded.version, upgraded.model, len(upgraded.history))
    rows = [
        [(row.rules, row.rules_digest, row.source_structure_hash) for row in one.history]
        for one in (upgraded, stepwise)
    ]
    assert rows[0] == rows[1]
    assert 1 == len({row.plan_digest for row in upgraded.history})
    assert (stepwise.structure_hash, stepwise.leaves) == (upgraded.structure_hash, upgraded.leaves)


@pytest.mark.parametrize("equal", [True, False])
def test_an_upgrade_compares_leaves_that_a_later_step_drops_as_equal(run, here, equal):
    write(1, '  - {from: embed, to: tokens, ops: [transpose]}\n  - "head -> logits"')
    write(2, "  - drop: {from: logits, assert: {equal: tokens}}")
    embed = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez("old.npz", embed=embed, head=embed.T if equal else embed.T + 1)
    result = run("upgrade", "steps", "old.npz", "new", "--from", "1")
    assert (0 if equal else 1) == result.exit_code, result.stderr
    assert equal or "error[M504]: `head` is dropped with `assert: {equal: embed}`" in result.stderr
    assert equal is Path("new").exists()


def test_an_upgrade_is_verified_against_its_source_and_its_folder(run, steps):
    assert 0 == run("upgrade", steps, "old.msgpack", "new", "--from", "1", "--to", "4").exit_code
    compare = ("verify", "new", "--source", "old.msgpack", "--rules", steps, "--from", "1")
    result = run(*compare)
    assert 0 == result.exit_code, result.stderr
    assert "equal the result of the rules on the source, bit for bit" in " ".join(result.stdout.split())
    assert (2, True) == ((unknown := run(*compare[:-2])).exit_code, "M601" in unknown.stderr)
    file = f"{steps}/0002.yaml"
    assert 2 == run(*compare[:5], file, *compare[6:]).exit_code, "`--from` beside a file"
    write(3, '  - {from: "layers/{i}/kernel", to: "layers/{i}/w", ops: [transpose, {scale: {by: 2}}]}')
    assert 1 == run(*compare).exit_code


def test_hyperparameters_of_an_earlier_step_are_recorded(run, steps):
    text = Path(steps, "0002.yaml").read_text().replace("version: 2}", "version: 2, args: {n: 3}}")
    Path(steps, "0002.yaml").write_text(text)
    assert 0 == run("upgrade", steps, "old.msgpack", "new", "--from", "1").exit_code

    assert {"n": 3} == record("new").hyperparameters


def test_the_version_comes_from_the_record(run, steps):
    assert 0 == run("upgrade", steps, "old.msgpack", "v2", "--from", "1", "--to", "2").exit_code
    assert 0 == run("upgrade", steps, "v2", "new").exit_code

    assert (5, 4) == (record("new").version, len(record("new").history))


def test_the_plan_of_an_upgrade_is_shown(run, steps, golden):
    result = run("upgrade", steps, "old.msgpack", "new", "--from", "1", "-n")

    assert 0 == result.exit_code
    assert not Path("new").exists()
    golden("cli/upgrade_dry_run.txt", result.stdout)


def test_an_upgrade_that_is_done_is_not_done_again(run, steps):
    run("upgrade", steps, "old.msgpack", "new", "--from", "1")
    result = run("upgrade", steps, "old.msgpack", "new", "--from", "1", "--json")

    assert (0, True) == (result.exit_code, json.loads(result.stdout)["already_done"])


def test_an_upgrade_is_verified_in_full(run, steps):
    result = run("upgrade", steps, "old.msgpack", "new", "--from", "1", "--verify", "full")

    assert 0 == result.exit_code, result.stderr


def test_every_step_of_a_root_is_upgraded(run, steps):
    run("upgrade", steps, "old.msgpack", "root/1", "--from", "1", "--to", "2")
    shutil.copytree("root/1", "root/2")
    result = run("upgrade", steps, "root", "new", "--step", "all")

    assert 0 == result.exit_code, result.stderr
    assert [5, 5] == [record(f"new/{number}").version for number in (1, 2)]


def test_a_source_without_a_version_is_refused(run, steps):
    result = run("upgrade", steps, "old.msgpack", "new")

    assert 2 == result.exit_code
    assert "error[M601]: old.msgpack does not record the version of its model" in result.stderr
    assert "help: name it with `--from V`; `migrate heads steps` draws the versions" in result.stderr


def test_a_missing_step_is_drawn(run, steps, golden):
    Path(steps, "0003.yaml").unlink()
    result = run("upgrade", steps, "old.msgpack", "new", "--from", "1", "--to", "5")

    assert 1 == result.exit_code
    golden("cli/upgrade_missing.txt", result.stderr)


def test_a_step_that_does_not_apply_is_named(run, steps):
    write(3, '  - "layers/{i}/missing -> layers/{i}/w"')
    result = run("upgrade", steps, "old.msgpack", "new", "--from", "1")

    assert 1 == result.exit_code
    assert "M201" in result.stderr
    assert "steps/0004.yaml:5" in result.stderr


MODEL = """
import numpy as np


def second():
    return {"dense": {str(i): layer() for i in range(3)}, "scale": np.ones(3, "float32")}


def third():
    return {"layers": {str(i): layer() for i in range(3)}, "scale": np.ones(3, "float32")}


def layer():
    return {"kernel": np.zeros((4, 4), "float32"), "bias": np.zeros(4, "float32")}
"""


@pytest.fixture
def templated(here, run):
    """`steps`: two rule files with templates, the first of which no longer exists; and its recorded tree."""
    from migrate.rules.recorded_tree import RecordedTree, tree_text

    Path("models_now.py").write_text(MODEL)
    built = migrate.abstract_template("models_now:second")
    create = f"{RULES[1]}\n  - {{create: {{to: scale, init: zeros}}}}"
    write(1, create, ", template: 'models_now:gone'")
    write(2, '  - "dense/** -> layers/**"', ", template: 'models_now:third'")
    Path("steps/2.tree.json").write_text(
        tree_text(RecordedTree("models_now:second", "tiny", 2, built.tree, built.transforms))
    )
    return "steps"


def test_a_template_that_is_gone_is_replaced_by_its_recorded_tree(run, templated):
    result = run("upgrade", templated, "old.msgpack", "new", "--from", "1")

    assert 0 == result.exit_code, result.stderr
    found = values("new")
    assert {"layers/0/kernel", "layers/0/bias", "scale"} <= found.keys()
    assert not found["scale"].any()


def test_the_recorded_tree_is_a_target_of_its_own(run, templated):
    result = run("upgrade", templated, "old.msgpack", "v2", "--from", "1", "--to", "2", "--verify", "full")

    assert 0 == result.exit_code, result.stderr
    assert "dense/0/kernel" in values("v2")


def test_a_template_that_is_gone_and_not_recorded_is_an_error(run, templated):
    Path("steps/2.tree.json").unlink()
    result = run("upgrade", templated, "old.msgpack", "new", "--from", "1")

    assert 2 == result.exit_code
    assert "restore steps/2.tree.json, the recorded tree of version 2" in result.stderr


def test_a_file_that_reads_key_paths_in_its_own_way_begins_no_chain(run, steps):
    text = Path(steps, "0002.yaml").read_text().replace("version: 1}", "version: 1, unbox: never}", 1)
    Path(steps, "0002.yaml").write_text(text)
    result = run("upgrade", steps, "old.msgpack", "new", "--from", "1")

    assert 2 == result.exit_code
    assert "apply that file alone first: `migrate apply steps/0002.yaml SRC DST`" in result.stderr
