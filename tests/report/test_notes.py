from migrate.codes import IgnoredFiles, ReaderAssumption
from migrate.report.notes import grouped, storage_notes
from migrate.tree import AbstractLeaf, AbstractTree, parse_path
from tests.report import vit


def assumed(path, what="was read as bfloat16"):
    return ReaderAssumption.at(f"`{path}` {what}", paths=[path])


def test_notes_that_differ_only_in_their_leaf_are_one_with_every_key_path():
    (note,) = grouped([assumed("a/w"), assumed("b/w"), assumed("c/w")])
    assert "`a/w` was read as bfloat16; the same for 2 more leaves" == note.message
    assert ("a/w", "b/w", "c/w") == note.paths


def test_notes_that_differ_in_more_stay_apart():
    notes = [assumed("a/w"), assumed("b/w", "has no dtype")]
    assert notes == grouped(notes)


def test_notes_without_a_leaf_in_the_message_are_kept():
    general = [
        IgnoredFiles.at("2 files were ignored", paths=["a", "b"]),
        IgnoredFiles.at("1 file was ignored", paths=["c"]),
    ]
    assert [assumed("a/w"), *general] == grouped([general[0], assumed("a/w"), general[1]])


def test_a_note_that_came_twice_is_counted_once():
    assert [assumed("a/w")] == grouped([assumed("a/w"), assumed("a/w")])


def tree(*leaves):
    return AbstractTree.build((parse_path(path), leaf) for path, leaf in leaves)


def boxed():
    return AbstractLeaf("array", vit.leaf(2).aval, box="value")


def test_the_level_that_key_paths_omit_is_noted():
    (note,) = storage_notes(tree(("a", boxed()), ("b", boxed()), ("c", vit.leaf(2))))
    assert "2 leaves stored one level deeper, under `value`" in note.message
    assert ("a", "b") == note.paths


def test_mappings_with_the_keys_of_a_list_are_noted_and_others_are_not():
    (note,) = storage_notes(
        tree(("list/0", vit.leaf(2)), ("list/1", vit.leaf(2)), ("gap/0", vit.leaf(2)), ("gap/2", vit.leaf(2)))
    )
    assert note.message.startswith("1 mapping has the keys 0, 1, … as text; it ")
    assert ("list",) == note.paths
