"""Diagnostics and exceptions: exit codes, locations, suggestions."""

import re

import pytest

from migrate import codes, errors
from migrate.errors import Diagnostic, ExitCode, MigrateError, Span, did_you_mean, listed, nearest

EXIT_CODES = {
    errors.MigrateError: 2,
    errors.UsageError: 2,
    errors.RuleFileError: 1,
    errors.PlanError: 1,
    errors.CheckpointError: 2,
    errors.RefusedError: 1,
    errors.VerifyError: 1,
    errors.StoppedError: 3,
}


def test_exit_codes_are_stable():
    assert {"OK": 0, "NO": 1, "FAILED": 2, "STOPPED": 3, "INTERRUPTED": 130} == {c.name: c.value for c in ExitCode}
    assert EXIT_CODES == {kind: kind.exit_code for kind in EXIT_CODES}


def test_the_module_describes_every_exception_with_its_exit_code():
    described = re.findall(r"(\w+Error) +exit (\d)", errors.__doc__)
    assert {kind.__name__: str(number) for kind, number in EXIT_CODES.items()} == dict(described)


def test_every_exception_is_a_migrate_error_and_listed():
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    kinds = {kind for kind in kinds if not issubclass(kind, Warning)}
    assert set(EXIT_CODES) == kinds
    assert all(issubclass(kind, MigrateError) for kind in kinds)


def test_an_exception_carries_all_its_diagnostics():
    found = [codes.InvalidUsage.at("first"), codes.InvalidUsage.at("second")]
    error = errors.UsageError(*found)
    assert found == list(error.diagnostics)
    assert "first\nsecond" == str(error)


def test_a_diagnostic_has_the_number_and_severity_of_its_class():
    assert ("M201", "error") == (codes.IdlePattern.at("x").code, codes.IdlePattern.at("x").severity)
    assert "note" == codes.IgnoredFiles.at("x").severity
    assert ("warning", False) == ((d := codes.IdlePattern.at("x", severity="warning")).severity, d.is_error)
    assert codes.IdlePattern.at("x").is_error


def test_a_diagnostic_keeps_what_it_is_given():
    span = Span("r.yaml", 1, 2, 1, 5)
    expected = Diagnostic("M104", "error", "m", span, "label", ("a", "b"), "do it")
    assert expected == codes.InvalidValue.at("m", span=span, label="label", paths=iter(["a", "b"]), help="do it")


def test_a_span_prints_as_editors_read_it():
    assert "r.yaml:3:7" == str(Span("r.yaml", 3, 7, 3, 9))


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "`a`"), (["a", "b"], "`a`, `b`"), (["a", "b", "c"], "`a`, `b` and 1 more")],
)
def test_a_list_of_names_is_cut_after_the_most(names, text):
    assert text == listed(names, 2)


def test_the_nearest_candidate_is_suggested_or_none():
    assert "kernel" == nearest("kernal", ["bias", "kernel"])
    assert nearest("kernal", ["bias"]) is None
    assert nearest("abc", ["abx"], cutoff=0.9) is None
    assert "did you mean `kernel`?" == did_you_mean("kernal", iter(["bias", "kernel"]))
    assert did_you_mean("x", []) is None
