"""The report of `migrate init`; `tests/cli/test_init.py` compares its text."""

import numpy as np
from safetensors.numpy import save_file

import migrate
from migrate.errors import ExitCode
from migrate.planning.starter import start
from migrate.report.of_starter import NextCommands, starter_report

COMMANDS = NextCommands("migrate apply …", "migrate suggest …")


def report_of(tmp_path, **arrays):
    save_file({name: np.ones(2, np.float32) for name in arrays["names"]}, tmp_path / "old.safetensors")
    with migrate.open_checkpoint(tmp_path / "old.safetensors") as checkpoint:
        made = start(checkpoint.abstract, "template:make_state")
    return starter_report(made, ("template.py", "rules.yaml"), COMMANDS)


def test_the_report_names_files_families_and_the_next_commands(tmp_path):
    report = report_of(tmp_path, names=["h.0.attn.c_attn.weight", "wte.weight"])
    assert ExitCode.OK == report.exit_code
    assert "Wrote template.py and rules.yaml for old.safetensors (safetensors, 2 leaves)." == report.summary[0]
    assert ["`migrate apply …`" in report.summary[-2], "`migrate suggest …`" in report.summary[-1]] == [True, True]
    assert ["migrate apply …", "migrate suggest …"] == report.data["next"]


def test_a_plan_that_cannot_be_applied_is_not_said_to_keep_every_leaf(tmp_path):
    report = report_of(tmp_path, names=["a/b.c", "a.b/c"])
    assert ExitCode.NO == report.exit_code
    assert ["M211"] == [finding.code for finding in report.findings]
    assert not any("keeps every leaf" in sentence for sentence in report.summary)
