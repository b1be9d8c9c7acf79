"""The house rules that a machine can check: imports point down, light commands stay light, modules stay small."""

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
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


PLANNING = PACKAGE / "planning"
PLANNING_MODULES = sorted(PLANNING.rglob("*.py"))
ARRAY_LIBRARIES = {"numpy", "scipy", "jax", "jaxlib", "flax", "optax", "orbax", "tensorstore", "ml_dtypes"}
FILE_LIBRARIES = {
    "os",
    "io",
    "pathlib",
    "shutil",
    "tempfile",
    "mmap",
    "glob",
    "subprocess",
    "yaml",
    "zipfile",
    "tarfile",
}
FILE_METHODS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "rmdir", "unlink", "touch", "iterdir",
    "glob", "rglob", "exists", "is_file", "is_dir", "stat", "resolve", "symlink_to", "hardlink_to",
}  # fmt: skip
ALLOWED_IN_PLANNING = {
    "suggest/assign.py": {"numpy", "scipy"},  # the assignment problem over layer names, which needs no array of a model
}


def impurities(source: str, allowed: Collection[str] = ()) -> list[str]:
    """Imports of array and file libraries, and calls that touch files, each with its line."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module.partition(".")[0]]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "__import__"):
            found.append(f"line {node.lineno} calls {node.func.id}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILE_METHODS:
            found.append(f"line {node.lineno} calls .{node.func.attr}")
        forbidden = (ARRAY_LIBRARIES | FILE_LIBRARIES | {"importlib"}) - set(allowed)
        found += [f"line {node.lineno} imports {name}" for name in names if name in forbidden]
    return found


@pytest.mark.parametrize("path", PLANNING_MODULES, ids=lambda path: str(path.relative_to(PLANNING)))
def test_planning_opens_no_file_and_uses_no_arrays(path):
    allowed = ALLOWED_IN_PLANNING.get(str(path.relative_to(PLANNING)), ())
    assert [] == impurities(path.read_text(), allowed)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy as np", "line 1 imports numpy"),
        ("def f():\n    import jax.numpy as jnp", "line 2 imports jax"),
        ("def f():\n    from orbax.checkpoint import x", "line 2 imports orbax"),
        ("from os import path", "line 1 imports os"),
        ("def f(p):\n    return open(p)", "line 2 calls open"),
        ("def f(source):\n    return source.path.read_text()", "line 2 calls .read_text"),
        ("import yaml", "line 1 imports yaml"),
    ],
)
def test_the_check_of_planning_can_fail(source, expected):
    assert [expected] == impurities(source)


def planning_imports(name: str, source: str, known: Collection[str]) -> set[str]:
    """The modules of planning that one of them imports, at its top or inside its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {each if each in known else node.module for each in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {each for each in found if each in known} - {name}


def sub_room(name: str) -> str:
    """A sub-package of planning, or a module directly in it."""
    return ".".join(name.split(".")[:3])


def circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """One circle of imports, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_modules_and_sub_rooms_of_planning_import_each_other_in_no_circle():
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PLANNING_MODULES
    }
    modules = {name: planning_imports(name, path.read_text(), names) for name, path in names.items()}
    rooms: dict[str, set[str]] = {}
    for name, imported in modules.items():
        rooms.setdefault(sub_room(name), set()).update(map(sub_room, imported))
    assert [] == circle(modules)
    assert [] == circle({room: imported - {room} for room, imported in rooms.items()})


def test_a_circle_of_imports_is_found():
    known = ("migrate.planning.a", "migrate.planning.b")
    graph = {
        known[0]: planning_imports(known[0], "def f():\n    from migrate.planning.b import x", known),
        known[1]: planning_imports(known[1], "from migrate.planning import a", known),
    }
    assert {*known} == {*circle(graph)}


TESTS_OF_PLANNING = Path(__file__).parent / "planning"


def is_tested(module: Path, tests: Mapping[Path, str]) -> bool:
    """Whether a module has a test file of its name, or the docstring of one in the same folder names it."""
    folder = module.relative_to(PLANNING).parent
    beside = {path.name: doc for path, doc in tests.items() if path.relative_to(TESTS_OF_PLANNING).parent == folder}
    return f"test_{module.name}" in beside or any(f"`{module.stem}`" in doc for doc in beside.values())


def test_every_module_of_planning_has_its_tests_at_the_same_place():
    tests = {
        path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in TESTS_OF_PLANNING.rglob("test_*.py")
    }
    modules = [path for path in PLANNING_MODULES if path.name != "__init__.py"]
    assert [] == [str(path) for path in modules if not is_tested(path, tests)]
    assert not is_tested(PLANNING / "suggest" / "planner.py", tests)
