"""One run at a time; a run that is dead keeps nobody out."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from migrate.engine.workspace import lock
from migrate.errors import RefusedError


def written(folder, **changes):
    content = {"host": socket.gethostname(), "pid": os.getpid(), "started": "", **changes}
    (folder / lock.NAME).write_text(json.dumps(content))


def dead_process():
    """The id of a process that has just ended."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_a_lock_that_is_released_can_be_taken_again(tmp_path):
    assert lock.take(tmp_path) is None
    lock.release(tmp_path)
    assert lock.take(tmp_path) is None


def test_a_living_process_keeps_its_lock(tmp_path):
    lock.take(tmp_path)
    with pytest.raises(RefusedError) as refusal:
        lock.take(tmp_path)
    assert ["M509"] == [d.code for d in refusal.value.diagnostics]
    assert f"process {os.getpid()}" in refusal.value.diagnostics[0].message


def test_the_lock_of_a_dead_process_is_taken_over_with_a_note(tmp_path):
    pid = dead_process()
    written(tmp_path, pid=pid)
    note = lock.take(tmp_path)
    assert "M510" == note.code
    assert f"process {pid}" in note.message
    assert os.getpid() == json.loads((tmp_path / lock.NAME).read_text())["pid"]


def test_a_process_that_got_the_id_of_a_dead_one_does_not_hold_its_lock(tmp_path):
    written(tmp_path, started="1")
    assert "M510" == lock.take(tmp_path).code


def test_a_process_that_is_dead_but_not_buried_does_not_hold_its_lock(tmp_path):
    code = f"from pathlib import Path; from migrate.engine.workspace import lock; lock.take(Path({str(tmp_path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert "M510" == lock.take(tmp_path).code
    process.wait()


def test_another_host_may_live(tmp_path):
    written(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(RefusedError) as refusal:
        lock.take(tmp_path)
    assert "on host elsewhere" in refusal.value.diagnostics[0].message
    assert "rm " in refusal.value.diagnostics[0].help


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}'])
def test_a_lock_without_a_name_is_nobodys(tmp_path, content):
    (tmp_path / lock.NAME).write_text(content)
    assert "M510" == lock.take(tmp_path).code


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path):
    written(tmp_path, pid=dead_process())
    outcomes = []

    def attempt():
        try:
            lock.take(tmp_path)
            outcomes.append("taken")
        except RefusedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["refused"] * 7 + ["taken"] == sorted(outcomes)
