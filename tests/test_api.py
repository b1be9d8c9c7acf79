import inspect

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
