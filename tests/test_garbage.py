import gc
import subprocess
import sys

import pytest

from migrate.garbage import collect_rarely, without_collection


def test_the_search_is_suspended_and_resumes_after_an_error_too():
    seen = []
    with pytest.raises(ZeroDivisionError), without_collection():
        seen.append(gc.isenabled() or 1 / 0)

    assert ([], True) == (seen, gc.isenabled())


def test_a_search_that_was_suspended_stays_so():
    with without_collection():
        with without_collection():
            pass
        assert not gc.isenabled()


def test_a_search_is_rare_after_ten_thousands_of_objects():
    before = gc.get_threshold()
    try:
        collect_rarely()
        assert gc.isenabled()
        assert gc.get_threshold()[0] >= 100_000
    finally:
        gc.set_threshold(*before)


ENDING = """
import gc
from migrate.garbage import collect_rarely

class Circle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("found", flush=True)

circle = Circle()
del circle
if {rarely}:
    collect_rarely()
"""


@pytest.mark.parametrize(("rarely", "output"), [(False, b"found"), (True, b"")])
def test_a_process_that_searches_rarely_does_not_search_as_it_ends(rarely, output):
    done = subprocess.run([sys.executable, "-c", ENDING.format(rarely=rarely)], capture_output=True, check=True)
    assert output == done.stdout.strip()
