"""The kinds of items are known by what is stored beside them; `test_orbax_commit.py` writes each."""

from migrate.formats.item_kinds import KEYS, NUMPY_KEY, PYTREE, RAW_KEY, TYPED_KEY, key_kind


def test_the_json_beside_a_random_key_tells_its_kind():
    assert (TYPED_KEY, RAW_KEY) == (key_kind({"typed": True}), key_kind({"typed": False}))
    assert NUMPY_KEY == key_kind({"legacy": True})
    assert PYTREE == key_kind({"other": True})
    assert PYTREE not in KEYS
