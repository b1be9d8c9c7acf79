import hashlib
import subprocess
from pathlib import Path

import pytest

from migrate.rules.folder import load_folder, released_names
from migrate.rules.lock import HEADER, Lock, digest, load_lock

STEP = "migrate: 1\nsource: {{version: {0}}}\ntarget: {{version: {1}}}\n{2}rules: []\n"


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """`rules`: two rule files, the second with an included one."""
    monkeypatch.chdir(tmp_path)
    Path("rules/parts").mkdir(parents=True)
    Path("rules/2.yaml").write_text(STEP.format(1, 2, ""))
    Path("rules/3.yaml").write_text(STEP.format(2, 3, "include: [parts/head.yaml, portable]\n"))
    Path("rules/parts/head.yaml").write_text("migrate: 1\nrules: []\n")
    Path("rules/unused.yaml").write_text("migrate: 1\nrules: []\n")
    return "rules"


def lock(folder="rules"):
    return load_lock(folder, released_names(load_folder(folder)))


def written(folder="rules"):
    Path(folder, "migrate.lock").write_text(lock(folder).completed)
    return lock(folder)


def codes(lock):
    return [one.code for one in (*lock.problems, *lock.unlisted())]


def test_steps_and_the_files_that_they_include_are_released(rules):
    assert ["2.yaml", "3.yaml", "parts/head.yaml"] == released_names(load_folder("rules"))


def test_a_complete_lock_file_is_sorted_text_that_sha256sum_checks(rules):
    made = written()
    text = Path("rules/migrate.lock").read_text()
    names = ["2.yaml", "3.yaml", "parts/head.yaml"]
    lines = [f"{hashlib.sha256(Path('rules', name).read_bytes()).hexdigest()}  {name}" for name in names]

    assert "\n".join([HEADER, *lines, ""]) == text
    assert [] == codes(made)
    subprocess.run(["sha256sum", "--check", "--strict", "migrate.lock"], cwd="rules", check=True, capture_output=True)


def test_line_ends_do_not_matter():
    assert digest(b"a\r\nb\r\n") == digest(b"a\nb\n") != digest(b"a\nb")


def test_without_a_lock_file_there_is_one_finding(rules):
    assert ["M614"] == codes(lock())
    assert [] == codes(load_lock("rules", []))


def test_an_edited_missing_or_new_file_is_found(rules):
    written()
    Path("rules/2.yaml").write_text(STEP.format(1, 2, "name: edited\n"))
    Path("rules/parts/head.yaml").unlink()
    Path("rules/3.yaml").write_text(STEP.format(2, 3, ""))
    Path("rules/4.yaml").write_text(STEP.format(3, 4, ""))
    found = lock()

    assert ["M612", "M612", "M613", "M614"] == codes(found)
    assert ["rules/2.yaml:1:1", "rules/3.yaml:1:1", "rules/migrate.lock:4:1", "rules/4.yaml:1:1"] == [
        str(one.span) for one in (*found.problems, *found.unlisted())
    ]


def test_entries_that_exist_are_never_changed(rules):
    before = written().entries["2.yaml"].digest
    Path("rules/2.yaml").write_text(STEP.format(1, 2, "name: edited\n"))
    Path("rules/4.yaml").write_text(STEP.format(3, 4, ""))
    completed = lock().completed

    assert f"{before}  2.yaml\n" in completed
    assert "  4.yaml\n" in completed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("<<<<<<< ours", "`<<<<<<<` is a conflict marker"),
        ("=======", "`=======` is a conflict marker"),
        ("abc  2.yaml", "not a SHA-256 in 64"),
        ("0" * 64 + " 2.yaml", "not a SHA-256 in 64"),
        ("0" * 64 + "  2.yaml", "2.yaml is listed twice"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(rules, line, message):
    written()
    with open("rules/migrate.lock", "a") as stream:
        stream.write(f"\n# a comment\n{line}\n")
    (problem,) = lock().problems

    assert "M615" == problem.code
    assert message in problem.message
    assert "rules/migrate.lock:7:1" == str(problem.span)


def test_a_lock_file_that_is_not_text_is_named(rules):
    Path("rules/migrate.lock").write_bytes(b"\xff")

    assert ["M004"] == [one.code for one in lock().problems]


def test_an_included_file_beside_the_folder_is_released(rules):
    Path("common.yaml").write_text("migrate: 1\nrules: []\n")
    Path("rules/2.yaml").write_text(STEP.format(1, 2, "include: ../common.yaml\n"))
    assert "../common.yaml" in written().entries
    Path("common.yaml").write_text("migrate: 1\nname: edited\nrules: []\n")

    assert ["M612"] == codes(lock())


def git(*words):
    options = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *options, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tree", ["3.tree.json", "4.tree.json"])
def test_a_merge_of_two_branches_that_add_a_version_conflicts(rules, tree):
    git("init", "-q", "-b", "main")
    written()
    git("add", ".")
    git("commit", "-qm", "first")
    for branch in ("one", "two"):
        git("checkout", "-qb", branch, "main")
        Path(f"rules/4_{branch}.yaml").write_text(STEP.format(3, 4, ""))
        found = lock()
        both = Lock("rules", True, found.entries, {**found.missing, tree: digest(branch.encode())})
        Path("rules/migrate.lock").write_text(both.completed)
        git("add", ".")
        git("commit", "-qm", branch)
    merged = git("merge", "one")

    assert 1 == merged.returncode
    assert "CONFLICT (content): Merge conflict in rules/migrate.lock" in merged.stdout
    assert {"M615"} == {one.code for one in lock().problems} - {"M613"}
