"""Long lists of cases: `make test` runs a sample of them, and `make matrix` the others."""

import re
import zlib

import pytest

SCHEMES = ("gs", "s3")


def sampled(cases, every, name=None, *, unpacked=False):
    """Returns all cases as parameters, all but each `every`-th of them marked for `make matrix`.

    Args:
      cases: the cases.
      every: 1 of this number stays in the sample.
      name: returns the name of a case (default: pytest's own).
      unpacked: whether each case is a tuple of several arguments (default: it is one argument).
    """
    return [
        pytest.param(
            *(case if unpacked else (case,)),
            marks=() if number % every == 0 else pytest.mark.matrix,
            id=name(case) if name else None,
        )
        for number, case in enumerate(cases)
    ]


def is_sampled_scheme(test, scheme):
    """Returns whether `make test` runs a case with this kind of bucket: of each test's other parameters, one kind.

    Args:
      test: the name of the test and of its parameters, as pytest prints it.
      scheme: `gs` or `s3`.
    """
    others = re.sub(r"(?<=[\[-])(gs|s3)(?=[\]-])", "", test)
    return SCHEMES[zlib.crc32(others.encode()) % len(SCHEMES)] == scheme
