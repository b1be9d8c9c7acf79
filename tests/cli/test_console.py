import io

import pytest

from migrate.cli.console import Console, Progress, wants_colour
from migrate.events import LeafDone, PhaseDone, PhaseStarted, ignore


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
def test_colour_follows_the_option_then_the_environment_then_the_stream(
    choice, environment, stream, expected, monkeypatch
):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == wants_colour(choice, stream)


def watch(stream, *, live):
    progress = Progress(stream, live=live, pause=0.0)
    for event in (PhaseStarted("stage", 2, 2048), LeafDone("stage", ("a",), 1024), LeafDone("stage", ("b",), 1024)):
        progress(event)
    progress(PhaseDone("stage", 0.5))
    return stream.getvalue()


def test_progress_on_a_terminal_is_one_line_that_is_gone_at_the_end():
    written = watch(Terminal(), live=True)
    assert "\n" not in written
    assert "  stage   2/2 leaves  2 KiB/2 KiB" in written
    assert written.endswith("\r\x1b[2K")


def test_progress_elsewhere_is_plain_lines():
    written = watch(io.StringIO(), live=False)
    assert ["  stage   1/2 leaves", "  stage   2/2 leaves"] == [line[:20] for line in written.splitlines()]
    assert "\x1b" not in written
    assert "\r" not in written


def test_progress_elsewhere_waits_ten_seconds_before_it_says_anything():
    stream = io.StringIO()
    progress = Progress(stream, live=False)
    progress(PhaseStarted("stage", 2, 2048))
    progress(LeafDone("stage", ("a",), 1024))
    assert "" == stream.getvalue()


def test_quiet_shows_no_progress():
    assert ignore is Console(quiet=True).progress()
