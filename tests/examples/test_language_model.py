"""The training step after an upgrade is the one without it, bit for bit, for each version of the example."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

import migrate
from tests.examples.conftest import EXAMPLE, copy, once, run

RULES = {2: "0002_rename_and_fuse_qkv", 3: "0003_scan_the_layers", 4: "0004_clip_and_schedule"}
RULES[5] = "0005_grow_the_vocabulary"

FUSED_MULTIPLY_ADD = """
import sys
import jax
import numpy as np
import optax
sys.path.insert(0, "")
from versions import v4

rng = np.random.default_rng(0)
params, *gradients = [{n: (s * rng.normal(size=(40, n))).astype("f4") for n in (32, 96)} for s in (1, *4 * [0.01])]

def updated(optimizer, state):
    @jax.jit
    def step(params, gradients, state):
        updates, _ = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates)
    return step(params, gradients[-1], state)

adam = optax.adam(1e-3)
state = adam.init(params)
for each in gradients[:-1]:
    _, state = adam.update(each, state, params)
chain = (optax.EmptyState(), (state[0], optax.ScaleByScheduleState(state[0].count)))
before, after = updated(adam, state), updated(v4.make_optimizer(), chain)
print(max(float(abs(before[n] - after[n]).max()) for n in params))
"""


def command(where, *arguments):
    code, output = run(where, "migrate", *arguments)
    assert 0 == code, output
    return output


def upgraded(where, source, name, to, *options):
    """Upgrades a step to a version; returns the numbers of the receipt."""
    output = command(where, "upgrade", "rules/", source, f"checkpoints/{name}", "--to", to, "--json", *options)
    return json.JSONDecoder().raw_decode(output)[0]


def differences(where, one, other):
    return command(where, "diff", f"checkpoints/{one}", f"checkpoints/{other}", "--values")


@pytest.fixture(scope="session")
def losses(example, tmp_path_factory):
    """Trains one step of versions 2, 3 and 4 from the upgraded step 3; returns the loss of step 4 by version."""

    def train(_):
        shutil.copytree(example / "checkpoints/v1/3", example / "checkpoints/third/3")
        return {version: trained(example, version) for version in (2, 3, 4)}

    return once(tmp_path_factory, "losses", train)[1]


def trained(example, version):
    root = f"checkpoints/v{version}"
    command(example, "upgrade", "rules/", "checkpoints/third", root, "--step", "all", "--to", version)
    code, output = run(example, sys.executable, "train.py", root, version, 4)
    assert 0 == code, output
    return loss(output)


def loss(output):
    return re.search(r"^step 4: loss (.*)$", output, re.M)[1]


@pytest.mark.matrix
def test_each_command_of_the_readme_prints_what_it_shows(transcript):
    """The losses of training to 5 digits: the last ones depend on the processor."""
    shown = {
        "LOSS": loss(next(output for command, _, _, output in transcript if "train.py checkpoints/v1 1 4" in command))
    }
    assert 10 == len(transcript)
    for text, lines, code, output in transcript:
        assert 0 == code, (text, output)
        for line in lines:
            assert rounded(line.replace("LOSS", shown["LOSS"])) in rounded(output), (text, output)


def rounded(text):
    """Returns a text with its white space squeezed and its long decimal numbers rounded to 4 places."""
    return re.sub(r"\d+\.\d{5,}", lambda match: f"{float(match[0]):.4f}", " ".join(text.split()))


@pytest.mark.matrix
def test_the_loss_of_the_next_step_is_that_of_version_1_in_every_version(transcript, losses):
    expected = {loss(output) for command, _, _, output in transcript if "step 4" in output and "train.py" in command}
    assert 1 == len(expected)
    assert {"2": expected, "3": expected, "4": expected} == {version: {one} for version, one in losses.items()}


@pytest.mark.matrix
@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_step_and_an_upgrade_commute_bit_for_bit(example, losses, version):
    """Params, the state of adam and the random streams after one more step, with and without the upgrade."""
    upgraded(example, f"checkpoints/v{version}", f"after_{version}", version + 1, "--step", 4)
    found = differences(example, f"after_{version}", f"v{version + 1}")
    assert re.search(r"Values: no differences in \d+ leaves, bit for bit\.", found), found


@pytest.mark.matrix
def test_all_upgrades_at_once_commute_with_a_step_too(example):
    upgraded(example, "checkpoints/v1", "after_all", 5, "--step", 4)
    assert "no differences in 53 leaves, bit for bit" in differences(example, "after_all", "v5")


@pytest.mark.matrix
def test_a_step_changes_the_values_that_are_compared(example):
    upgraded(example, "checkpoints/v1", "before_step", 5, "--step", 3)
    code, output = run(example, "migrate", "diff", "checkpoints/before_step", "checkpoints/v5", "--values")
    changed = re.search(r"Values: (\d+) of 53 leaves differ", output)
    assert 50 <= int(changed[1]), (code, output)


@pytest.mark.matrix
def test_the_fused_upgrade_writes_the_bits_of_its_steps_and_costs_no_more_than_the_longest(example):
    fused = upgraded(example, "checkpoints/v1", "fused", 5, "--step", 4)
    source, steps = "checkpoints/v1", []
    for version in (2, 3, 4, 5):
        options = ("--step", 4) if version == 2 else ()
        steps.append(upgraded(example, source, f"step_{version}", version, *options))
        source = f"checkpoints/step_{version}"
    assert "no differences in 53 leaves, bit for bit" in differences(example, "fused", "step_5")
    for figure in ("bytes_read", "bytes_written"):
        assert fused[figure] <= max(one[figure] for one in steps)
    with migrate.open_checkpoint(example / "checkpoints/fused") as checkpoint:
        history = [one["rules"] for one in checkpoint.abstract.metadata["migrate"]["history"]]
    assert [f"rules/{RULES[version]}.yaml" for version in (2, 3, 4, 5)] == history


@pytest.mark.matrix
def test_training_with_older_code_is_refused(example):
    code, output = run(example, sys.executable, "train.py", "checkpoints/v5", 1, 5)
    assert 1 == code
    assert "no rule files of rules/ lead from lm 5 to lm 1" in output


@pytest.mark.matrix
def test_a_job_resumes_at_each_version_in_one_root_and_its_losses_are_those_of_version_1(example):
    (example / "checkpoints" / "jobs").mkdir()
    for root in ("mixed", "plain"):
        shutil.copytree(example / "checkpoints/v1/3", example / f"checkpoints/jobs/{root}/3")
    lines = [line for version in (2, 3, 4, 5) for line in losses_of(example, "mixed", version, version + 2)]
    assert losses_of(example, "plain", 1, 7) == lines
    assert 4 == len(lines)


def losses_of(example, root, version, steps):
    code, output = run(example, sys.executable, "train.py", f"checkpoints/jobs/{root}", version, steps)
    assert 0 == code, output
    return re.findall(r"^step \d+: loss .*$", output, re.M)


@pytest.mark.matrix
def test_the_record_names_the_model_and_what_decides_its_shapes(example):
    with migrate.open_checkpoint(example / "checkpoints/v1") as checkpoint:
        record = checkpoint.abstract.metadata["migrate"]
    assert ("lm", 1, 4) == (record["model"], record["version"], record["step"])
    assert {"vocabulary": 60, "num_layers": 2, "num_heads": 4} == {
        name: record["hyperparameters"][name] for name in ("vocabulary", "num_layers", "num_heads")
    }


@pytest.mark.matrix
def test_the_config_rules_lead_to_the_hyperparameters_that_version_5_records(example):
    hyperparameters = {}
    upgraded(example, "checkpoints/v1", "described", 5, "--step", 3)
    for name in ("v5", "described"):  # saved by train.py, and upgraded
        with migrate.open_checkpoint(example / "checkpoints" / name) as checkpoint:
            hyperparameters[name] = checkpoint.abstract.metadata["migrate"]["hyperparameters"]
    assert hyperparameters["v5"] == hyperparameters["described"]
    assert (64, 60, 2, True) == tuple(
        hyperparameters["v5"][name] for name in ("vocabulary", "tokens", "layers", "scan_layers")
    )


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_each_rule_file_states_whether_a_step_is_exact(version):
    text = (EXAMPLE / "rules" / f"{RULES[version]}.yaml").read_text()
    assert re.search(r"^# Exact\b", text, re.M)
    assert yaml.safe_load(text)["target"]["template"] == f"versions.v{version}:make_state"


@pytest.mark.matrix
def test_where_a_step_is_not_exact_the_rule_file_states_the_tolerance():
    """Fused multiply-add, XLA's default, rounds the update of the longer chain otherwise."""
    stated = float(re.search(r"up to (\S+)", (EXAMPLE / "rules" / f"{RULES[4]}.yaml").read_text())[1])
    code, output = run(EXAMPLE, sys.executable, "-c", FUSED_MULTIPLY_ADD)
    assert 0 == code, output
    assert float(output.split()[-1]) <= stated
    flags = "--xla_cpu_max_isa=AVX"
    code, output = run(EXAMPLE, sys.executable, "-c", FUSED_MULTIPLY_ADD, XLA_FLAGS=flags)
    assert (0, 0.0) == (code, float(output.split()[-1]))


def test_the_folder_is_complete_and_unedited_and_version_5_is_the_newest():
    code, output = run(EXAMPLE, "migrate", "check", "rules/", "--template", "versions.v5:make_state")
    assert 0 == code, output
    assert "warning" not in output


@pytest.mark.matrix
def test_no_code_but_the_newest_is_needed_to_upgrade(example, tmp_path):
    """The recorded trees stand for the versions between."""
    here = copy(tmp_path)
    for version in (1, 2, 3, 4):
        (here / "versions" / f"v{version}.py").unlink()
    command(here, "upgrade", "rules/", Path(example / "checkpoints/v1"), "new", "--dry-run")
