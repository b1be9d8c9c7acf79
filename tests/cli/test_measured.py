"""Statistics of values on the page of a run: when they are measured, and what happens where they cannot be."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import migrate
from migrate.cli.console import Console
from migrate.cli.measured import with_statistics
from migrate.engine.options import ApplyOptions
from migrate.report.html import draw
from migrate.report.view import Report

APPLY = ("apply", "rules.yaml", "old.msgpack")


def picture(file="page.html"):
    """The data of the picture on a page."""
    found = re.search(r'id="picture">(.*?)</script>', Path(file).read_text())
    return json.loads(found[1])


def measured(side, file="page.html"):
    return {"/".join(leaf[0]) for leaf in picture(file)["trees"][side]["leaves"] if len(leaf) > 3}


def test_a_run_with_a_page_measures_what_it_read_and_wrote(run):
    result = run(*APPLY, "new", "--report", "page.html")
    assert (0, "") == (result.exit_code, result.stderr)
    assert {f"params/Dense_{i}/{name}" for i in range(3) for name in ("bias", "kernel")} == measured(0)
    assert {f"layers/{i}/{name}" for i in range(3) for name in ("bias", "kernel")} == measured(1)
    assert "Measured the values of 6 leaves before and 6 leaves after the run." in Path("page.html").read_text()
    bias = next(leaf for leaf in picture()["trees"][1]["leaves"] if leaf[0] == ["layers", "2", "bias"])
    assert [4, 0, 0, 0, 0, "2", "2", "2", "0", 2.0, 2.0, "z"] == picture()["statistics"][bias[3]]


def test_linked_leaves_are_measured_if_they_were_decoded(run, migrated):
    Path("again.yaml").write_text('migrate: 1\nrules: ["layers/** -> blocks/**"]\n')
    assert 0 == run("apply", "again.yaml", migrated, "linked", "--report", "page.html").exit_code
    assert set() == measured(0)
    assert 0 == run("apply", "again.yaml", migrated, "decoded", "--verify", "decode", "--report", "all.html").exit_code
    assert 6 == len(measured(0, "all.html"))
    assert {path.replace("layers", "blocks") for path in measured(0, "all.html")} == measured(1, "all.html")


@pytest.mark.parametrize("options", [("--dry-run",), ()], ids=["dry run", "finished run"])
def test_a_command_that_writes_nothing_measures_nothing(run, migrated, options):
    destination = "other" if options else "twice"
    if not options:
        assert 0 == run(*APPLY, "twice").exit_code
    assert 0 == run(*APPLY, destination, "--report", "page.html", *options).exit_code
    assert "statistics" not in picture()
    assert "Measured" not in Path("page.html").read_text()


@pytest.mark.parametrize(("options", "modules"), [((), 0), (("--report", "page.html"), 2)])
def test_a_run_without_a_page_imports_nothing_for_it(untyped, options, modules):
    code = (
        "import atexit, sys\nfrom migrate.cli.main import migrate\n"
        "found = lambda: [name for name in sys.modules if 'statistics' in name and name.startswith('migrate.engine')]\n"
        f"atexit.register(lambda: print(len(found())))\nmigrate({[*APPLY, 'new', *options]})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(modules) == done.stdout.splitlines()[-1]


def test_the_output_for_programs_has_no_statistics(run):
    plain = json.loads(run(*APPLY, "new", "--json").stdout)
    paged = json.loads(run(*APPLY, "other", "--json", "--report", "page.html").stdout)
    assert plain.keys() == paged.keys()
    assert plain["receipt"].keys() == paged["receipt"].keys()
    assert 6 == len(measured(1))


def test_every_step_of_a_root_has_its_values(run, here):
    for step in (1, 2):
        with migrate.open_checkpoint("old.msgpack") as source:
            migrate.apply(migrate.plan(source, migrate.load_rules("rules.yaml")), source, f"root/{step}")
    Path("turn.yaml").write_text(
        'migrate: 1\nrules: [{from: "layers/{i}/{n}", to: "t/{i}/{n}", ops: [{flip: {axis: 0}}]}]\n'
    )
    result = run("apply", "turn.yaml", "root", "new", "--step", "all", "--report", "page.html")
    assert 0 == result.exit_code, result.output
    page = Path("page.html").read_text()
    assert 6 == len(measured(1))
    assert 1 == page.count("<summary>Values before and after</summary>")
    assert 2 == page.count("Measured the values of 6 leaves before and 6 leaves after the run.")


def test_a_result_that_cannot_be_measured_is_a_warning_on_the_page(here, capsys):
    save_file({"a": np.zeros(3, np.float32)}, "old.safetensors")
    Path("cast.yaml").write_text("migrate: 1\nrules: [{from: a, to: a, ops: [{cast: bfloat16}]}]\n")
    with migrate.open_checkpoint("old.safetensors") as source:
        plan = migrate.plan(source, migrate.load_rules("cast.yaml"))
        receipt = migrate.apply(plan, source, "lost.safetensors")
        Path("lost.safetensors").unlink()
        console = Console(report_file="page.html", quiet=True)
        report = with_statistics(Report("apply"), receipt, console, plan, source, ApplyOptions())
    assert (0, True) == (report.exit_code, report.ok)
    warning = "Warning: values were not measured: "
    assert capsys.readouterr().out.startswith(warning)
    assert warning in draw(report)
    assert "`lost.safetensors`" in report.summary[-1]
    assert report.summary[-1].endswith(" The result is complete.")


def test_upgrade_measures_too(run, here):
    Path("steps").mkdir()
    record = "source: {model: tiny, version: 1}\ntarget: {model: tiny, version: 2}"
    Path("steps/2.yaml").write_text(
        f'migrate: 1\n{record}\nrules:\n  - "params/Dense_{{i}}/** -> dense/{{i}}/**"\n  - drop: params/old_head\n'
    )
    result = run("upgrade", "steps", "old.msgpack", "new", "--from", "1", "--report", "page.html")
    assert 0 == result.exit_code, result.output
    assert 6 == len(measured(0)) == len(measured(1))


def test_leaves_of_named_sources_are_measured(run, here):
    save_file({"w": np.full(3, 2.0, np.float32)}, "other.safetensors")
    Path("two.yaml").write_text(
        "migrate: 1\nsources:\n  other: {path: null}\nrules:\n"
        '  - {from: ["params/Dense_0/bias", "other:w"], to: joined, ops: [concat]}\n'
    )
    result = run(
        "apply", "two.yaml", "old.msgpack", "new", "--source", "other=other.safetensors", "--report", "page.html"
    )
    assert 0 == result.exit_code, result.output
    assert 8 == len(measured(0))
    joined = next(leaf for leaf in picture()["trees"][1]["leaves"] if leaf[0] == ["joined"])
    assert [7, "2"] == [picture()["statistics"][joined[3]][index] for index in (0, 6)]
