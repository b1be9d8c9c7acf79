"""A full verification restores into the state of the template: a container of another kind is found."""

from dataclasses import replace

import pytest
from flax import nnx

from migrate.engine.verification.template_restore import template_problems
from migrate.engine.verification.values import verify
from migrate.errors import VerifyError
from migrate.template import abstract_template
from tests.engine.sources import apply_plan, opened, plan_for, save
from tests.engine.verification.conftest import messages
from tests.template import models

SPEC = "tests.template.models:paired"


@pytest.fixture
def pair(tmp_path):
    """A plan for a template that returns a tuple of modules, and its result."""
    source = save(tmp_path / "old", nnx.state(models.paired()))
    with opened(source) as reader:
        plan = plan_for(reader, template=abstract_template(SPEC))
        apply_plan(plan, reader, tmp_path / "new", verify="none")
        yield plan, reader, tmp_path / "new"


def test_a_list_where_the_template_has_a_dict_is_found(pair):
    plan, reader, result = pair
    assert [] == list(template_problems(plan, result))
    file = result / "_METADATA"
    dicts = '[{"key": "0", "key_type": 2}'
    assert dicts in file.read_text()
    text = file.read_text()
    for index in "01":
        text = text.replace(dicts.replace("0", index), dicts.replace("0", index).replace("2}", "1}"))
    file.write_text(text)
    with pytest.raises(VerifyError) as failure:
        verify(plan, reader, result)
    (message,) = messages(failure)
    assert f"Orbax cannot restore {result} into the state of `{SPEC}`" in message
    assert "list" in message


def test_a_template_that_cannot_be_made_again_is_skipped(pair):
    plan, _, result = pair
    assert [] == list(template_problems(replace(plan, template="recorded.tree.json"), result))
    assert [] == list(template_problems(replace(plan, template="tests.template.models:listed"), result))
