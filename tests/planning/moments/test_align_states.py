"""Laws of the alignment: it never uses a state twice, and never pairs states of different kinds."""

from hypothesis import given
from hypothesis import strategies as st

from migrate.planning.moments.align_states import align
from migrate.planning.moments.states import TransformState


def chain(kinds, labels=()):
    """Returns states with one leaf each, named after their kind."""
    return [TransformState(("opt",), ("opt", *labels, str(i)), leaves=((kind,),)) for i, kind in enumerate(kinds)]


kinds = st.lists(st.sampled_from("abc"), max_size=6)


@given(kinds, kinds)
def test_pairs_are_of_one_kind_and_nobody_is_in_two(ours, theirs):
    found = align(chain(ours), chain(theirs))
    assert all(one.kind == other.kind for one, other in found.pairs)
    sources, targets = [one for one, _ in found.pairs], [other for _, other in found.pairs]
    ambiguous = [state for state, _ in found.ambiguous]
    assert len(set(map(id, sources))) == len(sources)
    assert len(set(map(id, targets))) == len(targets)
    assert not {*map(id, sources)} & {*map(id, ambiguous)}
    assert not {*map(id, targets)} & {id(t) for _, candidates in found.ambiguous for t in candidates}


@given(kinds)
def test_a_chain_aligns_with_itself(ours):
    found = align(chain(ours), chain(ours))
    assert [one.prefix for one, _ in found.pairs] == [other.prefix for _, other in found.pairs]
    assert len(ours) == len(found.pairs)


@given(kinds, st.lists(st.tuples(st.integers(0, 6), st.sampled_from("xyz")), max_size=3))
def test_what_is_put_between_the_states_of_a_chain_only_shifts_them(ours, inserted):
    theirs = list(ours)
    for place, kind in inserted:
        theirs.insert(place, kind)
    found = align(chain(ours), chain(theirs))
    kept = [i for i, kind in enumerate(theirs) if kind in "abc"]
    assert {(str(i), str(kept[i])) for i in range(len(ours))} == {(a.prefix[-1], b.prefix[-1]) for a, b in found.pairs}


@given(st.permutations("abcd"), st.permutations("abcd"))
def test_states_that_are_alone_of_their_kind_are_found_in_any_order(ours, theirs):
    found = align(chain(ours), chain(theirs))
    assert {(kind, kind) for kind in "abcd"} == {(*a.fields, *b.fields) for a, b in found.pairs}


def test_a_known_pair_settles_the_rest():
    ours, theirs = chain("a"), chain("aa")
    assert not align(ours, theirs).pairs
    ((one, other),) = align(ours, theirs, [(ours[0], theirs[1])]).pairs
    assert (ours[0], theirs[1]) == (one, other)


def test_labels_come_before_order():
    ours = [*chain("a", ("left",)), *chain("a", ("right",))]
    theirs = [*chain("a", ("right",)), *chain("a", ("left",))]
    assert [("left", "left"), ("right", "right")] == sorted(
        (one.labels[0], other.labels[0]) for one, other in align(ours, theirs).pairs
    )
