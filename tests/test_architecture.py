"""The rules of the code base that a machine can check: imports point down and never in a circle, light commands stay
light, modules stay small, class names have one meaning.
"""

import ast
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection
from functools import cache
from pathlib import Path

import pytest

from tests.import_graph import between_children, circles, import_graph, imported, modules_below, outline

PACKAGE = Path(__file__).parent.parent / "migrate"
FLOORS = {
    "tree": 0, "source_names": 0, "errors": 0, "codes": 0, "events": 0, "dtypes": 0, "version": 0, "printable": 0,
    "platforms": 0, "text_files": 0, "places": 0, "garbage": 0, "arithmetic": 0,
    "notebook": 0,
    "ops": 1, "formats": 1, "template": 1, "metadata": 1, "git_commit": 1, "sharding": 1, "knowledge": 1,
    "rules": 2, "checkpoint": 2,
    "planning": 3,
    "engine": 4,
    "report": 5, "api": 5, "training": 5,
    "cli": 6, "__main__": 7, "__init__": 7,
}  # fmt: skip
PATHS = modules_below(PACKAGE)
SOURCES = {name: path.read_text(encoding="utf-8") for name, path in PATHS.items()}
PRODUCT = [name for name in PATHS if not name.startswith("migrate.testing")]
PACKAGES = [name for name, path in PATHS.items() if path.name == "__init__.py"]


@cache
def graph() -> dict[str, set[str]]:
    """The imports of all modules, those for type checkers included; tests read them, not the collection of tests."""
    return import_graph(SOURCES, typing=True)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def climbing(module: str, source: str) -> list[str]:
    """Imports of a higher floor; those for type checkers count, because a floor must not depend on types above it."""
    names = imported(source, PATHS, typing=True)
    mine = FLOORS[room_of(module)]
    return [f"{module}:{line} imports {name}" for name, line in names if FLOORS[room_of(name)] > mine]


def test_imports_point_down():
    assert [] == [found for module in PRODUCT for found in climbing(module, SOURCES[module])]


@pytest.mark.parametrize(
    "source",
    [
        "from migrate.engine import run",
        "import migrate.engine.run",
        "def f():\n    from migrate.engine.run import apply",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from migrate.engine.run import apply",
    ],
)
def test_an_import_that_points_up_is_found(source):
    line = source.count("\n") + 1
    assert [f"migrate.planning.planner:{line} imports migrate.engine.run"] == climbing(
        "migrate.planning.planner", source
    )


def test_nothing_imports_the_command_line():
    importers = [m for m in PRODUCT if room_of(m) not in ("cli", "__main__") and "migrate.cli" in SOURCES[m]]
    assert [] == importers


def test_no_modules_import_each_other_in_a_circle():
    # Imports for type checkers do not run, so that they cannot fail or depend on the order of imports.
    assert [] == circles(import_graph(SOURCES, typing=False))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_parts_of_a_package_import_each_other_in_a_circle(package):
    assert [] == circles(between_children(graph(), package))


def test_a_circle_of_modules_is_found_even_if_one_import_is_inside_a_function():
    sources = {
        "p.a": "from p import b",
        "p.b": "def f():\n    import p.c.d",
        "p.c": "",
        "p.c.d": "from p.a import name",
        "p.e": "import p.a",
    }
    assert ["p.a -> p.b -> p.c.d -> p.a"] == circles(import_graph(sources, typing=False))


def test_imports_for_type_checkers_make_no_circle_of_modules_but_one_of_packages():
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a.one import name\n"
    sources = {"p.a.one": "import p.b.two", "p.b.two": guarded, "p.b.three": "import p.b.two"}
    assert [] == circles(import_graph(sources, typing=False))
    assert ["p.a -> p.b -> p.a"] == circles(between_children(import_graph(sources, typing=True), "p"))


def test_packages_can_be_in_a_circle_whose_modules_are_not():
    sources = {"p.a.one": "import p.b.two", "p.b.two": "", "p.b.three": "import p.a.four", "p.a.four": ""}
    graph = import_graph(sources, typing=False)
    assert [] == circles(graph)
    assert ["p.a -> p.b -> p.a"] == circles(between_children(graph, "p"))


def test_every_circle_is_reported():
    graph = {"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"c"}, "e": {"a"}}
    assert ["a -> b -> a", "c -> d -> c"] == circles(graph)


def test_the_engine_has_at_most_15_rooms():
    rooms = between_children(graph(), "migrate.engine")
    assert len(rooms) <= 15, sorted(rooms)


def test_loading_is_the_last_room_of_the_engine():
    rooms = between_children(graph(), "migrate.engine")
    assert [] == [room for room, below in rooms.items() if any("loading" in name for name in below)]


def doubles(sources: dict[str, str]) -> dict[str, list[str]]:
    """Public classes of one name, with their modules."""
    modules = defaultdict(list)
    for module, source in sorted(sources.items()):
        for name in outline(source).classes:
            if not name.startswith("_"):
                modules[name].append(module)
    return {name: found for name, found in sorted(modules.items()) if len(found) > 1}


def test_a_class_name_has_one_meaning():
    assert {} == doubles(SOURCES)


def test_two_classes_of_one_name_are_found():
    sources = {"a": "class Row: ...\nclass _Own: ...", "b": "class Row: ...\nclass _Own: ...", "c": "class Line: ..."}
    assert {"Row": ["a", "b"]} == doubles(sources)


def test_modules_have_at_most_400_lines_and_say_why_they_exist():
    assert {} == {module: lines for module in PRODUCT if (lines := len(SOURCES[module].splitlines())) > 400}
    assert [] == [module for module in PRODUCT if not outline(SOURCES[module]).docstring]


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


def test_planning_opens_no_file_and_uses_no_arrays():
    found = {}
    for path in PLANNING_MODULES:
        name = str(path.relative_to(PLANNING))
        found[name] = impurities(path.read_text(), ALLOWED_IN_PLANNING.get(name, ()))
    assert len(found) > 100
    assert {} == {name: lines for name, lines in found.items() if lines}


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
