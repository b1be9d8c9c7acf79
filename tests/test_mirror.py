"""Tests mirror modules: the tests of a module are found by its name.

Every module of a mirrored room has a test file of its name in the mirrored folder, or a test file of the room names it
in its docstring: "covers `streaming.store`".
"""

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "migrate"
ROOMS = (
    "ops",
    "places",
    "formats",
    "template",
    "knowledge",
    "codes",
    "rules",
    "planning",
    "engine",
    "report",
    "training",
    "cli",
)


def modules(room: str) -> list[str]:
    """The dotted names of a room's modules, relative to the room."""
    paths = sorted((PACKAGE / room).rglob("*.py"))
    return [
        ".".join(path.relative_to(PACKAGE / room).with_suffix("").parts)
        for path in paths
        if path.name not in ("__init__.py", "__main__.py")
    ]


def covering_files(room: str, module: str) -> list[Path]:
    """The test file of a module's name, and those that name it in their docstring."""
    *above, name = module.split(".")
    mirrored = (TESTS / room).joinpath(*above, f"test_{name}.py")
    spellings = (f"`{module}`", f"`migrate.{room}.{module}`", f"every module of `migrate.{room}`")
    named = (path for path in _test_files(room) if any(s in _docstring(path) for s in spellings))
    beside = (path for path in mirrored.parent.glob("test_*.py") if f"`{name}`" in _docstring(path))
    return [path for path in dict.fromkeys((mirrored, *named, *beside)) if path.exists()]


@cache
def _test_files(room: str) -> tuple[Path, ...]:
    return tuple((TESTS / room).rglob("test_*.py"))


@cache
def _docstring(path: Path) -> str:
    found = re.match(r'r?"""(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_has_a_test_file(room):
    missing = [module for module in modules(room) if not covering_files(room, module)]
    assert [] == missing, f"no tests/{room}/…/test_….py, and no docstring names these modules"


def test_every_module_at_the_top_has_a_test_file():
    names = [path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]
    assert [] == [name for name in names if not (TESTS / f"test_{name}.py").exists()]


def test_every_test_file_of_the_engine_is_that_of_a_module_or_says_what_it_covers():
    room = "engine"
    known = {name: f"test_{name.rpartition('.')[2]}.py" for name in modules(room)}
    for path in (TESTS / room).rglob("test_*.py"):
        mirrored = ".".join([*path.relative_to(TESTS / room).parts[:-1], path.stem.removeprefix("test_")])
        assert mirrored in known or any(f"`{name}`" in _docstring(path) for name in known), path


def test_a_module_without_a_test_is_found(monkeypatch, tmp_path):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "migrate")
    (tmp_path / "migrate" / "engine" / "streaming").mkdir(parents=True)
    (tmp_path / "migrate" / "engine" / "streaming" / "lonely.py").touch()
    assert ["streaming.lonely"] == modules("engine")
    assert [] == covering_files("engine", "streaming.lonely")
