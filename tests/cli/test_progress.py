"""Progress: numbers of a phase, plain lines off a terminal, and runs with stderr on a file or a terminal."""

import io
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from migrate.cli.phase_state import PhaseState
from migrate.cli.progress import PlainLines, Progress, progress_on
from migrate.events import LeafDone, PhaseDone, PhaseStarted, ProbeRun
from tests.cli.terminals import SLOW, environment, on_terminal, terminal_of

TELL_RICH = "\ntry:\n    main()\nfinally:\n    print('rich' in sys.modules)\n"
APPLY = ("apply", "rules.yaml", "old.msgpack", "new", "--jobs", "1")
HIDDEN_CURSOR, COLOR = "\x1b[?25l", "\x1b[3"


@pytest.fixture
def here(untyped):
    return untyped


def plain(stream):
    return Progress(lambda: PlainLines(stream), pause=10.0)


def watch(*done):
    """The lines of a phase of three leaves, before the first and after the next two."""
    stream = io.StringIO()
    progress = plain(stream)
    progress(PhaseStarted("stage", 3, 3072, *done))
    progress.tick()
    for name in "ab":
        progress(LeafDone("stage", (name,), 1024))
        progress.tick()
    progress(PhaseDone("stage", 0.5))
    progress.tick()
    return stream.getvalue().splitlines()


def test_progress_off_a_terminal_is_plain_lines():
    lines = watch()
    assert ["  stage   0/3 leaves", "  stage   1/3 leaves", "  stage   2/3 leaves"] == [line[:20] for line in lines]
    assert all("\x1b" not in line and "\r" not in line for line in lines)


def test_progress_has_a_rate_and_a_time_left_once_something_is_done():
    first, second, _ = watch()
    assert "  stage   0/3 leaves  0 B/3 KiB" == first
    assert second.endswith(" left")
    assert "/s  " in second


def test_progress_after_a_resume_begins_where_the_earlier_run_was():
    first, _, last = watch(1, 1024)
    assert "  stage   1/3 leaves  1 KiB/3 KiB" == first
    assert "  stage   3/3 leaves  3 KiB/3 KiB" == last[:33]
    assert last.endswith("  0 s left")


def test_progress_of_a_probe_counts_its_runs():
    stream = io.StringIO()
    progress = plain(stream)
    progress(PhaseStarted("probe", 0, 0))
    progress.tick()
    progress(ProbeRun(7, 64, 2, False))
    progress.tick()
    assert "  probe …\n  probe   7 of at most 64 runs\n" == stream.getvalue()


def test_a_phase_that_is_one_step_has_no_numbers():
    stream = io.StringIO()
    progress = plain(stream)
    progress(PhaseStarted("commit", 0, 0))
    progress.tick()
    assert "  commit …\n" == stream.getvalue()


def test_lines_fit_the_encoding_of_the_stream():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PlainLines(stream).draw(PhaseState(PhaseStarted("commit", 0, 0)))
    assert b"  commit ...\n" == stream.buffer.getvalue()


def test_progress_off_a_terminal_waits_ten_seconds_before_its_first_line():
    stream = io.StringIO()
    with progress_on(stream, "auto") as progress:
        progress(PhaseStarted("stage", 2, 2048))
        progress(LeafDone("stage", ("a",), 1024))
        time.sleep(0.3)
    assert "" == stream.getvalue()


def test_a_terminal_that_takes_no_text_does_not_stop_the_engine():
    """As after Ctrl-S: events are recorded while a drawing waits."""
    asked, released, drawn = threading.Event(), threading.Event(), []

    class Waiting:
        def draw(self, state):
            drawn.append(state)
            asked.set()
            assert released.wait(60)

        def clear(self):
            pass

    with Progress(Waiting, pause=0.01) as progress:
        progress(PhaseStarted("stage", 3, 3072))
        assert asked.wait(60)
        for name in "abc":
            progress(LeafDone("stage", (name,), 1024))
        released.set()
        while drawn[-1].leaves < 3:
            time.sleep(0.01)
    assert 0 == drawn[0].leaves


def test_a_run_on_a_terminal_shows_bytes_and_rate_and_ends_with_the_report(here):
    shown = on_terminal(100, *APPLY, slow=True)
    assert 0 == shown.code
    bar = r"\r\x1b\[2K  stage    .*━.*  [1-6]/6 leaves +\d+ B/240 B +[\d.]+ B/s  (\d+ min )?\d+ s left"
    assert re.search(bar, shown.text)
    assert HIDDEN_CURSOR not in shown.text
    assert COLOR in shown.text
    assert "6 leaves, 240 B written → new" in shown.kept
    assert not [line for line in shown.kept.splitlines() if "━" in line or line.startswith("  stage")]


def test_a_terminal_without_utf_8_and_color_has_a_bar_of_ascii(here):
    shown = on_terminal(100, *APPLY, slow=True, PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert 0 == shown.code
    assert "  stage    ---" in shown.text
    assert shown.text.isascii()
    assert COLOR not in shown.text


def test_a_dumb_terminal_gets_no_control_codes(here):
    shown = on_terminal(100, *APPLY, "--color", "never", slow=True, TERM="dumb", SIGNALS="SIGINT")
    assert 3 == shown.code
    assert "Stopping when the leaves in flight are done." in shown.text
    assert "\x1b" not in shown.text


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("signals", "code", "sentence"),
    [
        ("SIGINT", 3, "Stopping when the leaves in flight are done. Ctrl-C again aborts at once."),
        ("SIGINT SIGINT", 130, "Aborted. Run the same command to resume."),
        ("SIGKILL", -9, ""),
    ],
)
def test_a_run_that_ends_early_leaves_the_cursor_and_its_sentence(here, signals, code, sentence):
    shown = on_terminal(100, *APPLY, slow=True, SIGNALS=signals)
    assert code == shown.code
    assert "/6 leaves" in shown.text
    assert HIDDEN_CURSOR not in shown.text
    assert f"\x1b[2K{sentence}" in shown.text
    assert not (here / "new").exists()


def test_a_run_with_stderr_on_a_file_has_no_control_codes_and_no_rich(here):
    code = SLOW.removesuffix("\nmain()\n") + TELL_RICH
    with open("errors.txt", "w") as errors:
        done = subprocess.run(
            [sys.executable, "-c", code, *APPLY],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
            check=False,
        )
    assert (0, "False") == (done.returncode, done.stdout.splitlines()[-1])
    assert "\x1b" not in done.stdout + (here / "errors.txt").read_text()


def test_help_does_not_import_rich():
    code = f"import sys\nfrom migrate.cli.main import main\n{TELL_RICH}"
    command = [sys.executable, "-c", code, "apply", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert "False" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("target", ["/dev/full", None])
def test_a_stderr_that_takes_nothing_does_not_stop_a_run(here, target):
    """A full disk, and a terminal that was closed."""
    with terminal_of(80) as (control, terminal):
        stderr = os.open(target, os.O_WRONLY) if target else os.dup(terminal)
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, *APPLY], stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment()
        )
        os.close(stderr)
        os.close(terminal)
        if target is None:
            os.read(control, 1)
        os.close(control)
        printed, _ = process.communicate(timeout=300)
    assert 0 == process.returncode
    assert (here / "new").exists()
    assert "new" in printed
