"""Which findings a policy raises, lowers and allows: covers `policy`, `policy_fields`."""

from pathlib import Path

import pytest

from migrate.codes import (
    EditedRelease,
    HyperparameterMismatch,
    IdlePattern,
    SharedRngKey,
    UnfusableSteps,
    UnrecoverableDrop,
)
from migrate.errors import Span
from migrate.rules.pattern import Pattern
from migrate.rules.policy import Policy, PolicyEntry, may_be_lowered


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rules").mkdir()
    for name in ("2.yaml", "3.yaml"):
        Path("rules", name).touch()


def everywhere(**levels):
    return PolicyEntry(levels)


def of_file(text, **levels):
    return PolicyEntry(levels, "per-file", text)


def of_leaf(text, **levels):
    return PolicyEntry(levels, "per-leaf", text, Pattern.parse(text))


def drop(file="rules/2.yaml", paths=("head/bias", "opt/mu")):
    return UnrecoverableDrop.at("dropped", span=Span(file, 3, 5, 3, 9), paths=paths)


def judged(diagnostic, *entries):
    """The severity and the leaves of what policies make of a finding."""
    return [(one.severity, one.paths) for one in Policy(entries, Path.cwd()).applied([diagnostic])]


BOTH = ("head/bias", "opt/mu")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], [("warning", BOTH)]),
        ([everywhere(M608="allow")], []),
        ([everywhere(M608="error")], [("error", BOTH)]),
        ([everywhere(M609="allow")], [("warning", BOTH)]),
        ([of_file("rules/2*", M608="allow")], []),
        ([of_file("rules/3*", M608="allow")], [("warning", BOTH)]),
        ([of_leaf("opt/**", M608="allow")], [("warning", ("head/bias",))]),
        ([of_leaf("opt/**", M608="error")], [("warning", ("head/bias",)), ("error", ("opt/mu",))]),
        ([everywhere(M608="error"), of_file("rules/*", M608="warn")], [("warning", BOTH)]),
        ([of_file("rules/*", M608="allow"), of_leaf("head/*", M608="error")], [("error", ("head/bias",))]),
        ([of_file("rules/*", M608="allow"), of_file("*/2.yaml", M608="warn")], [("warning", BOTH)]),
    ],
)
def test_the_most_specific_entry_decides(entries, expected):
    assert expected == judged(drop(), *entries)


def test_a_note_and_a_warning_can_be_raised():
    assert [("error", ())] == judged(SharedRngKey.at("shared"), everywhere(M311="error", M212="error", M213="error"))
    assert [("error", ())] == judged(HyperparameterMismatch.at("differ"), everywhere(M310="error"))


def test_a_defect_is_not_lowered_whatever_the_entries_are():
    for code in (IdlePattern, EditedRelease):
        assert [("error", ())] == judged(code.at("bad"), everywhere(**{code.number: "allow"}))
        assert not may_be_lowered(code)


def test_a_path_in_two_upgrades_is_a_warning_that_can_be_allowed():
    found = UnfusableSteps.at("two", severity="warning")

    assert [("warning", ())] == judged(found)
    assert [] == judged(found, everywhere(M605="allow"))


def test_the_leaves_of_other_findings_stay_together():
    found = HyperparameterMismatch.at("2 leaves", paths=BOTH)

    assert [("error", BOTH)] == judged(found, of_leaf("opt/**", M310="error"))
    assert [("warning", BOTH)] == judged(found, of_leaf("opt/**", M310="allow"))


def test_a_lint_says_how_to_allow_it_and_the_line_works():
    (found,) = Policy((), Path.cwd()).applied([drop()])
    assert ('"rules/2.yaml" = {allow = ["M608"]}',) == found.snippet
    assert [] == judged(drop(), of_file("rules/2.yaml", M608="allow"))


def idle(*entries, files=("rules/2.yaml",), leaves=("head/bias",)):
    return [(one.code, one.message, one.help) for one in Policy(entries, Path.cwd()).idle(files, leaves)]


def test_a_pattern_that_matches_nothing_is_found():
    assert [] == idle(everywhere(M608="allow"), of_file("rules/2*", M608="allow"), of_leaf("**/bias", M608="allow"))
    assert [("M616", "the per-file pattern `rule/2.yaml` matches no file", "did you mean `rules/2.yaml`?")] == idle(
        of_file("rule/2.yaml", M608="allow")
    )
    assert [
        ("M616", "the per-leaf pattern `head/bais` matches no leaf of any version", "did you mean `head/bias`?")
    ] == (idle(of_leaf("head/bais", M608="allow")))


def test_leaves_that_are_unknown_may_match_nothing():
    assert [] == idle(of_leaf("head/bais", M608="allow"), leaves=None)


def test_a_file_of_another_folder_is_found_on_disk():
    assert [] == idle(of_file("rules/3.*", M608="allow"))
