"""Random keys that the template does not name are kept by a step of items, unless a rule names them."""

from dataclasses import replace
from pathlib import Path

import pytest

from migrate.formats.item_kinds import TYPED_KEY
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.carried_items import with_carried_items, without_carried_items
from migrate.rules.loader import parse_rules
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree

WEIGHT = AbstractTree({("w",): AbstractLeaf("array", AbstractArray((2,), "float32"))})
KEY = AbstractTree({(): AbstractLeaf("array", AbstractArray((), "key<fry>"))})
SOURCE = AbstractCheckpoint(Path("old"), "orbax", {"model": WEIGHT, "rng": KEY}, kinds={"rng": TYPED_KEY})
TEMPLATE = WEIGHT.prefixed(("model",))


def rules(layout="items", text="[]"):
    return parse_rules(f"migrate: 1\ntarget: {{layout: {layout}}}\nrules: {text}", "rules.yaml")


def test_a_step_of_items_keeps_the_key():
    assert SOURCE.tree.leaves == with_carried_items(SOURCE, rules(), TEMPLATE).leaves


@pytest.mark.parametrize("named", [rules("state"), rules(text="[drop: rng]"), rules(text='["rng -> model/key"]')])
def test_no_other_layout_keeps_it_and_no_rule_loses_it(named):
    assert TEMPLATE is not None
    assert TEMPLATE.leaves == with_carried_items(SOURCE, named, TEMPLATE).leaves


def test_a_key_that_the_template_names_is_the_templates():
    assert SOURCE.tree is with_carried_items(SOURCE, rules(), SOURCE.tree)


def test_a_checkpoint_is_compared_with_its_template_without_the_carried_key():
    assert TEMPLATE.leaves == without_carried_items(SOURCE, TEMPLATE).leaves
    assert SOURCE.tree == without_carried_items(replace(SOURCE, kinds={}), TEMPLATE)
