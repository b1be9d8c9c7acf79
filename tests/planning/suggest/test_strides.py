"""Layers in equal steps: one pattern for a target, and one rule for all stacks of a block."""

from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.planning.suggest.strides import StridedStack, merged_stacks, spread, stride


def column(*numbers):
    return [("net", f"l_{number}", "k") for number in numbers]


def stack(start, *, target=None, step=2):
    paths = column(*range(start, start + 3 * step, step))
    targets = (("scan", f"l_{start if target is None else target}", "k"),)
    ops = ("stack: {axis: 0, over: i}",)
    found = stride(paths)
    return StridedStack(RuleDraft(((),), targets, ops, frozenset(paths), frozenset()), found)


def test_numbers_in_steps_are_one_target_pattern():
    assert ("net", "l_{i*6+2}", "k") == spread(column(2, 8, 14))


def test_steps_of_one_unequal_steps_and_other_names_are_no_stride():
    assert [None] * 3 == [stride(column(0, 1, 2)), stride(column(0, 2, 5)), stride([("a_0",), ("b_2",)])]


def test_stacks_of_a_whole_block_are_one_rule():
    (draft,) = merged_stacks([stack(0), stack(1)], column(*range(6)))
    assert ((("net", "l_{i}", "k"),), (("scan", "l_{i%2}", "k"),)) == (draft.sources, draft.targets)
    assert frozenset(column(*range(6))) == draft.claims


def test_other_layers_of_the_list_are_not_claimed():
    (draft,) = merged_stacks([stack(0), stack(1)], column(*range(8)))
    assert (("net", "l_{i:0|1|2|3|4|5}", "k"),) == draft.sources


def test_part_of_a_block_and_layers_in_another_order_are_lists_of_key_paths():
    for stacks in ([stack(1)], [stack(0, target=1), stack(1, target=0)]):
        drafts = merged_stacks(stacks, column(*range(6)))
        assert [tuple(("net", f"l_{s.stride.start + 2 * n}", "k") for n in range(3)) for s in stacks] == [
            draft.sources for draft in drafts
        ]
        assert {("stack: {axis: 0}",)} == {draft.ops for draft in drafts}
