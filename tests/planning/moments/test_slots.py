"""Slots are found by key paths alone: mirrors of the params, the nearest root, and no schedule."""

from migrate.planning.moments.slots import Slot, best_roots, common_prefix, mirrors, source_slots, target_slots
from tests.planning.trees import tree

PARAMS = {"params/dense/kernel": "2,3", "params/dense/bias": "3"}
MOMENTS = {"opt/0/mu/dense/kernel": "2,3", "opt/0/mu/dense/bias": "3"}


def prefixes(slots):
    return ["/".join(slot.prefix) for slot in slots]


def test_a_slot_mirrors_all_params_or_some_of_them():
    (slot,) = source_slots(tree(PARAMS | MOMENTS))[("params",)]
    assert (("opt", "0", "mu"), ("params",)) == (slot.prefix, slot.root)
    assert ("params", "dense", "bias") == slot.param(("opt", "0", "mu", "dense", "bias"))
    assert ("opt", "0", "mu", "dense", "bias") == slot.moment(("params", "dense", "bias"))
    (masked,) = source_slots(tree(PARAMS | {"opt/0/mu/dense/kernel": "2,3", "opt/0/mu/dense/bias": "none"}))[
        ("params",)
    ]
    assert masked.moment(("params", "dense", "bias")) is None
    assert masked.moment(("other", "dense", "kernel")) is None


def test_a_subtree_with_a_leaf_of_another_name_is_no_slot():
    assert () == source_slots(tree(PARAMS | MOMENTS | {"opt/0/mu/gone": "2"}))[("params",)]


def test_a_count_alone_is_no_slot_even_where_a_param_has_this_name():
    leaves = {"params/count": "2", "opt/0/count": "int32:", "opt/1/mu/count": "2"}
    assert [] == prefixes(source_slots(tree(leaves))[("params",)])


def test_the_topmost_mirror_is_the_slot():
    found = mirrors(tree({"ema/dense/kernel": "2,3"}), ("params",), {("dense", "kernel"), ("kernel",)})
    assert [("ema",)] == [slot.prefix for slot in found]


def test_a_mirror_of_two_networks_belongs_to_the_nearest():
    leaves = {f"{n}/{path}": text for n in "gd" for path, text in (PARAMS | MOMENTS).items()}
    found = source_slots(tree(leaves))
    assert {("g", "params"): ["g/opt/0/mu"], ("d", "params"): ["d/opt/0/mu"]} == {
        root: prefixes(slots) for root, slots in found.items()
    }


def test_params_below_a_copy_are_the_copy_and_no_root():
    copy = {f"ema/{path}": text for path, text in PARAMS.items()}
    assert {("params",): ["ema/params"]} == {r: prefixes(s) for r, s in source_slots(tree(PARAMS | copy)).items()}


def test_the_root_of_a_templates_params_is_not_named():
    leaves = {"model/fc/kernel": "2,3", "optimizer/0/mu/fc/kernel": "2,3"}
    (slot,) = target_slots(tree(leaves), [("model", "fc", "kernel")])
    assert (("optimizer", "0", "mu"), ("model",)) == (slot.prefix, slot.root)
    assert [] == target_slots(tree(leaves), [])


def test_a_slot_found_for_two_roots_belongs_to_the_one_that_the_evidence_favors():
    near = tree({"a/opt/w": "2", "a/params/w": "2", "b/params/w": "2"})
    slots = [Slot(("a", "opt"), (root, "params"), frozenset({("w",)})) for root in "ab"]
    assert slots[:1] == best_roots(near, slots)
    shaped = tree({"a/opt/w": "3", "a/params/w": "2", "b/params/w": "3"})
    assert slots[1:] == best_roots(shaped, slots)


def test_a_slot_that_no_evidence_assigns_stays_with_every_root():
    leaves = tree({"opt/w": "2", "a/w": "2", "b/w": "2"})
    slots = [Slot(("opt",), (root,), frozenset({("w",)})) for root in "ab"]
    assert slots == best_roots(leaves, slots)


def test_the_common_prefix_is_of_whole_segments():
    assert ("a",) == common_prefix([("a", "bc"), ("a", "bd"), ("a", "b")])
    assert ("a", "b") == common_prefix([("a", "b")])
    assert () == common_prefix([])
