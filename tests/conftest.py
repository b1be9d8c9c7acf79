"""Golden files: printed text that was reviewed. `pytest --update-golden` writes them again."""

import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.buckets.places import Bucket, Servers

# Tests compile many small programs that run once: few passes, the emitters that compile fastest, no threads for parts.
# What XLA computes is compared with what XLA computes. A later XLA may lack the flags: it then names them and aborts.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
_FASTEST = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = f"{_FASTEST} {os.environ.get('XLA_FLAGS', '')}"

# Machines may be busy, so the duration of an example must not fail a test.
_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
_LAWS = settings(deadline=None, suppress_health_check=_SLOW, derandomize=bool(os.environ.get("CI")))
settings.register_profile("sample", _LAWS, max_examples=50)
settings.register_profile("matrix", _LAWS, max_examples=150)
settings.load_profile("sample")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")
    parser.addoption("--where", action="store_true", help="print at the end where the time went")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects the tests without searching for circular garbage: modules stay to the end, and are not searched later.

    From then on, no bytecode is written: tests list directories from which they import models.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves to `make matrix` what is not in the sample."""
    from tests.matrix import mark

    mark(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--where"):
        from tests.where import durations, lines

        terminalreporter.section("where the time went")
        for line in lines(durations(chain(*terminalreporter.stats.values()))):
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forgets the modules that a test wrote and imported: another test has others of these names."""
    before = set(sys.modules)
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(folder):
            del sys.modules[name]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("cli/inspect.txt", text)` compares the text with the file."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing; `pytest --update-golden` writes it"
        assert path.read_text(encoding="utf-8") == text

    return check


@pytest.fixture(scope="session")
def bucket_servers() -> Iterator["Servers"]:
    """The servers of Google Cloud Storage and S3 in this process."""
    from tests.buckets.places import running_servers

    with running_servers() as servers:
        yield servers


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest, bucket_servers: "Servers") -> "Bucket":
    """An empty bucket of each kind."""
    return bucket_servers.bucket(request.param)
