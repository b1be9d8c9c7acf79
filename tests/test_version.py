"""The version is the same everywhere, and reading it needs nothing else.

Covers `migrate.__main__`.
"""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import migrate
from migrate import version


def test_the_package_and_the_command_line_have_the_version():
    command = [sys.executable, "-m", "migrate", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert version.__version__ == migrate.__version__
    assert version.__version__ in done.stdout.split()[1]


def test_the_module_imports_nothing():
    nodes = ast.walk(ast.parse(inspect.getsource(version)))
    assert [] == [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
