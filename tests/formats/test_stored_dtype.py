import pytest

from migrate.formats.stored_dtype import UnknownDtypeError, stored_dtype


@pytest.mark.parametrize(
    ("text", "name", "is_native"),
    [("<f4", "float32", True), (">f4", "float32", False), ("bfloat16", "bfloat16", True), ("|b1", "bool", True)],
)
def test_dtypes_of_numpy_and_of_its_extensions_keep_their_byte_order(text, name, is_native):
    dtype = stored_dtype(text)
    assert (name, is_native) == (dtype.name, dtype.isnative)


@pytest.mark.parametrize("text", ["|O", "<U3", "<V8", "f4,f4", "{'a': 'f4'}", "", "nothing", None, 4, ["<f4"]])
def test_what_no_leaf_can_have_is_refused(text):
    with pytest.raises(UnknownDtypeError):
        stored_dtype(text)
