"""The samples that `make test` runs of long lists of cases."""

from itertools import product

import pytest

from tests.matrix import SCHEMES, is_sampled_scheme, sampled


def is_run(parameter):
    return not any(mark.name == "matrix" for mark in parameter.marks)


def test_one_of_a_number_is_run_and_all_others_are_kept_for_the_matrix():
    found = sampled(range(7), 3, str)
    assert [(0,), (3,), (6,)] == [one.values for one in found if is_run(one)]
    assert ["0", "1", "2", "3", "4", "5", "6"] == [one.id for one in found]


def test_a_case_of_several_arguments_is_unpacked():
    assert [("a", 1), ("b", 2)] == [one.values for one in sampled([("a", 1), ("b", 2)], 2, unpacked=True)]


@pytest.mark.parametrize("name", ["test_things[{}]", "test_gs[x-{}]", "test_x[{}-gs-503]", "test_x[s3-{}]"])
def test_every_case_runs_with_one_kind_of_bucket(name):
    assert 1 == sum(is_sampled_scheme(name.format(scheme), scheme) for scheme in SCHEMES)


def test_each_kind_of_bucket_has_its_share_of_the_cases():
    names = [f"test_{number}[{{}}]" for number in range(200)]
    run = [scheme for name, scheme in product(names, SCHEMES) if is_sampled_scheme(name.format(scheme), scheme)]
    assert 60 < run.count("gs") < 140
