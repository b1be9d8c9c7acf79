"""Digests of a model's code: what changes them, what does not, and which definitions they cover."""

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from flax import nnx

from migrate.template.source_digests import is_own_class, source_digests

PACKAGE = {
    "__init__": "from .layers import Attention\n",
    "layers": """
        import math
        from . import helpers
        from .norms import scale as rescale

        SIZE = 4
        if SIZE > 3:
            WIDE = True

        class Base:
            pass

        class Attention(Base):
            def __call__(self, x):
                return helpers.double(x) * rescale(SIZE) * math.pi

        def unused():
            return 1
        """,
    "helpers": """
        def double(x):
            return 2 * x
        """,
    "norms": """
        from .constants import *

        def scale(x):
            return x * EPSILON

        def other(x):
            return x
        """,
    "constants": "EPSILON = 1e-6\n",
    "model": """
        from typing import TYPE_CHECKING

        from net import Attention

        if TYPE_CHECKING:
            from .layers import Base

        class Net:
            def __init__(self):
                self.attention = Attention()
        """,
    "training": "STEPS = 3\n",
}


@pytest.fixture
def digests(tmp_path, monkeypatch):
    """`digests(layers=("old", "new"))`: the digests of `net.model.Net` after replacements in modules of its package."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**changes):
        folder = tmp_path / "net"
        folder.mkdir(exist_ok=True)
        for name, text in PACKAGE.items():
            clean = textwrap.dedent(text)
            if name in changes:
                assert changes[name][0] in clean
                clean = clean.replace(*changes[name])
            (folder / f"{name}.py").write_text(clean)
        for name in [name for name in sys.modules if name.partition(".")[0] == "net"]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        return source_digests([importlib.import_module("net.model").Net])

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "net"]:
        del sys.modules[name]


def changed(before, after):
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def test_the_modules_of_the_package_that_a_model_uses_have_digests(digests):
    assert ["net.constants", "net.helpers", "net.layers", "net.model", "net.norms"] == list(digests())


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("layers", "SIZE = 4", "SIZE = (  # the size\n    4\n)"),
        ("layers", "class Attention(Base):\n", 'class Attention(Base):\n    """Attention."""\n\n'),
        ("layers", "def unused():\n    return 1", "def unused():\n    return 2"),
        ("norms", "def other(x):\n    return x", "def other(y):\n    return y"),
        ("training", "3", "4"),
    ],
)
def test_formatting_docstrings_and_unused_code_do_not_matter(digests, module, old, new):
    assert set() == changed(digests(), digests(**{module: (old, new)}))


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("layers", "SIZE = 4", "SIZE = 5"),
        ("layers", "class Base:\n    pass", "class Base:\n    x = 1"),
        ("layers", "* math.pi", "+ math.pi"),
        ("layers", "* math.pi", "* math.pi * 1"),
        ("helpers", "2 * x", "3 * x"),
        ("norms", "x * EPSILON", "x + EPSILON"),
        ("constants", "1e-6", "1e-5"),
        ("model", "Attention()", "Attention(1)"),
    ],
)
def test_a_change_of_code_that_the_model_uses_changes_the_digest_of_its_module_only(digests, module, old, new):
    assert {f"net.{module}"} == changed(digests(), digests(**{module: (old, new)}))


def test_constants_of_different_types_and_none_differ(digests):
    values = ("4", "4.0", "'4'", "b'4'", "None", "...", "True", "1")
    found = {digests(constants=("1e-6", value))["net.constants"] for value in values}
    assert len(values) == len(found)


def test_definitions_under_conditions_and_changes_of_attributes_are_part_of_what_they_define(digests):
    before = digests(layers=("SIZE = 4", "SIZE = 4\nif SIZE:\n    SIZE = 5"))
    assert {"net.layers"} == changed(before, digests(layers=("SIZE = 4", "SIZE = 4\nif SIZE:\n    SIZE = 6")))
    assert {"net.layers"} == changed(digests(), digests(layers=("def unused", "Attention.depth = 2\n\ndef unused")))


def test_modules_that_import_each_other_are_followed_once(digests):
    found = digests(helpers=("def double", "from net import layers\n\ndef double"))
    assert "net.layers" in found


def test_a_module_that_cannot_be_parsed_has_no_digest(digests, tmp_path):
    digests()
    (tmp_path / "net" / "helpers.py").write_text("def (")
    assert "net.helpers" not in source_digests([sys.modules["net.model"].Net])


def test_classes_of_frameworks_and_of_the_standard_library_have_no_digest():
    assert {} == source_digests([nnx.Linear, dict, Path])
    assert not is_own_class(nnx.Linear)


def test_a_program_has_the_name_under_which_it_is_imported_and_its_siblings_count(tmp_path):
    root = Path(__file__).parents[2]
    (tmp_path / "parts.py").write_text("def part():\n    return 1\n")
    (tmp_path / "program.py").write_text(
        "from migrate.template.source_digests import source_digests\n"
        "from parts import part\n\n\nclass Net:\n    x = part\n\n\nprint(source_digests([Net]))\n"
    )
    run = [sys.executable, "program.py"], [sys.executable, "-c", "import program"]
    texts = {
        subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": f"{root}:{tmp_path}"}, capture_output=True, text=True, check=True
        ).stdout
        for command in run
    }
    assert 1 == len(texts)
    assert ["parts", "program"] == list(eval(texts.pop()))


TYPED_IN = """
import linecache, sys, types
from migrate.template.source_digests import source_digests
text = "class Net:\\n    x = 1\\n"
linecache.cache["<cell 1>"] = (0, None, text.splitlines(True), "<cell 1>")
cell = types.ModuleType("cell")
cell.__file__ = "<cell 1>"
sys.modules["cell"] = cell
exec(compile(text, "<cell 1>", "exec"), cell.__dict__)
print(list(source_digests([cell.Net])))
"""


def test_a_class_that_was_typed_in_is_digested_by_the_text_that_python_remembers(tmp_path):
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", TYPED_IN], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ("['cell.Net']\n", "") == (done.stdout, done.stderr)
