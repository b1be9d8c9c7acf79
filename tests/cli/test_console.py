import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress

import pytest

from migrate.cli.console import Console, Progress, layout_of, uses_color
from migrate.events import LeafDone, PhaseDone, PhaseStarted, ProbeRun, ignore
from migrate.report.layout import Layout


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("choice", "environment", "stream", "expected"),
    [
        ("auto", {}, Terminal(), True),
        ("auto", {}, io.StringIO(), False),
        ("auto", {"NO_COLOR": "1"}, Terminal(), False),
        ("auto", {"FORCE_COLOR": "1"}, io.StringIO(), True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        ("always", {"NO_COLOR": "1"}, io.StringIO(), True),
        ("never", {"FORCE_COLOR": "1"}, Terminal(), False),
    ],
)
def test_color_follows_the_option_then_the_environment_then_the_stream(
    choice, environment, stream, expected, monkeypatch
):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == uses_color(choice, stream)


@pytest.mark.parametrize(
    ("columns", "stream", "expected"),
    [
        (60, Terminal(), Layout(80, continued=True)),
        (100, Terminal(), Layout(100, continued=True)),
        (500, Terminal(), Layout(200, continued=True)),
        (60, io.StringIO(), Layout(120)),
    ],
)
def test_the_width_is_that_of_the_terminal_within_limits_and_120_in_a_pipe(columns, stream, expected, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert expected == layout_of(stream)


@pytest.mark.parametrize("columns", [80, 137])
def test_every_line_fits_a_terminal(columns, here):
    """Of the plan with its findings, on a terminal of its own."""
    command = ("apply", "-n", "broken_leaf.yaml", "old.msgpack", "new", "--color", "never")
    (here / "broken_leaf.yaml").write_text(
        (here / "rules.yaml").read_text().replace("params/old_head", "params/olb_head")
    )
    shown = on_terminal(columns, *command)
    assert "error[" in shown
    assert "olb_head" in shown
    assert max(map(len, shown.splitlines())) <= columns


def on_terminal(columns, *arguments):
    """What a command prints on a terminal of that width."""
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "migrate", *arguments]
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, stdin=terminal, env=environment)
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while part := os.read(control, 1 << 16):
            shown += part
    process.wait()
    os.close(control)
    return shown.decode().replace("\r\n", "\n").rpartition("\r\x1b[2K")[2]


def watch(stream, *, live, done=(0, 0)):
    progress = Progress(stream, live=live)
    progress(PhaseStarted("stage", 3, 3072, *done))
    progress.tick()
    for name in "ab":
        progress(LeafDone("stage", (name,), 1024))
        progress.tick()
    progress(PhaseDone("stage", 0.5))
    progress.tick()
    return stream.getvalue()


def test_progress_on_a_terminal_is_one_line_that_is_gone_at_the_end():
    written = watch(Terminal(), live=True)
    assert "\n" not in written
    assert "  stage   2/3 leaves  2 KiB/3 KiB  " in written
    assert written.endswith("\r\x1b[2K")


def test_progress_of_a_probe_counts_its_runs():
    stream = io.StringIO()
    progress = Progress(stream, live=False)
    progress(PhaseStarted("probe", 0, 0))
    progress.tick()
    progress(ProbeRun(7, 64, 2, False))
    progress.tick()
    assert "  probe …\n  probe   7 of at most 64 runs\n" == stream.getvalue()


def test_progress_elsewhere_is_plain_lines():
    lines = watch(io.StringIO(), live=False).splitlines()
    assert ["  stage   0/3 leaves", "  stage   1/3 leaves", "  stage   2/3 leaves"] == [line[:20] for line in lines]
    assert all("\x1b" not in line and "\r" not in line for line in lines)


def test_progress_has_a_rate_and_a_time_left_once_something_is_done():
    first, second, _ = watch(io.StringIO(), live=False).splitlines()
    assert "  stage   0/3 leaves  0 B/3 KiB" == first
    assert second.endswith(" left")
    assert "/s  " in second


def test_progress_after_a_resume_begins_where_the_earlier_run_was():
    lines = watch(io.StringIO(), live=False, done=(1, 1024)).splitlines()
    assert "  stage   1/3 leaves  1 KiB/3 KiB" == lines[0]
    assert "  stage   3/3 leaves  3 KiB/3 KiB" == lines[2][:33]
    assert lines[2].endswith("  0.00 s left")


def test_a_phase_that_is_one_step_has_no_numbers():
    stream = io.StringIO()
    progress = Progress(stream, live=False)
    progress(PhaseStarted("commit", 0, 0))
    progress.tick()
    assert "  commit …\n" == stream.getvalue()


def test_progress_elsewhere_waits_ten_seconds_before_it_says_anything():
    stream = io.StringIO()
    with Progress(stream, live=False) as progress:
        progress(PhaseStarted("stage", 2, 2048))
        progress(LeafDone("stage", ("a",), 1024))
    assert "" == stream.getvalue()


def test_progress_on_a_terminal_moves_while_a_leaf_takes_its_time():
    stream = Terminal()
    with Progress(stream, live=True) as progress:
        progress(PhaseStarted("stage", 2, 2048))
        time.sleep(0.3)
    assert stream.getvalue().count("stage   0/2") >= 2


def test_quiet_shows_no_progress():
    with Console(quiet=True).progress() as listener:
        assert ignore is listener


@pytest.mark.parametrize(
    ("options", "complete"),
    [
        ({}, False),
        ({"format": "json"}, False),
        ({"verbose": True}, True),
        ({"format": "html"}, True),
        ({"format": "github"}, True),
        ({"report_file": "page.html"}, True),
    ],
)
def test_reports_that_are_kept_are_complete(options, complete):
    assert complete == Console(**options).complete
