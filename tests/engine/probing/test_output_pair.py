"""How far two outputs are apart, whatever they are made of."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from migrate.engine.probing.output_pair import OutputPair, PairError, Tolerance
from migrate.tree import AbstractArray

NAN, INF = float("nan"), float("inf")


def pair(old, new):
    return OutputPair.read((old, new), 1)


@pytest.mark.parametrize(
    ("old", "new", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([1.0, NAN], [1.0, NAN], 0.0),
        ([1.0, NAN], [1.0, 3.0], INF),
        ([1.0, 3.0], [1.0, NAN], INF),
        ([INF, -INF], [INF, -INF], 0.0),
        ([INF, 1.0], [-INF, 1.0], INF),
        ([INF], [1.0], INF),
        ([3, 5], [3, 7], 2.0),
        ([2**62, 0], [2**62 + 1, 0], 1.0),
        ([True, False], [True, True], 1.0),
        ([1 + 1j], [1 + 4j], 3.0),
        ([complex(NAN, 0)], [complex(NAN, 0)], 0.0),
    ],
)
def test_the_distance_is_the_largest_difference(old, new, apart):
    assert apart == pair(np.array(old), np.array(new)).difference(Tolerance()).absolute


def test_integers_of_any_sign_are_compared_exactly():
    assert 1.0 == pair(np.array([2**63], np.uint64), np.array([2**63 - 1], np.int64)).difference(Tolerance()).absolute


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_that_round_to_one_number_still_differ(dtype, monkeypatch):
    """On some platforms `longdouble` is no wider than `float64`, and both integers round to 2**62."""
    monkeypatch.setattr(np, "longdouble", np.float64)
    assert 1.0 == pair(np.array([2**62], dtype), np.array([2**62 + 1], dtype)).difference(Tolerance()).absolute
    assert 0.0 == pair(np.array([2**62], dtype), np.array([2**62], dtype)).difference(Tolerance()).absolute


def test_precision_is_no_misfit_and_its_rounding_is_a_distance():
    compared = pair(np.array([1.001], np.float32), np.array([1.001], ml_dtypes.bfloat16))
    assert compared.misfit() is None
    assert 0.001 == pytest.approx(compared.difference(Tolerance()).absolute, rel=1e-3)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (AbstractArray((2, 3), "float32"), AbstractArray((3, 2), "float32")),
        (AbstractArray((2,), "float32"), AbstractArray((2, 1), "float32")),
        (AbstractArray((2,), "int32"), AbstractArray((2,), "float32")),
    ],
)
def test_shapes_and_kinds_of_dtypes_have_to_be_equal(old, new):
    arrays = (np.zeros(aval.shape, aval.dtype) for aval in (old, new))
    assert f"pair 1: the old output is {old}, the new one {new}" == pair(*arrays).misfit()


@pytest.mark.parametrize(
    ("old", "new", "beyond"),
    [
        ([-100.0, -1.0], [-100.0009, -1.0], 0),  # log-probabilities in float32
        ([-100.0, -1.0], [-100.0009, -1.0009], 1),
        ([0.0, 0.0], [1e-5, 2e-5], 1),
        ([INF, 1.0], [1e30, 1.0], 1),
        ([1e30, 1.0], [INF, 1.0], 1),
        ([NAN, 1.0], [NAN, NAN], 1),
        ([1_000_000], [1_000_001], 1),  # integers are not rounded
        ([1e6 + 1e6j], [1e6 + 1e6j + 10], 0),
    ],
)
def test_floats_may_differ_in_proportion_to_the_old_output(old, new, beyond):
    tolerance = Tolerance(1e-5, 1e-5)
    assert beyond == pair(np.array(old), np.array(new)).difference(tolerance).beyond


def test_without_a_relative_tolerance_the_bound_is_absolute():
    compared = pair(np.array([-100.0]), np.array([-100.0009]))
    assert 1 == compared.difference(Tolerance(1e-5, 0.0)).beyond
    assert 0 == compared.difference(Tolerance(1e-3, 0.0)).beyond


def test_the_relative_difference_is_that_to_the_old_output():
    assert 0.25 == pair(np.array([4.0, 100.0]), np.array([5.0, 101.0])).difference(Tolerance()).relative


def test_typed_keys_are_compared_by_their_words():
    assert 0.0 == pair(jax.random.key(1), jax.random.key(1)).difference(Tolerance()).absolute
    assert 0.0 < pair(jax.random.key(1), jax.random.key(2)).difference(Tolerance()).absolute


def test_jax_arrays_and_python_numbers_are_arrays():
    assert 1.0 == pair(jnp.ones(()), 2.0).difference(Tolerance()).absolute


def test_a_name_is_the_place():
    named = OutputPair.read(("blocks.3", np.ones(1), np.ones(1)), 4)
    assert ("layer `blocks.3`", "blocks.3") == (named.place, named.name)


def test_nan_on_one_side_is_counted():
    assert 2 == pair(np.array([NAN, 1.0, NAN]), np.array([0.0, NAN, NAN])).count_nan()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"pair 1 is 3 of type `int`, not `.old, new.` or `.name, old, new.`"),
        ((1, 2, 3, 4), r"pair 1 is \(1, 2, 3, 4\) of type `tuple`"),
        ((1, 2, 3), "the first is 1 of type `int`, not a name"),
        (("a", 1, "x"), "the new output of layer `a` is 'x' of type `str`, not an array"),
        (((1, 2), 1), r"the old output of pair 1 is \(1, 2\) of type `tuple`, not an array"),
        ((None, 1), "the old output of pair 1 is None of type `NoneType`"),
        ((object, 1), "the old output of pair 1 is .* not an array of numbers"),
        ((np.zeros(0), np.zeros(0)), "pair 1 compares nothing: both outputs are empty"),
    ],
)
def test_what_is_no_pair_of_arrays_is_named(given, message):
    with pytest.raises(PairError, match=message):
        OutputPair.read(given, 1)
