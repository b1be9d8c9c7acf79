"""The starts of key paths that tell sources apart."""

from migrate.source_names import SourceSegment, source_of, source_path, source_start


def test_a_leaf_of_a_named_source_is_told_from_one_of_the_main_source():
    named = (*source_start("lora"), "w")
    assert ("lora:", "w") == named
    assert ("lora", "") == (source_of(named), source_of(("lora:", "w")))
    assert "" == source_of(())


def test_a_key_path_that_was_read_as_text_is_marked_only_for_known_sources():
    assert isinstance(source_path(("lora:", "w"), {"lora"})[0], SourceSegment)
    for path in (("lora:", "w"), ("lora", "w"), ()):
        assert "" == source_of(source_path(path, {"other"}))
    assert "" == source_of(source_path(("lora", "w"), {"lora"}))
