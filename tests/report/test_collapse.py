import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from migrate.report.collapse import Line, collapse_paths, merge_integers, merge_siblings, segments, times
from migrate.tree import parse_path


def lines(*pairs, key=()):
    return [Line(tuple(segments(parse_path(path)) for path in pair), key, (pair,)) for pair in pairs]


def merged(*pairs):
    return [" → ".join(line.texts) for line in merge_siblings(merge_integers(lines(*pairs)))]


def test_a_full_range_becomes_one_name():
    assert ("params/layer_{0..11}/kernel",) == collapse_paths(("params", f"layer_{i}", "kernel") for i in range(12))


def test_a_gap_is_shown_by_listing_the_numbers():
    assert ("layer_{0,1,3}/kernel",) == collapse_paths((f"layer_{i}", "kernel") for i in (0, 1, 3))


def test_two_indices_become_two_ranges_only_when_every_combination_is_there():
    every = [(f"stage_{i}", f"block_{j}", "w") for i in range(2) for j in range(3)]
    assert ("stage_{0..1}/block_{0..2}/w",) == collapse_paths(every)
    assert ("stage_0/block_{0..2}/w", "stage_1/block_{0..1}/w") == collapse_paths(every[:-1])


def test_indices_in_step_within_one_path_are_no_range():
    assert ("a_0/b_0", "a_1/b_1") == collapse_paths((f"a_{i}", f"b_{i}") for i in range(2))


def test_source_and_target_share_their_index():
    pairs = [(f"Dense_{i}/kernel", f"layers/{i + 1}/kernel") for i in range(3)]
    assert ["Dense_{0..2}/kernel → layers/{1..3}/kernel"] == merged(*pairs)


def test_layers_in_reverse_are_drawn_in_reverse():
    assert ["a_{0..3} → b/{3..0}"] == merged(*((f"a_{i}", f"b/{3 - i}") for i in range(4)))


def test_layers_that_change_places_are_not_drawn_as_if_they_did_not():
    assert ["a_{0..2} → b/{1,0,2}"] == merged(("a_0", "b/1"), ("a_1", "b/0"), ("a_2", "b/2"))


def test_two_indices_that_become_one_are_drawn_as_ranges_when_the_order_stays():
    pairs = [(f"stage_{i}/block_{j}", f"layers/{2 * i + j}") for i in range(2) for j in range(2)]
    assert ["stage_{0..1}/block_{0..1} → layers/{0..3}"] == merged(*pairs)


def test_what_differs_in_its_key_is_never_folded():
    different = [*lines(("layer_0/w",), key=("float32[2]",)), *lines(("layer_1/w",), key=("float32[3]",))]
    assert ["layer_0/w", "layer_1/w"] == [line.texts[0] for line in merge_integers(different)]


def test_siblings_go_into_braces():
    assert ["params/{cls,embedding/{kernel,bias}}"] == merged(
        ("params/cls",), ("params/embedding/kernel",), ("params/embedding/bias",)
    )


def test_siblings_that_are_renamed_differently_stay_apart():
    assert ["a/w → b/kernel", "a/b → b/bias"] == merged(("a/w", "b/kernel"), ("a/b", "b/bias"))


def test_siblings_too_many_to_read_stay_apart():
    names = [(f"params/a_rather_long_name_{letter}",) for letter in "abcdef"]
    assert [name for (name,) in names] == merged(*names)


def test_braces_of_the_key_path_itself_are_no_range():
    assert 1 == times(segments(("block_{0..3}",))[0])
    assert 4 == times("block_{0..3}")
    assert 6 == times("{0..1}x{2,5,9}")


def expand(text):
    """Every name that a drawn path stands for."""
    parts = re.split(r"(\{[^{}]*\})", text)
    choices = [_choices(part) if part.startswith("{") else [part] for part in parts]
    return {"".join(choice) for choice in itertools.product(*choices)}


def _choices(braces):
    inner = braces[1:-1]
    if ".." in inner:
        first, last = map(int, inner.split(".."))
        return [str(number) for number in range(first, last + 1)]
    return inner.split(",")


numbers = st.integers(0, 4)


@given(st.sets(st.tuples(numbers, numbers, numbers), min_size=1, max_size=30))
def test_drawn_lines_stand_for_exactly_the_paths_that_are_there(points):
    paths = {f"a_{i}/b/{j}/c{k}" for i, j, k in points}
    drawn = merge_integers(lines(*((path,) for path in sorted(paths))))
    assert paths == set().union(*(expand(line.texts[0]) for line in drawn))
    assert len(paths) == sum(len(expand(line.texts[0])) for line in drawn)
    assert all(len(expand(line.texts[0])) == len(line.members) for line in drawn)
