"""Drafts of rules from matches: real key paths, stacks as one draft, doubts carried along; also covers `values`."""

from migrate.planning.rule_text.rule_drafts import pattern, text_of
from migrate.planning.suggest.drafts import draft_rules
from migrate.planning.suggest.values import Alternative, Doubt, Endpoint, Match, ModelArray, StackedPart


def drafted(matches):
    ends = [end.path for match in matches for end in (*match.sources, *match.targets)]
    paths = {path: ("root", *path) for path in ends}
    return draft_rules(matches, paths, paths)


def parts(count, axis=0, ops=(), name="layers", **more):
    return [
        Match((Endpoint(("scan", "w"), StackedPart(axis, i, 3)),), (Endpoint((name, str(i), "w")),), ops, **more)
        for i in range(count)
    ]


def test_special_characters_are_escaped_in_patterns():
    assert r"a\/b\*/c" == pattern(text_of(("a/b*", "c")))
    assert "." == pattern(())


def test_a_stacked_array_is_one_draft_with_the_index_as_a_capture():
    (draft,) = drafted(parts(3))
    assert (("root", "scan", "w"),) == draft.sources
    assert (("root", "layers", "{i}", "w"),) == draft.targets
    assert ("unstack: {axis: 0, over: i}",) == draft.ops
    assert 3 == len(draft.fills)
    (turned,) = drafted([Match(m.targets, m.sources) for m in parts(3, axis=1)])
    assert ("stack: {axis: 1, over: i}",) == turned.ops


def test_parts_that_are_not_all_there_are_no_draft():
    assert () == drafted(parts(2))


def test_ops_of_the_parts_run_on_the_whole():
    (first,) = drafted(parts(3, ops=("squeeze: {axis: -1}",)))
    assert ("squeeze: {axis: -1}", "unstack: {axis: 0, over: i}") == first.ops
    (second,) = drafted(parts(3, axis=1, ops=("squeeze: {axis: -1}",)))
    assert ('rearrange: "a b ... -> b a ..."', "squeeze: {axis: -1}", "unstack: {axis: 0, over: i}") == second.ops


def test_targets_whose_numbers_do_not_count_up_from_0_are_listed():
    matches = [
        Match((Endpoint(("scan", "w"), StackedPart(0, i, 3)),), (Endpoint((name, "w")),))
        for i, name in enumerate(("first", "second", "third"))
    ]
    (draft,) = drafted(matches)
    assert 3 == len(draft.targets)
    assert ("unstack: {axis: 0}",) == draft.ops


def test_a_doubt_has_real_key_paths_and_the_ops_of_the_whole():
    doubt = Doubt("why", others=(("other", "w"),), alternatives=(Alternative("transposed", ("op: x",)),))
    paths = {
        ("scan", "w"): ("S",),
        **{("layers", str(i), "w"): ("T", str(i)) for i in range(3)},
        ("other", "w"): ("O",),
    }
    (draft,) = draft_rules(parts(3, doubts=(doubt,)), paths, paths)
    assert {("S",)} == {path for path, _ in draft.doubts}
    (found,) = {each for _, each in draft.doubts}
    assert ((("O",),), "transposed: ops: [{op: x}, {unstack: {axis: 0, over: i}}]") == (
        found.others,
        str(found.alternatives[0]),
    )


def test_a_match_seen_from_above_has_longer_key_paths():
    match = Match((Endpoint(("a",)),), (Endpoint(("b",)),), doubts=(Doubt("why", others=(("c",),)),))
    above = match.below(("s",), ("t",))
    assert (("s", "a"), ("t", "b"), ("t", "c")) == (
        above.sources[0].path,
        above.targets[0].path,
        above.doubts[0].others[0],
    )


def test_a_part_lacks_the_stacked_axis():
    assert ModelArray((2, 4), "Param") == ModelArray((2, 3, 4), "Param").without(1)


def test_targets_are_an_index_only_from_0_and_sources_from_0_or_1():
    picks = [Endpoint(("scan", "w"), StackedPart(0, i, 3)) for i in range(3)]
    targets = [Match((picks[i],), (Endpoint(("l", str(i + 1))),)) for i in range(3)]
    assert [3] == [len(draft.targets) for draft in drafted(targets)]
    for start, expected in ((0, 1), (1, 1), (2, 3)):
        sources = [Match((Endpoint(("l", str(i + start))),), (picks[i],)) for i in range(3)]
        assert [expected] == [len(draft.sources) for draft in drafted(sources)]
