"""`verify` finds every flipped byte that changes a value; `tests.end_to_end.flips` tries more of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.flips import KINDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def flips():
    """The outcomes of 180 flips, by kind of checkpoint."""
    command = [sys.executable, "-m", "tests.end_to_end.flips", "180"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    return {line["kind"]: line for line in map(json.loads, run.stdout.splitlines())}


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_every_flip_that_changes_a_value(flips, kind):
    assert [] == flips[kind]["missed"]
    assert flips[kind]["outcomes"]["refused"] > 10


def test_without_digests_flips_change_values_unnoticed(flips):
    assert flips["without digests"]["outcomes"]["wrong"] > 0
