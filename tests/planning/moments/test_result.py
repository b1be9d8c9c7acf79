"""Partial decisions add up field by field, in order."""

from dataclasses import fields

from migrate.planning.moments.result import FollowResult, combine


def test_every_field_of_every_part_is_kept_in_order():
    names = [field.name for field in fields(FollowResult)]
    parts = [FollowResult(**{name: (f"{name} {index}",) for name in names}) for index in range(2)]
    whole = combine(parts)
    assert {name: (f"{name} 0", f"{name} 1") for name in names} == {name: getattr(whole, name) for name in names}


def test_no_parts_are_no_decision():
    assert FollowResult() == combine([])
