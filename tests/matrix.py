"""Long lists of cases: `make test` runs a sample of them, and `make matrix` the others, and more examples of laws."""

import re
import zlib
from collections import Counter

import pytest
from hypothesis import settings

SCHEMES = ("gs", "s3")
SLOW_WITH_BUCKETS = ("tests/end_to_end/", "tests/formats/test_in_buckets.py", "tests/engine/")


def sampled(cases, every, name=None):
    """Returns all cases as parameters, all but each `every`-th of them marked for `make matrix`.

    Args:
      cases: the cases.
      every: 1 of this number stays in the sample.
      name: returns the name of a case (default: pytest's own).
    """
    return [
        pytest.param(case, marks=() if number % every == 0 else pytest.mark.matrix, id=name(case) if name else None)
        for number, case in enumerate(cases)
    ]


def examples(number):
    """Returns the number of examples of a law: `number` in `make test`, and three times as many in `make matrix`."""
    return number * settings.default.max_examples // settings.get_profile("sample").max_examples


def mark(items):
    """Marks for `make matrix` what the sample leaves out.

    Of a test with the mark `sample(number)`, each `number`-th case stays; a number that divides none of the counts of
    its parameters gives a sample with all of their values. Of a slow test with a bucket, one kind of bucket stays.
    """
    counts = Counter()
    for item in items:
        sample = item.get_closest_marker("sample")
        test = item.nodeid.partition("[")[0]
        if sample is not None:
            if counts[test] % sample.args[0]:
                item.add_marker(pytest.mark.matrix)
            counts[test] += 1
        scheme = item.callspec.params.get("bucket") if is_a_case(item) else None
        if scheme in SCHEMES and item.nodeid.startswith(SLOW_WITH_BUCKETS) and not is_sampled_scheme(item.name, scheme):
            item.add_marker(pytest.mark.matrix)


def is_sampled_scheme(test, scheme):
    """Returns whether `make test` runs a case with this kind of bucket: of each test's other parameters, one kind.

    Args:
      test: the name of the test and of its parameters, as pytest prints it.
      scheme: `gs` or `s3`.
    """
    others = re.sub(r"(?<=[\[-])(gs|s3)(?=[\]-])", "", test)
    return SCHEMES[zlib.crc32(others.encode()) % len(SCHEMES)] == scheme


def values_to_run(request, parameter, **others):
    """Returns the values of a parameter in the tests of a file that run, for a fixture that prepares each.

    Args:
      request: the request of the fixture.
      parameter: the name of the parameter.
      others: values that other parameters have.
    """
    cases = [item.callspec.params for item in request.session.items if item.path == request.path and is_a_case(item)]
    found = [case[parameter] for case in cases if parameter in case and case.items() >= others.items()]
    return list(dict.fromkeys(found))


def is_a_case(item):
    """Returns whether a test has parameters."""
    return hasattr(item, "callspec")
