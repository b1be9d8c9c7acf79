import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import migrate
from migrate import api


def test_every_public_name_can_be_had_from_the_package():
    for name in migrate.__all__:
        assert getattr(migrate, name) is not None
    assert {*api.__all__, "__version__"} == set(migrate.__all__)


def test_public_functions_and_classes_have_docstrings():
    assert [] == [name for name in api.__all__ if not inspect.getdoc(getattr(api, name))]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute `nonsense`"):
        _ = migrate.nonsense


def test_plan_is_a_function_and_a_package_whichever_is_imported_first():
    code = (
        "import migrate\nassert callable(migrate.plan)\n"
        "import migrate.plan.model as model\nassert callable(migrate.plan)\n"
        "from migrate import plan\nassert plan.model is model\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
