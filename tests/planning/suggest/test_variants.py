"""Variants of drafts: blocks of a list together, layers with all their arrays, ops that move or stay.

Covers `norms` too.
"""

from migrate.planning.rule_text.doubt import Alternative, Doubt
from migrate.planning.rule_text.rule_drafts import RuleDraft
from migrate.planning.suggest.variants import PROVED, SHIFTED, settled, variants
from migrate.tree import parse_path


def draft(source, target, ops=(), others=(), ways=(), why="they have the same shape"):
    source, target = parse_path(source), parse_path(target)
    doubt = Doubt(why, others=tuple(map(parse_path, others)), alternatives=ways)
    doubts = ((source, doubt),) if others or ways or why == "alone" else ()
    return RuleDraft((source,), (target,), ops, frozenset({source}), frozenset({target}), (), doubts)


def pair(number, leaf, ops=((), ())):
    targets = [f"blocks/{number}/{name}/{leaf}" for name in ("up", "down")]
    return [draft(f"h_{number}/Dense_{at}/{leaf}", targets[at], ops[at], others=[targets[1 - at]]) for at in range(2)]


def targets(drafts):
    return ["/".join(one.targets[0]) for one in drafts]


def test_a_layer_moves_with_all_its_arrays_and_all_blocks_come_before_one():
    drafts = [one for number in range(2) for leaf in ("kernel", "bias") for one in pair(number, leaf)]
    whole, *single = variants(drafts)
    assert (True, [False, False]) == (whole.whole, [one.whole for one in single])
    (changed,) = whole.apply(drafts)
    assert targets(changed) == [target for at in range(0, 8, 2) for target in reversed(targets(drafts)[at : at + 2])]
    (changed,) = single[0].apply(drafts)
    assert targets(drafts)[4:] == targets(changed)[4:]
    assert ["blocks/0/down/kernel", "blocks/0/up/kernel", "blocks/0/down/bias"] == targets(changed)[:3]


def test_doubts_of_exchanged_drafts_list_the_place_that_they_left():
    drafts = pair(0, "kernel")
    (variant,) = variants(drafts)
    (changed,) = variant.apply(drafts)
    assert [drafts[0].fills, drafts[1].fills] == [frozenset(one.doubts[0][1].others) for one in changed]
    assert drafts == next(iter(variants(changed)[0].apply(changed)))


def test_ops_move_with_their_sources_and_then_stay_with_their_targets():
    drafts = pair(0, "kernel", ops=(("transpose: {perm: [1, 0]}",), ()))
    moved, stayed = variants(drafts)[0].apply(drafts)
    assert [("transpose: {perm: [1, 0]}",), ()] == [one.ops for one in moved]
    assert [(), ("transpose: {perm: [1, 0]}",)] == [one.ops for one in stayed]


def test_other_ops_leave_the_first_ones_as_the_alternative():
    way = Alternative("grouped by heads", ("split: {axis: 1}",))
    drafts = [draft("qkv/kernel", "q/kernel", ("split: {axis: 0}",), ways=(way,))]
    (variant,) = variants(drafts)
    ((changed,),) = variant.apply(drafts)
    assert way.ops == changed.ops
    assert ("split: {axis: 0}",) == changed.doubts[0][1].alternatives[0].ops


def test_a_doubt_is_gone_if_every_variant_is_refuted_and_says_what_is_left_otherwise():
    drafts = pair(0, "kernel")
    found = variants(drafts, erased=True)
    assert [(), (PROVED,)] == [one.reasons for one in (drafts[0], settled(drafts, _all(found, "refuted"), "p:f")[0])]
    assert "; the probe `p:f` passes either way" in _why(settled(drafts, _all(found[:1], "alike"), "p:f"))
    assert "; the probe `p:f` had no run left for this" in _why(settled(drafts, _all(found, "untried"), "p:f"))
    verdicts = {one: "alike" if one.erased else "refuted" for one in found}
    assert "; the probe `p:f` does not depend on `kernel`" in _why(settled(drafts, verdicts, "p:f"))


def test_a_doubt_without_an_alternative_is_settled_by_dependence_alone():
    drafts = [draft("a/kernel", "b/kernel", why="alone")]
    (variant,) = variants(drafts, erased=True)
    assert drafts[0].fills == variant.erased
    assert () == settled(drafts, {variant: "refuted"}, "p:f")[0].doubts
    assert [] == variants(drafts)


def test_a_doubt_of_which_no_variant_was_possible_stays():
    drafts = pair(0, "kernel")
    assert drafts == settled(drafts, {}, "p:f")


def _all(found, verdict):
    return dict.fromkeys(found, verdict)


def _why(drafts):
    return drafts[0].doubts[0][1].why


def test_scales_of_all_norms_are_shifted_together_after_what_doubts_propose():
    names = ["blocks/0/input_layernorm/scale", "ln_f/scale", "ln_f/bias", "balance/scale", "mlp/kernel"]
    drafts = [*pair(0, "kernel"), *(draft(f"old/{name}", name) for name in names)]
    first, added, subtracted = variants(drafts)
    assert first.exchanged
    scales = {parse_path(name) for name in names[:2]}
    assert (scales, scales) == (added.targets, subtracted.targets)
    (changed,) = added.apply(drafts)
    assert {("add: {value: 1}",): scales} == {one.ops: scales for one in changed if one.ops}
    assert [(SHIFTED,)] == [one.reasons for one in changed if one.fills == {parse_path(names[1])}]
    assert not [one for one in variants(changed) if one.ops]


def test_scales_of_norms_are_not_shifted_once_outputs_agree():
    assert [] == variants([draft("old/norm/scale", "norm/scale")], erased=True)
