"""Processes of this machine and workers of Dask write what one process writes."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import pytest

from migrate.engine.sharing import pools
from migrate.engine.sharing.pool_workers import PoolWorkers
from migrate.engine.sharing.pools import DaskPool, GivenExecutor, LocalPool
from migrate.errors import MigrateError
from tests.engine.sharing.shared_runs import applied, same, values
from tests.matrix import sampled

REPOSITORY = Path(__file__).parents[3]
LOADED = "import sys, migrate.engine.sharing.worker; print(*sorted({name.split('.')[0] for name in sys.modules}))"


@pytest.mark.parametrize("processes", sampled([2, 1, 4], every=3))
def test_processes_write_the_same_checkpoint(source, alone, processes, tmp_path):
    with LocalPool(processes) as pool:
        receipt = applied(source, tmp_path / "new", PoolWorkers(pool))
    assert alone[0].leaf_digests == receipt.leaf_digests
    same(alone[1], values(tmp_path / "new"))
    assert ["new"] == [child.name for child in tmp_path.iterdir()]


def test_a_pool_starts_no_process_before_it_is_needed_and_is_replaced_when_one_dies():
    with LocalPool(1) as pool:
        assert pool._executor is None
        with pytest.raises(BrokenProcessPool):
            pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()
        with pytest.raises(BrokenProcessPool):
            pool.submit(os.getpid)
        assert pool.renew()
        assert os.getpid() != pool.submit(os.getpid).result()


def test_workers_import_neither_jax_nor_what_only_commands_need():
    out = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert set() == set(out.stdout.split()) & {"jax", "orbax", "flax", "optax", "click", "scipy", "distributed"}


def test_an_executor_of_the_caller_counts_its_workers_as_on_one_machine():
    with ThreadPoolExecutor(3) as executor:
        assert (3, 3) == (GivenExecutor(executor).workers, GivenExecutor(executor).neighbors)
        assert not GivenExecutor(executor).renew()
    assert (8, 2) == (GivenExecutor(executor, 8, 2).workers, GivenExecutor(executor, 8, 2).neighbors)


@contextmanager
def command(*words, ready):
    """Runs a module until the block ends; begins once a line of its output has the word that shows that it is ready."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    line = [sys.executable, "-W", "ignore", "-m", *words]
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = next((each for each in process.stderr if ready in each), None)
        assert found is not None, f"{words} ended"
        yield found
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a Dask scheduler with two workers."""
    folder = str(tmp_path_factory.mktemp("dask"))
    words = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with command(*words, ready="Scheduler at:") as line:
        address = line.split()[-1]
        words = ("distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard")
        with command(*words, "--local-directory", folder, ready="Registered to"):
            yield address


def test_workers_of_dask_write_the_same_checkpoint(source, alone, scheduler, tmp_path):
    with DaskPool(scheduler) as pool:
        pool._client.wait_for_workers(2)
        receipt = applied(source, tmp_path / "new", PoolWorkers(pool))
    assert alone[0].leaf_digests == receipt.leaf_digests
    same(alone[1], values(tmp_path / "new"))


def test_a_worker_of_dask_that_is_killed_costs_nothing(source, alone, scheduler, tmp_path):
    heard = []

    def kills_a_worker(event):
        heard.append(event)
        if len(heard) == 2:
            os.kill(next(iter(pool._client.run(os.getpid).values())), signal.SIGKILL)

    with DaskPool(scheduler) as pool:
        pool._client.wait_for_workers(2)
        receipt = applied(source, tmp_path / "new", PoolWorkers(pool), listener=kills_a_worker)
    assert alone[0].leaf_digests == receipt.leaf_digests
    same(alone[1], values(tmp_path / "new"))


def test_a_scheduler_that_does_not_answer_is_refused(monkeypatch):
    monkeypatch.setattr(pools, "WAIT_SECONDS", 0.2)
    begun = time.monotonic()
    for address in ("tcp://127.0.0.1:9", "nonsense", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"):
        with pytest.raises(MigrateError) as refusal:
            DaskPool(address)
        assert "M552" == refusal.value.diagnostics[0].code
        assert address in refusal.value.diagnostics[0].message
    assert time.monotonic() - begun < 20


def test_dask_that_is_not_installed_is_refused_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MigrateError) as refusal:
        DaskPool("tcp://127.0.0.1:8786")
    assert ("M416", "`pip install 'migrate-jax[dask]'`") == (
        refusal.value.diagnostics[0].code,
        refusal.value.diagnostics[0].help,
    )
