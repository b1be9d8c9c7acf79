from pathlib import Path

import pytest

from migrate.cli.console import Console
from migrate.cli.rule_output import refuse_existing, show
from migrate.errors import UsageError
from migrate.report.view import Report


def test_a_link_that_leads_nowhere_is_a_file_that_exists(tmp_path):
    link = tmp_path / "rules.yaml"
    link.symlink_to(tmp_path / "absent")
    with pytest.raises(UsageError):
        refuse_existing(str(link), overwrite=False)
    refuse_existing(str(link), overwrite=True)
    refuse_existing(str(tmp_path / "other.yaml"), overwrite=False)
    refuse_existing(None, overwrite=False)


def test_the_report_goes_to_stderr_where_the_rule_file_goes_to_stdout(capsys):
    show(Console(), Report("invert", summary=("done",)), "migrate: 1\n", None)
    assert ("migrate: 1\n", "done\n") == tuple(capsys.readouterr())


def test_a_quiet_command_prints_the_rule_file_alone(capsys):
    show(Console(quiet=True), Report("invert", summary=("done",)), "migrate: 1\n", None)
    assert ("migrate: 1\n", "") == tuple(capsys.readouterr())


def test_the_report_goes_to_stdout_where_the_rule_file_goes_to_a_file(tmp_path, capsys):
    show(Console(), Report("invert", summary=("done",)), "migrate: 1\n", str(tmp_path / "rules.yaml"))
    assert "done\n" == capsys.readouterr().out
    assert "migrate: 1\n" == Path(tmp_path / "rules.yaml").read_text()
