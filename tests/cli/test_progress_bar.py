"""The bar: what it shows at each width, and that it is erased."""

import io
import re

import pytest

from migrate.cli.phase_state import PhaseState
from migrate.cli.progress_bar import LiveBar
from migrate.events import PhaseStarted, ProbeRun

STAGE = PhaseStarted("stage", 1520, 8 << 30, 100, 1 << 30)
AT_HALF = PhaseState(STAGE, 12.0, 460, 3 << 30)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def drawn(monkeypatch, columns, *states, color=False):
    """What a terminal of that width gets for these states."""
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    bar = LiveBar(stream, color=color)
    for state in states:
        bar.draw(state)
    bar.clear()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (120, "  stage    ━   560/1,520 leaves     4 GiB/8 GiB     256 MiB/s  16 s left"),
        (80, "  stage    ━   560/1,520 leaves     4 GiB/8 GiB     256 MiB/s  16 s left"),
        (60, "  stage    ━     4 GiB/8 GiB     256 MiB/s  16 s left"),
        (40, "  stage       4 GiB/8 GiB  16 s left"),
        (24, "  stage    16 s left"),
    ],
)
def test_numbers_give_way_to_a_narrow_terminal(columns, line, monkeypatch):
    shown = drawn(monkeypatch, columns, AT_HALF).partition("\r")[0].rstrip()
    assert line.split() == re.sub("━+╸?", "━", shown).split()
    assert len(shown) < columns


@pytest.mark.parametrize("columns", range(12, 140, 4))
@pytest.mark.parametrize("phase", [STAGE, PhaseStarted("commit", 0, 0), PhaseStarted("probe", 0, 0)])
def test_the_line_never_reaches_the_end_of_the_terminal(columns, phase, monkeypatch):
    state = PhaseState(phase, 10_000.0, 1, 1023 << 20, ProbeRun(7, 64, 2, False) if phase.phase == "probe" else None)
    assert all(len(line) < columns for line in re.split(r"[\r\n]|\x1b\[2K", drawn(monkeypatch, columns, state)))


def test_states_are_drawn_in_the_same_place_and_erased_at_the_end(monkeypatch):
    shown = drawn(monkeypatch, 100, PhaseState(STAGE), AT_HALF)
    assert 1 == shown.count("\n")
    assert "\r\x1b[2K  stage  " in shown
    assert shown.endswith("\n\r\x1b[1A\x1b[2K")
    assert "\x1b[?25l" not in shown


def test_a_bar_is_drawn_again_after_it_was_cleared(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    bar = LiveBar(stream, color=False)
    for name in ("stage", "verify"):
        bar.draw(PhaseState(PhaseStarted(name, 1, 1)))
        bar.clear()
        bar.clear()
    assert re.search(r"  stage .*\x1b\[1A\x1b\[2K.*  verify .*\x1b\[1A\x1b\[2K$", stream.getvalue(), re.DOTALL)


def test_numbers_keep_their_places_while_they_grow(monkeypatch):
    early = drawn(monkeypatch, 120, PhaseState(STAGE, 5.0, 1, 1 << 20)).partition("\r")[0]
    late = drawn(monkeypatch, 120, PhaseState(STAGE, 50.0, 1400, 6 << 30)).partition("\r")[0]
    assert early.index(" leaves") == late.index(" leaves")
    assert early.index("/8 GiB") == late.index("/8 GiB")


def test_a_phase_shows_the_elapsed_time_until_something_is_done(monkeypatch):
    assert drawn(monkeypatch, 100, PhaseState(STAGE, 75.0)).partition("\r")[0].rstrip().endswith("  1 min 15 s")
    assert drawn(monkeypatch, 100, PhaseState(PhaseStarted("commit", 0, 0), 5.0)).partition("\r")[0].endswith("  5 s")


def test_color_is_the_choice_of_the_caller(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[36m━" in drawn(monkeypatch, 100, AT_HALF, color=True)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "m" not in re.findall(r"\x1b\[[\d;]*(\w)", drawn(monkeypatch, 100, AT_HALF, color=False))


def test_a_terminal_that_fails_gets_no_further_line(monkeypatch):
    class Broken(Terminal):
        tries = 0

        def write(self, _):
            self.tries += 1
            raise OSError(5, "Input/output error")

    monkeypatch.setenv("COLUMNS", "100")
    stream = Broken()
    bar = LiveBar(stream, color=False)
    for _ in range(3):
        bar.draw(AT_HALF)
    bar.clear()
    assert 1 == stream.tries
