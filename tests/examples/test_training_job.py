"""A training job of the example is killed and resumed by newer code, on other devices and by several processes."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.examples.conftest import copy, environment, once, run

ENDLESS = 1000
"""Steps that no job reaches before it is killed. Up to then, each rule file is exact."""

TOLERANCE = 1e-6
"""The relative difference of a loss on several devices, as the README states it."""

LOSS = re.compile(r"step (\d+): loss ([^\s\[]+)(?=\n|\[Gloo\])")
"""A line with a loss, which Gloo may continue; a line that was cut by a kill does not match."""


class Job:
    """A job of one or two processes, all of which train the same root.

    Attributes:
      started: the processes.
    """

    def __init__(self, here, root, version, steps, *options, devices=1, processes=1):
        self.here, self.root, self.name = here, root, f"{root.name}-{version}-{time.monotonic_ns()}"
        command = [sys.executable, "train.py", str(root), str(version), str(steps), *options]
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        self.started = []
        for number in range(processes):
            more = ["--job", address, str(processes), str(number)] if processes > 1 else []
            with self._log(number).open("w") as log:
                self.started.append(
                    subprocess.Popen([*command, *more], cwd=here, env=environment(**flags), stdout=log, stderr=log)
                )

    def _log(self, number):
        return self.here / f"{self.name}-{number}.log"

    def output(self, number=0):
        return self._log(number).read_text()

    @property
    def losses(self):
        """The printed losses by step, which all processes agree on; a line that was cut by a kill does not count."""
        found = [dict(LOSS.findall(self.output(number))) for number in range(len(self.started))]
        for other in found[1:]:
            assert all(found[0].get(step, loss) == loss for step, loss in other.items())
        return {int(step): loss for one in found for step, loss in one.items()}

    def wait_until(self, reached):
        """Waits for a state of the job."""
        until = time.monotonic() + 900
        while not reached():
            assert all(one.poll() is None for one in self.started), self.output()[-3000:]
            assert time.monotonic() < until, self.output()[-3000:]
            time.sleep(0.002)

    def kill(self):
        """Kills all processes at once."""
        for one in self.started:
            one.send_signal(signal.SIGKILL)
        assert {-signal.SIGKILL} == {one.wait() for one in self.started}

    def finish(self):
        """Waits for the end of all processes."""
        try:
            codes = {one.wait(timeout=900) for one in self.started}
        finally:
            for one in self.started:
                with suppress(ProcessLookupError):
                    one.kill()
        assert {0} == codes, self.output()[-3000:]


def steps_of(root):
    return sorted(int(entry) for entry in os.listdir(root) if entry.isdigit()) if root.exists() else []


def unfinished(root):
    return [entry for entry in os.listdir(root) if entry.endswith(".orbax-checkpoint-tmp")] if root.exists() else []


def killed_at_random(job, more, *, while_saving, pause):
    """Kills a job after it has saved some steps: at any moment, or while it saves one; returns what it was saving."""
    before = steps_of(job.root)
    goal = (before[-1] if before else 0) + more
    job.wait_until(lambda: steps_of(job.root)[-1:] >= [goal])
    if while_saving:
        job.wait_until(lambda: unfinished(job.root))
    else:
        time.sleep(random.uniform(0, pause))
    job.kill()
    return unfinished(job.root)


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """The losses by step, as text, of a run of version 1 on one device that nothing interrupts."""

    def train(place):
        here = copy(place)
        code, output = run(here, sys.executable, "train.py", "root", 1, 150)
        assert 0 == code, output
        return dict(re.findall(r"^step (\d+): loss (.*)$", output, re.M))

    found = once(tmp_path_factory, "reference", train)[1]
    return {int(step): loss for step, loss in found.items()}


@pytest.fixture
def here(tmp_path):
    return copy(tmp_path)


@pytest.mark.matrix
def test_a_killed_job_continues_with_the_code_of_version_5_and_repeats_the_losses_bit_for_bit(example, here):
    root = here / "root"
    shutil.copytree(example / "checkpoints/v1/3", root / "3")
    job = Job(here, root, 1, ENDLESS, "--save-every", "50")
    job.wait_until(lambda: steps_of(root)[-1] >= 50 and max(job.losses) % 50 > 5)
    job.kill()
    newest, last = steps_of(root)[-1], max(job.losses)
    resumed = Job(here, root, 5, last)
    resumed.finish()
    assert newest < last
    assert {step: loss for step, loss in job.losses.items() if step > newest} == resumed.losses
    assert last == steps_of(root)[-1]


@pytest.mark.matrix
def test_losses_are_those_of_an_uninterrupted_run_bit_for_bit_through_all_versions_and_kills(here, reference):
    root, left, losses = here / "root", [], {}
    for version in (1, 2, 3, 4):
        job = Job(here, root, version, ENDLESS, "--save-every", "1")
        left += killed_at_random(job, 3, while_saving=version % 2 == 0, pause=0.3)
        assert job.losses.items() <= reference.items()
        losses |= job.losses
    assert left, "no kill was in a save"
    newest, was_saving = steps_of(root)[-1], bool(unfinished(root))
    job = Job(here, root, 5, newest + 5, "--save-every", "1")
    job.finish()
    assert was_saving == (f"M740: step {newest + 1} of" in job.output()), job.output()
    assert job.losses.items() <= reference.items()
    losses |= job.losses
    assert list(range(1, newest + 6)) == sorted(losses)
    assert newest + 5 == steps_of(root)[-1]


MESH = {"options": ("--mesh", "2,4"), "devices": 8}
LONG_MESH = {"options": ("--mesh", "8,1"), "devices": 8}
TWO = {"options": ("--mesh", "2,4"), "devices": 4, "processes": 2}
PLACES = {
    "mesh": (MESH, MESH, MESH, MESH, MESH),
    "two processes": (TWO, TWO, TWO, TWO, TWO),
    "others each time": ({"options": ()}, MESH, TWO, LONG_MESH, TWO),
}


@pytest.mark.matrix
@pytest.mark.parametrize("places", PLACES)
def test_losses_on_several_devices_are_within_the_stated_tolerance(here, reference, places):
    root, losses = here / "root", {}
    for version, place in enumerate(PLACES[places], start=1):
        options = (*place["options"], "--save-every", "1")
        more = {name: value for name, value in place.items() if name != "options"}
        if version < 5:
            job = Job(here, root, version, ENDLESS, *options, **more)
            killed_at_random(job, 2, while_saving=version % 2 == 0, pause=1)
        else:
            job = Job(here, root, version, steps_of(root)[-1] + 3, *options, **more)
            job.finish()
        losses |= job.losses
    assert list(range(1, max(losses) + 1)) == sorted(losses)
    differences = {step: abs(float(loss) / float(reference[step]) - 1) for step, loss in losses.items()}
    assert max(differences.values()) <= TOLERANCE, differences
    assert max(losses) == steps_of(root)[-1]
