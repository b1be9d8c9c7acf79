"""The house rules that a machine can check: imports point down, light commands stay light, modules stay small."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "migrate"
FLOORS = {
    "tree": 0, "errors": 0, "codes": 0, "events": 0, "dtypes": 0, "version": 0,
    "ops": 1, "formats": 1, "template": 1, "metadata": 1, "sharding": 1, "knowledge": 1,
    "rules": 2, "checkpoint": 2,
    "planning": 3,
    "engine": 4,
    "report": 5, "api": 5,
    "cli": 6, "__main__": 7, "__init__": 7,
}  # fmt: skip
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "testing" not in path.parts)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> Iterator[tuple[str, int]]:
    """Rooms that a module imports, at its top or inside its functions, with the line."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "migrate" else [f"migrate.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from ((name.split(".")[1], node.lineno) for name in names if name.startswith("migrate."))


def climbing(path: Path, source: str) -> list[str]:
    mine = FLOORS[room_of(path)]
    return [f"{path.name}:{line} imports {room}" for room, line in imported_rooms(source) if FLOORS[room] > mine]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    assert [] == climbing(path, path.read_text())


def test_an_import_that_points_up_is_found():
    source = "def f():\n    from migrate.engine import run\n"
    assert ["planner.py:2 imports engine"] == climbing(PACKAGE / "planning" / "planner.py", source)


def test_nobody_imports_the_command_line():
    importers = [p for p in MODULES if room_of(p) not in ("cli", "__main__") and "migrate.cli" in p.read_text()]
    assert [] == importers


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_have_at_most_400_lines_and_say_why_they_exist(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(source))


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys, json\n{statement}\nprint(json.dumps([m.split('.')[0] for m in sys.modules]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return set(json.loads(out.stdout.splitlines()[-1]))


LIGHT = (
    "import migrate.planning.planner",
    "import migrate.rules.loader",
    "import migrate.ops.registry",
    "import migrate.formats.base",
    "import migrate.codes",
    "import migrate.knowledge.layers, migrate.knowledge.naming, migrate.knowledge.rules",
    "import migrate",
)


@pytest.mark.parametrize("statement", LIGHT)
def test_planning_and_rules_import_neither_numpy_nor_jax(statement):
    assert set() == loaded_after(statement) & {"numpy", "jax", "tensorstore", "orbax", "flax"}


def test_applying_rules_without_a_template_imports_neither_jax_nor_orbax():
    assert set() == loaded_after("import migrate.engine.run") & {"jax", "orbax", "flax"}


def test_the_import_test_can_fail():
    assert "numpy" in loaded_after("import numpy")
