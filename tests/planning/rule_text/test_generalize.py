"""Generalized rules match exactly the leaves that were meant, or stay apart."""

from migrate.planning.rule_text.generalize import Generalizer
from migrate.planning.rule_text.rule_drafts import RuleDraft, pattern, text_of


def drafts(moves):
    paths = {tuple(a.split("/")): tuple(b.split("/")) for a, b in moves.items()}
    return [RuleDraft((text_of(a),), (text_of(b),), (), frozenset({a}), frozenset({b})) for a, b in paths.items()]


def rules(moves, others=()):
    leaves = [tuple(path.split("/")) for path in (*moves, *others)]
    return [(pattern(d.sources[0]), pattern(d.targets[0])) for d in Generalizer(leaves).rules(drafts(moves))]


MODULE = {"old/a": "new/a", "old/b/c": "new/b/c"}


def test_a_whole_module_is_one_rule_unless_it_holds_another_leaf():
    assert [("old/**", "new/**")] == rules(MODULE)
    assert [("old/a", "new/a"), ("old/b/c", "new/b/c")] == rules(MODULE, ["old/d"])


def test_numbers_become_captures_and_choices_where_other_numbers_exist():
    moves = {f"l_{i}/w": f"x/{i}" for i in range(3)}
    assert [("l_{i}/w", "x/{i}")] == rules(moves)
    assert [("l_{i:0|1|2}/w", "x/{i}")] == rules(moves, ["l_7/w"])


def test_names_that_change_alike_become_a_choice():
    assert [("{p:a|b}/w/z", "x/{p}")] == rules({"a/w/z": "x/a", "b/w/z": "x/b"})
    assert 2 == len(rules({"a/w/z": "x/b", "b/w/z": "x/a"}))


def test_more_than_six_names_stay_apart():
    assert 7 == len(rules({f"{n}/w/z": f"x/{n}" for n in ("ab", "cd", "ef", "gh", "jk", "mn", "pq")}))


def test_leaves_that_keep_their_key_path_need_no_rule():
    assert [("b", "c")] == rules({"a": "a", "b": "c"})


def test_a_leaf_with_special_characters_is_matched_alone():
    leaves = [("a*",), ("ab",)]
    one = RuleDraft((text_of(("a*",)),), (("x",),), (), frozenset({("a*",)}), frozenset({("x",)}))
    assert Generalizer(leaves).fits(one)
    wide = RuleDraft((("a*",),), (("x",),), (), frozenset({("a*",)}), frozenset({("x",)}))
    assert not Generalizer(leaves).fits(wide)
