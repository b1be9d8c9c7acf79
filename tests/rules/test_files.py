"""Finding and reading rule files: names, bundled files, and files that cannot be read."""

from pathlib import Path

import pytest

from migrate.errors import RuleFileError
from migrate.rules.files import text_of
from migrate.rules.loader import MAX_BYTES, bundled_names, load_rules


def unreadable(path):
    with pytest.raises(RuleFileError) as caught:
        load_rules(path)
    (finding,) = caught.value.diagnostics
    assert finding.code == "M004"
    return finding


def test_a_missing_file_names_its_nearest_neighbour(tmp_path):
    (tmp_path / "rules.yaml").write_text("migrate: 1\nrules: []\n")
    assert "did you mean `rules.yaml`?" == unreadable(tmp_path / "ruls.yaml").help


def test_an_unknown_bare_name_gets_the_nearest_bundled_one_or_else_all():
    assert "did you mean `portable`?" == unreadable("portabel").help
    assert "`linen/gru-to-nnx`, `linen/list-to-scan`" in unreadable("zzzz").help


@pytest.mark.parametrize("name", ["lstm-to-nnx", "linen/lstm-to-nxx", "nnx/lstm-to-nnx"])
def test_a_bundled_name_with_a_mistake_or_without_its_folder_is_recognised(name):
    assert "did you mean `linen/lstm-to-nnx`?" in unreadable(name).help


def test_bytes_that_are_not_utf_8_are_refused_with_their_place(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_bytes("migrate: 1\né: ".encode() + b"\xff\n")
    finding = unreadable(file)
    assert (2, 4) == (finding.span.line, finding.span.column)


def test_a_file_beyond_the_bound_is_refused(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert "larger than 4 MiB" in unreadable(file).message


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "x/" * 3000 + "r.yaml"])
def test_a_name_that_no_file_can_have_is_refused(name):
    unreadable(name)


def test_a_directory_is_refused(tmp_path):
    assert "cannot be read" in unreadable(tmp_path).message


def test_the_bundled_rule_file_changes_nothing():
    rules = load_rules("portable")
    assert ("portable", "portable", ()) == (rules.path, rules.name, rules.rules)
    assert "portable" in bundled_names()


def test_files_of_families_are_named_without_their_folder():
    assert "hf-llama" == load_rules("hf/llama").name
    assert "name: hf-llama" in text_of("hf/llama")


def test_no_two_bundled_files_have_one_name():
    files = list((Path(__file__).parents[2] / "rules").rglob("*.yaml"))
    assert len(files) == len(bundled_names())


def test_a_file_wins_over_a_bundled_one_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "portable").write_text("migrate: 1\nname: mine\nrules: []\n")
    monkeypatch.chdir(tmp_path)
    assert load_rules("portable").name == "mine"


def test_the_text_of_a_file_is_that_of_the_folder_before_the_bundled_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name: portable" in text_of("portable")
    (tmp_path / "portable").write_text("mine")
    assert "mine" == text_of("portable")


def test_a_file_that_is_not_text_or_does_not_exist_has_no_text(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xff")
    assert [None, None] == [text_of(str(tmp_path / name)) for name in ("r.yaml", "none.yaml")]
