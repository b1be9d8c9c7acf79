"""Sources of all cases, each written once."""

import jax
import pytest

import migrate
from tests.planning.suggest.score import truth_plan, write_source


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """`sources(case)`: the checkpoint's path, its Linen variables and an input."""
    folder = tmp_path_factory.mktemp("sources")
    known = {}

    def source(case):
        if case.name not in known:
            path = folder / f"{case.name}.msgpack"
            known[case.name] = (path, *write_source(case, path))
        return known[case.name]

    return source


@pytest.fixture(scope="session")
def opened(sources):
    """`opened(case)`: the open checkpoint, the template, the true plan and the suggestion, each made once."""
    known = {}

    def opened(case):
        if case.name not in known:
            checkpoint = migrate.open_checkpoint(sources(case)[0])
            template = migrate.abstract_template(case.template)
            truth = truth_plan(case, checkpoint, template)
            known[case.name] = checkpoint, template, truth, migrate.suggest(checkpoint, template)
        return known[case.name]

    yield opened
    for checkpoint, *_ in known.values():
        checkpoint.close()


@pytest.fixture
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield
