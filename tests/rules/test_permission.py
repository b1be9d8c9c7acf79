"""Code of a rule file needs a rule file and a module below the current directory, or permission."""

import pytest

from migrate.errors import RefusedError
from migrate.rules.loader import load_rules
from migrate.rules.permission import refusals, require_permission

RULES = 'migrate: 1\ntarget: {template: "MODULE:make", args: {command: "touch /tmp/x"}}\nrules: []\n'


@pytest.fixture
def code(tmp_path, monkeypatch):
    """The code that a rule file at a place names, seen from a working directory with one module."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "permitted_module.py").write_text("def make(**args): ...\n")
    monkeypatch.chdir(tmp_path / "work")

    def named(place, module):
        (tmp_path / place).write_text(RULES.replace("MODULE", module))
        return load_rules(str(tmp_path / place)).template_code

    return named


def test_code_next_to_its_rule_file_below_the_current_directory_may_run(code):
    assert [] == list(refusals(code("work/r.yaml", "permitted_module"), allow_code=False))


@pytest.mark.parametrize(("place", "module"), [("work/r.yaml", "os"), ("r.yaml", "permitted_module"), ("r.yaml", "os")])
def test_code_from_elsewhere_is_refused_with_what_would_have_run(code, place, module):
    with pytest.raises(RefusedError) as error:
        require_permission(code(place, module), allow_code=False)
    (diagnostic,) = error.value.diagnostics
    assert "M506" == diagnostic.code
    assert f"{module}:make" in diagnostic.message
    assert "touch /tmp/x" in diagnostic.message


def test_permission_lets_any_code_run(code):
    assert [] == list(refusals(code("r.yaml", "os"), allow_code=True))
