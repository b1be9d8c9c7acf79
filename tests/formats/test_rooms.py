"""The rooms of `migrate.formats` import one another one way."""

import ast
from pathlib import Path

import migrate.formats

PACKAGE = Path(migrate.formats.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
ROOMS = {"orbax": {"flax", "zarr"}, "flax": {"zarr"}, "zarr": set(), "safetensors": set()}
"""Each room with the other rooms that it may import."""

ABOVE = {"detect", "joined", "root", "step_item", "steps"}
"""The modules that may import every room."""


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(path):
    """The first part of each name below `migrate.formats` that a module imports, at its top or in its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("migrate.formats"):
            below = node.module.removeprefix("migrate.formats").strip(".")
            yield from [below.split(".")[0]] if below else [alias.name for alias in node.names]


def test_rooms_import_one_another_one_way():
    assert len(MODULES) > 50
    found = {name_of(path): set(imported(path)) & (ROOMS.keys() | ABOVE) - allowed(path) for path in MODULES}
    assert {} == {name: wrong for name, wrong in found.items() if wrong}


def allowed(path):
    """The rooms, and the modules above them, that a module may import."""
    if path.parent != PACKAGE:
        return ROOMS[path.parent.name] | {path.parent.name}
    return ROOMS.keys() | ABOVE if path.stem in ABOVE else set()


def test_every_room_is_in_the_list():
    assert ROOMS.keys() == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_the_way_is_one():
    for room, below in ROOMS.items():
        assert not any(room in ROOMS[other] for other in below)
