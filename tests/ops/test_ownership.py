"""An op owns what it is: no other part of the package lists ops by name or asks for the class of one."""

import ast
from functools import cache
from pathlib import Path

import pytest

import migrate
from migrate.ops.registry import OPS

PACKAGE = Path(migrate.__file__).parent
OWNERS = ("ops", "testing")
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] not in OWNERS)
CLASSES = {op.__module__ for op in OPS.values()}

NAMING = {
    "rules/model.py": "`call` is a kind of code that a rule file names",
    "rules/permission.py": "`call` is a kind of code that a rule file names",
    "planning/suggest/": "writes rules, ops included",
    "planning/companions.py": "names leaves such as `kernel/scale`, and its help text writes a rule with ops",
    "planning/streams.py": "its help text writes a rule with `key_data`",
    "knowledge/layers.py": "describes layers of Flax with ops, as rules do; `scale` is a param",
    "knowledge/naming.py": "`scale` is a param",
    "knowledge/meanings.py": "`scale` is a param",
    "planning/adapters.py": "the ops by which a rule turns a base that is stored transposed",
    "report/picture.py": "`cast` is a kind of change, which a page draws",
    "report/picture_of_plan.py": "`cast` is a kind of change, which a page draws",
    "formats/zarr/metadata.py": "`transpose` is a codec of zarr",
}
"""Modules in which a string may be the name of an op, and why."""

IMPORTING = {
    "planning/moments/adafactor_algebra.py": "makes a task that transposes",
    "planning/adapters.py": "takes the scale of `lora` from the config of an adapter",
    "planning/suggest/norms.py": "proposes to add 1 to the scales of norms",
}
"""Modules that may import the class of an op, and why."""


def relative(path):
    return str(path.relative_to(PACKAGE))


@cache
def nodes(source):
    """The nodes of a module that are strings or imports."""
    wanted = ast.Constant, ast.Import, ast.ImportFrom
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, wanted)]


def named_ops(source):
    """Lines with a string that is the name of an op."""
    return [
        f"{node.lineno}: {node.value}"
        for node in nodes(source)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in OPS
    ]


def imported_ops(source):
    """Lines that import a module of ops."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found += [f"{node.lineno}: {name}" for name in names if name in CLASSES]
    return found


def test_no_module_beside_the_ops_lists_them_or_asks_for_their_class():
    sources = {relative(path): path.read_text() for path in MODULES}
    assert len(sources) > 400
    for search, allowed in ((named_ops, NAMING), (imported_ops, IMPORTING)):
        others = {name: search(source) for name, source in sources.items() if not name.startswith(tuple(allowed))}
        assert {} == {name: lines for name, lines in others.items() if lines}


@pytest.mark.parametrize("place", {**NAMING, **IMPORTING})
def test_every_exception_is_still_needed(place):
    sources = [path.read_text() for path in MODULES if relative(path).startswith(place)]
    assert not NAMING.get(place) or any(map(named_ops, sources))
    assert not IMPORTING.get(place) or any(map(imported_ops, sources))


def test_a_list_of_ops_is_found():
    assert ["1: concat", "1: stack"] == named_ops('RECUT = frozenset({"concat", "stack"})')
    assert ["2: cast"] == named_ops('"""About `cast`."""\nfound = step.op.name == "cast"')
    assert ["1: migrate.ops.cast"] == imported_ops("from migrate.ops.cast import Cast")
    assert ["2: migrate.ops.scale"] == imported_ops("def f():\n    from migrate.ops import scale\n")
