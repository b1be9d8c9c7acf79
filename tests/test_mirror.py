"""Every module has a test file of its name in the mirrored place, or a test file there names it in its docstring."""

import ast
import re
from pathlib import Path

import pytest

from tests.import_graph import modules_below

TESTS = Path(__file__).parent
PATHS = modules_below(TESTS.parent / "migrate")
ROOMS = ("rules", "template", "knowledge", "codes")
"""The packages that are checked, besides the modules at the top."""

CHECKED = [
    name
    for name, path in PATHS.items()
    if path.name != "__init__.py" and (name.count(".") == 1 or name.split(".")[1] in ROOMS)
]


def covered_by(module: str, tests: Path) -> list[Path]:
    """The test files of a module, at the place that mirrors it."""
    *folders, name = module.split(".")[1:]
    folder = tests.joinpath(*folders)
    named = re.compile(rf"`{re.escape(module)}`")
    package = f"`{module.rpartition('.')[0]}`"
    return [
        path
        for path in sorted(folder.glob("test_*.py"))
        if path.stem == f"test_{name}"
        or named.search(docstring := ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
        or f"every module of {package}" in docstring
    ]


@pytest.mark.parametrize("module", CHECKED)
def test_a_module_has_tests_where_they_are_looked_for(module):
    assert [] != covered_by(module, TESTS)


def test_a_module_without_tests_is_found(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/test_loader.py").write_text('"""Covers `migrate.rules.build`."""\n# `migrate.rules.source`\n')
    assert [True, True, False, False] == [
        bool(covered_by(f"migrate.rules.{name}", tmp_path)) for name in ("loader", "build", "source", "load")
    ]
