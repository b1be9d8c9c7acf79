import numpy as np
import pytest

from migrate import dtypes
from migrate.ops.base import OpError
from migrate.ops.wrap_key_data import KeyData, WrapKeyData
from migrate.tree import AbstractArray


def test_the_words_are_viewed():
    keys = np.zeros((3,), dtypes.to_numpy("key<rbg>"))

    (words,) = KeyData().apply(keys)

    assert ((3, 4), np.uint32) == (words.shape, words.dtype)
    assert np.shares_memory(keys, words)


def test_the_inverse_knows_the_implementation():
    assert WrapKeyData("unsafe_rbg") == KeyData().inverse(AbstractArray((3,), "key<urbg>"))


def test_only_keys_have_key_data():
    with pytest.raises(OpError, match=r"uint32\[2\] is not an array of typed PRNG keys"):
        KeyData().infer(AbstractArray((2,), "uint32"))
