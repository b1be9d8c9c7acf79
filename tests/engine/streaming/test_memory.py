"""An array that does not fit into memory is one sentence with advice, and the same call resumes."""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from migrate.engine.streaming.memory import explained_memory_failures
from migrate.errors import MigrateError
from tests.engine.sources import save

ROOT = Path(__file__).parents[3]

LIMITED = """
import json, resource, sys
from pathlib import Path
from migrate.errors import MigrateError
from tests.engine.sources import apply_plan, opened, plan_for

resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
source, rules, ram, *targets = sys.argv[1:]
for target in targets:
    with opened(source) as reader:
        try:
            apply_plan(plan_for(reader, rules), reader, Path(target), max_ram=int(ram), verify="none", jobs=1)
            print(json.dumps(None))
        except MigrateError as error:
            print(json.dumps([[d.code, d.message, d.help] for d in error.diagnostics]))
"""
"""`apply` in a process that may use 8 GiB of addresses."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", {"a": jnp.zeros((1000, 1000))})


def limited(source, repetitions, ram, *targets):
    rules = f"rules: [{{from: a, to: c, ops: [{{tile: {{reps: [{repetitions}, 1]}}}}]}}]"
    command = [sys.executable, "-W", "ignore", "-c", LIMITED, source, rules, str(ram), *targets]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_tile_that_does_not_fit_into_memory_names_the_leaf_and_the_option(source, tmp_path):
    found = limited(source, 3000, 64 << 30, tmp_path / "new", tmp_path / "new.msgpack")
    assert 2 == len(found)
    for ((code, message, advice),) in found:
        assert "M522" == code
        assert message.startswith("`c` does not fit into memory: Unable to allocate 11.2 GiB")
        assert "smaller `--max-ram` (it was 65,536 MiB)" in advice
    assert [] == list(tmp_path.iterdir())


@pytest.mark.matrix
def test_with_the_smaller_budget_of_the_advice_it_is_written(source, tmp_path):
    assert [None] == limited(source, 100, 64 << 20, tmp_path / "new")


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (MemoryError("Unable to allocate"), True),
        (ValueError("RESOURCE_EXHAUSTED: too much [source locations='x']"), True),
        (ValueError("RESOURCE_EXHAUSTED: no files left [os_error_code='24']"), False),
        (ValueError("INVALID_ARGUMENT"), False),
    ],
)
def test_allocations_are_told_from_other_failures(error, explained):
    with pytest.raises((MigrateError, ValueError)) as raised, explained_memory_failures("`a`"):
        raise error
    assert explained == isinstance(raised.value, MigrateError)
    if explained:
        assert "[" not in raised.value.diagnostics[0].message
