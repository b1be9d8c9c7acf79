"""The files that an import would run are found without importing anything."""

import sys

import pytest

from migrate.template.module_files import NoSuchModuleError, is_module_below_here


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "work" / "pack").mkdir(parents=True)
    (tmp_path / "work" / "pack" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "work" / "pack" / "inner.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_module_below_the_current_directory_is_found_and_not_imported(here):
    assert is_module_below_here("pack.inner")
    assert "pack" not in sys.modules


def test_a_module_of_the_standard_library_or_an_installed_one_is_not_below(here):
    assert not is_module_below_here("os")
    assert not is_module_below_here("yaml")


def test_a_link_that_leads_out_is_not_below(here):
    (here.parent / "elsewhere.py").write_text("")
    (here / "linked.py").symlink_to(here.parent / "elsewhere.py")
    assert not is_module_below_here("linked")


def test_a_module_that_is_not_there_is_named(here):
    with pytest.raises(NoSuchModuleError) as error:
        is_module_below_here("pack.other")
    assert "pack.other" == error.value.name
