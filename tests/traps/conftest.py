"""The command and Orbax, for tests that show what one finds and the other does not."""

import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate

MODELS = "tests.traps.models"


@pytest.fixture
def run():
    """The command; rule files are not below the current directory, so their templates need permission."""

    def invoke(command, *arguments):
        return CliRunner().invoke(migrate, [command, "--allow-code", *map(str, arguments)])

    return invoke


@pytest.fixture
def save(tmp_path):
    """`save("old", tree)`: where plain Orbax has saved it."""

    def write(name, tree):
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / name, tree)
        return tmp_path / name

    return write


@pytest.fixture
def rules(tmp_path):
    """`rules("Mlp", "- drop: x")`: a rule file for a model, whose rules these are."""

    def write(model, text):
        path = tmp_path / "rules.yaml"
        path.write_text(f'migrate: 1\ntarget: {{template: "{MODELS}:{model}"}}\nrules:\n{text}')
        return path

    return write
