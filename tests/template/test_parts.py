"""The parts of the object that a template's callable returns, and the items that they become."""

from migrate.template import abstract_template
from tests.template.failing import failure

MODELS = "tests.template.models"


def test_parts_are_the_keys_or_indices_of_what_is_returned():
    assert () == abstract_template(f"{MODELS}:plain").parts
    assert ("model", "optimizer", "step") == abstract_template(f"{MODELS}:trained").parts
    assert ("0", "1", "2") == abstract_template(f"{MODELS}:masked").parts


def test_a_variable_that_parts_share_is_saved_once_in_one_pytree():
    tree = abstract_template(f"{MODELS}:shared").tree
    assert {"again", "both"} == {path[0] for path in tree.leaves}
    assert ("again", "first", "kernel") in tree.leaves
    assert ("both", "model", "first", "kernel") not in tree.leaves


def test_items_are_saved_each_with_all_of_its_variables():
    tree = abstract_template(f"{MODELS}:shared", layout="items").tree
    assert {"again", "both", "kernel", "model"} == {path[0] for path in tree.leaves}
    assert ("both", "model", "first", "kernel") in tree.leaves


def test_items_need_a_dict_of_parts():
    (diagnostic,) = failure(f"{MODELS}:plain", layout="items")
    assert "dict of parts" in diagnostic.message


def test_an_item_that_is_a_single_number_is_named():
    (diagnostic,) = failure(f"{MODELS}:trained", layout="items")
    assert ("step",) == diagnostic.paths
    assert "in a dict" in diagnostic.help
