"""Ctrl-C once asks, twice aborts."""

import os
import signal
import subprocess
import sys

from migrate.engine.streaming.stopping import Stopping, never


def test_nobody_is_stopped_who_was_not_asked(capfd):
    with Stopping() as stopped:
        assert not stopped()
    assert not never()
    assert "" == capfd.readouterr().err


def test_the_first_ctrl_c_only_asks(capfd):
    with Stopping() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped()
    assert "Stopping when the leaves in flight are done. Ctrl-C again aborts at once.\n" == capfd.readouterr().err


def test_afterwards_ctrl_c_means_what_it_meant_before():
    before = signal.getsignal(signal.SIGINT)
    with Stopping():
        assert before is not signal.getsignal(signal.SIGINT)
    assert before is signal.getsignal(signal.SIGINT)


def test_the_second_ctrl_c_aborts_at_once_whatever_threads_are_doing():
    code = (
        "import os, signal, threading, time\n"
        "from migrate.engine.streaming.stopping import Stopping\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "with Stopping():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (130, "") == (done.returncode, done.stdout)
    assert "Aborted. Run the same command to resume." == done.stderr.splitlines()[-1]
