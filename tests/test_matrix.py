"""The samples that `make test` runs of long lists of cases."""

import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import settings

from tests.matrix import SCHEMES, examples, is_sampled_scheme, sampled

ROOT = Path(__file__).parents[1]


def is_run(parameter):
    return not any(mark.name == "matrix" for mark in parameter.marks)


def test_one_of_a_number_is_run_and_all_others_are_kept_for_the_matrix():
    found = sampled(range(7), 3, str)
    assert [(0,), (3,), (6,)] == [one.values for one in found if is_run(one)]
    assert ["0", "1", "2", "3", "4", "5", "6"] == [one.id for one in found]


def test_a_law_has_three_times_as_many_examples_in_the_matrix():
    current = settings.get_current_profile_name()
    try:
        settings.load_profile("sample")
        assert 20 == examples(20)
        settings.load_profile("matrix")
        assert 60 == examples(20)
    finally:
        settings.load_profile(current)


LONG = """
import pytest

@pytest.mark.sample(3)
@pytest.mark.parametrize("one", "ab")
@pytest.mark.parametrize("two", [*range(4)])
def test_long(one, two): ...

def test_short(): ...
"""


COLLECT_BOTH = """
import sys, pytest

sys.path.insert(0, "")
pytest.main(sys.argv[1:])
print("for the matrix")
pytest.main(["-m", "matrix", *sys.argv[1:]])
"""


def test_of_a_test_with_the_mark_one_of_a_number_of_cases_is_run(tmp_path):
    (tmp_path / "test_it.py").write_text(LONG)
    configuration = ("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "tests.conftest")
    options = ("--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider", tmp_path)
    command = [sys.executable, "-c", COLLECT_BOTH, *configuration, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    test, matrix = (re.findall(r"::(test_\S+)", one) for one in done.stdout.split("for the matrix\n"))
    assert ["test_long[0-a]", "test_long[1-b]", "test_long[3-a]", "test_short"] == test
    assert 5 == len(matrix)
    assert not set(test) & set(matrix)


@pytest.mark.parametrize("name", ["test_things[{}]", "test_gs[x-{}]", "test_x[{}-gs-503]", "test_x[s3-{}]"])
def test_every_case_runs_with_one_kind_of_bucket(name):
    assert 1 == sum(is_sampled_scheme(name.format(scheme), scheme) for scheme in SCHEMES)


def test_each_kind_of_bucket_has_its_share_of_the_cases():
    names = [f"test_{number}[{{}}]" for number in range(200)]
    run = [scheme for name, scheme in product(names, SCHEMES) if is_sampled_scheme(name.format(scheme), scheme)]
    assert 60 < run.count("gs") < 140
