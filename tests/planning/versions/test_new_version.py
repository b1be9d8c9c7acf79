import pytest

from migrate.codes import AmbiguousUpgradePath
from migrate.errors import UsageError
from migrate.planning.versions.new_version import Release, file_name, next_release, with_source
from migrate.rules.folder import RuleFolder
from tests.planning.versions.test_graph import graph


def folder(*ends):
    return RuleFolder("rules", tuple(step.rules for step in graph(*ends).steps))


@pytest.mark.parametrize(
    ("version", "after", "expected"),
    [(None, None, 4), (3, None, 4), ("3", None, "4"), (None, "2026-01", "2026-01"), (None, "9", 9)],
)
def test_the_next_version_follows_the_newest(version, after, expected):
    assert expected == next_release(folder("1>2", "2>3"), "m", version, after).after


@pytest.mark.parametrize(("before", "after"), [("v3", "v4"), ("2.9", "2.10"), ("rc", "rc.1")])
def test_versions_that_are_no_numbers_are_counted_at_their_end(before, after):
    assert after == next_release(RuleFolder("rules", ()), "m", before).after


def test_an_empty_folder_begins_with_version_one():
    assert Release("m", 1, 2) == next_release(RuleFolder("rules", ()), "m", None)


def test_two_newest_versions_are_refused():
    with pytest.raises(UsageError) as caught:
        next_release(folder("1>2:a", "1>3:b"), "m", None)

    assert [AmbiguousUpgradePath.number] == [problem.code for problem in caught.value.diagnostics]


def test_files_are_numbered():
    release = Release("m", 3, 4)

    assert "0013_split_qkv_now.yaml" == file_name(["0012_a.yaml", "3.tree.json", "x.yml"], release, "Split QKV, now!")
    assert "0004.yaml" == file_name([], release, "")
    assert "0001_a.yaml" == file_name([], Release("m", "a", "b"), "a")


def test_the_guards_stand_above_the_target():
    text = with_source("# head\nmigrate: 1\ntarget: {}\n", Release("m", 3, 4), "sha256:0")

    assert '# head\nmigrate: 1\nsource: {model: "m", version: 3, structure: "sha256:0"}\ntarget: {}\n' == text
