import jax
import numpy as np
import pytest

from migrate import dtypes
from migrate.ops.base import OpError
from migrate.ops.wrap_key_data import KeyData, WrapKeyData
from migrate.tree import AbstractArray


@pytest.mark.parametrize(("impl", "name"), [("threefry2x32", "fry"), ("rbg", "rbg"), ("unsafe_rbg", "urbg")])
def test_shape_and_words_are_those_of_jax(impl, name):
    words = np.arange(3 * dtypes.KEY_WORDS[name], dtype=np.uint32).reshape(3, -1)
    wrapped = jax.random.wrap_key_data(words, impl=impl)

    (keys,) = WrapKeyData(impl).apply(words)

    assert (f"key<{name}>", wrapped.shape) == (dtypes.from_numpy(keys.dtype), keys.shape)
    assert np.asarray(jax.random.key_data(wrapped)).tolist() == keys[name].tolist()


def test_words_that_lie_side_by_side_are_viewed_and_others_are_copied():
    words = np.arange(12, dtype=np.uint32).reshape(3, 4)[:, 1:3]

    assert np.shares_memory(words, WrapKeyData().apply(words)[0])
    assert words.tolist() == WrapKeyData().apply(np.asfortranarray(words))[0]["fry"].tolist()


@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 0, 2)])
def test_a_single_key_and_no_keys_work(shape):
    assert shape[:-1] == WrapKeyData().apply(np.zeros(shape, np.uint32))[0].shape


def test_big_endian_words_keep_their_values():
    assert [[1, 2]] == WrapKeyData().apply(np.array([[1, 2]], ">u4"))[0]["fry"].tolist()


@pytest.mark.parametrize(
    "array", [AbstractArray((2,), "int32"), AbstractArray((4,), "uint32"), AbstractArray((), "uint32")]
)
def test_what_is_no_key_data_is_an_error(array):
    with pytest.raises(OpError) as caught:
        WrapKeyData().infer(array)

    assert f"threefry2x32 keys are uint32 with a last axis of 2 words, not {array}" == str(caught.value)


def test_an_implementation_that_jax_does_not_have_is_refused_at_once():
    with pytest.raises(OpError, match="it has threefry2x32, rbg, unsafe_rbg"):
        WrapKeyData("philox")


def test_the_inverse_is_key_data():
    assert KeyData() == WrapKeyData().inverse(AbstractArray((2,), "uint32"))
